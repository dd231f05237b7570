"""Encode: grades as the JSON text of their wire form, without the dicts between; and the hashes of rows."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Any, NamedTuple

from graders.grade import Grade
from graders.rows import GradingRow
from graders.sample import SAMPLE_FIELDS, Sample

json_string = json.encoder.encode_basestring_ascii
_EXACT = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_DEFAULTS = tuple((name, getattr(Sample(), name)) for name in SAMPLE_FIELDS)


def encode(grade: Grade) -> str:
    """The JSON of `grade.to_wire()`."""
    score, error = grade.score, grade.error
    if error is None:
        error_text = "null"
    else:
        kind, fault, detail = (json_string(text) for text in (error.kind, error.fault, error.detail))
        error_text = f'{{"kind": {kind}, "fault": {fault}, "detail": {detail}}}'
    parts = ", ".join([f"{json_string(name)}: {encode(part)}" for name, part in grade.parts.items()])
    text = (
        f'{{"score": {_number(score)}, "status": "{grade.status}", '
        f'"why": {json_string(grade.why)}, "error": {error_text}, "parts": {{{parts}}}, '
        f'"grader": {json_string(grade.grader)}, "seconds": {grade.seconds:.6f}'
    )
    if grade.formula is not None:
        text += f', "formula": {json_string(grade.formula)}'
    if grade.extracted is not None:
        text += f', "extracted": {json.dumps(grade.extracted)}'
    if grade.usage is not None:
        text += f', "usage": {json.dumps(grade.usage)}'
    if grade.sandbox is not None:
        text += f', "sandbox": {json_string(grade.sandbox)}'
    return text + "}"


def _number(value: Any) -> str:
    return float.__repr__(value) if type(value) is float else json.dumps(value)


def hash_of(text: str) -> str:
    """Sixteen hexadecimal digits of BLAKE2b."""
    return blake2b(text.encode(), digest_size=8).hexdigest()


class Hashes(NamedTuple):
    """Of a row: what the grader was given (item and sample), and that under the row's id."""

    given: bytes
    row: str


def hashes(row: GradingRow) -> Hashes:
    """BLAKE2b over the JSON of item and sample, keys as they stand: a template renders them so.

    A field of the sample that is as an absent one would be is left out; an empty one that was given is not. The
    same rows have the same hashes whatever file they come from. ValueError where the row is no JSON.
    """
    sample = row.sample
    held = {}
    for name, default in _DEFAULTS:
        value = getattr(sample, name)
        if type(value) is not type(default) or value != default:
            held[name] = value
    try:
        text = _EXACT.encode([row.item, held])
    except (TypeError, ValueError, RecursionError) as problem:
        reason = "values are nested too deeply" if isinstance(problem, RecursionError) else problem
        raise ValueError(f"{row.place}: the row cannot be written as JSON ({reason})") from None
    given = blake2b(text.encode(), digest_size=16)
    named = given.copy()
    named.update(json_string(row.id).encode())
    return Hashes(given.digest(), named.hexdigest()[:16])
