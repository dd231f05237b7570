"""OpenAI's output items: the rows that an eval run graded, and the grades that OpenAI gave them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Any, NamedTuple

from graders.convert.converted import Converted, file_stem
from graders.convert.output_messages import Output, read_output
from graders.grade import Grade
from graders.offline.encode import hashes
from graders.rows import grading_row
from graders.sample import SAMPLE_FIELDS
from graders.template import nearest, short

OBJECT = "eval.run.output_item"
HOW_TO_LIST = "the output items of a run are client.evals.runs.output_items.list(run_id, eval_id=...)"

_UUID = re.compile(r"-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE)
_NEEDED = ("id", "datasource_item", "results")
_SERVICE_KEYS = frozenset({"object", "run_id", "eval_id", "created_at", "status", "datasource_item_id", "sample"})
_RESULT_KEYS = frozenset({"name", "type", "score", "passed", "reason", "id"})


class Criterion(NamedTuple):
    """A testing criterion as results name it: in its eval, and which of several of one name."""

    eval_id: str
    name: str
    number: int


@dataclass(slots=True)
class Graded:
    """An output item as it is carried: its row, where it has an output, and what OpenAI said of it."""

    id: str
    eval_id: str
    status: str | None
    error: str | None  # of the sampling
    results: dict[Criterion, Mapping[str, Any]]
    row: dict[str, Any] | None
    hash: str | None  # of the row


@dataclass(slots=True)
class Notes:
    """What is remarked once for all items."""

    keys: dict[str, dict[str, None]] = field(default_factory=dict)  # keys that are not carried, by where they stand
    without_output: int = 0

    def left(self, place: str, keys: Iterable[str]) -> None:
        self.keys.setdefault(place, {}).update(dict.fromkeys(keys))


def is_output_items(source: Any) -> bool:
    """Whether this is a list of the service's, or of what belongs to an eval run."""
    first = source[0] if isinstance(source, list) and source else source
    if not isinstance(first, Mapping):
        return False
    kind = first.get("object")
    return _is_page(first) or "datasource_item" in first or str(kind).startswith("eval.run")


def _is_page(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get("object") == "list" and isinstance(value.get("data"), list)


def from_output_items(source: Any) -> Converted:
    """Rows, and for each testing criterion the grades that OpenAI gave, out of output items in any saved form.

    Raises ValueError, naming the item, for what is no output item and for two of one id that differ.
    """
    converted, notes = Converted("a list of the output items of an OpenAI eval run"), Notes()
    items = [
        _carried(converted, notes, number, item) for number, item in enumerate(_unique(converted, _flat(source)), 1)
    ]
    if not items:
        raise ValueError(f"no output item is in it; {HOW_TO_LIST}")
    if _cut_short(source):
        converted.lost("has_more", "true", "the list goes on where this one ends; save the pages that follow too")
    converted.rows["rows"] = [item.row for item in items if item.row is not None]
    criteria = _named(converted, items)
    for criterion, name in criteria.items():
        of_its_eval = [item for item in items if item.eval_id == criterion.eval_id]
        converted.rows[name] = [_wire(item, _grade(item, criterion)) for item in of_its_eval]
    if any(item.status in ("pass", "fail") for item in items):
        name = _free("openai-passes", converted.rows)
        converted.rows[name] = [_wire(item, _whole(item)) for item in items]
    _remark(converted, notes, len(items))
    return converted


def _flat(source: Any) -> Iterator[Any]:
    """The items of a list, of a page of one, or of several pages."""
    for value in source if isinstance(source, list) else [source]:
        if _is_page(value):
            yield from value["data"]
        else:
            yield value


def _cut_short(source: Any) -> bool:
    last = source[-1] if isinstance(source, list) and source else source
    return isinstance(last, Mapping) and last.get("has_more") is True


def _unique(converted: Converted, items: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    """Each item once; one that was saved twice is listed."""
    seen: dict[str, Any] = {}
    for number, item in enumerate(items, 1):
        _check(f"item {number}", item)
        if item["id"] not in seen:
            seen[item["id"]] = item
            yield item
        elif seen[item["id"]] == item:
            converted.otherwise(item["id"], "saved twice", "it is carried once")
        else:
            raise ValueError(f"item {number}: the id {item['id']!r} came before with other content; save each run once")


def _check(place: str, item: Any) -> None:
    if not isinstance(item, Mapping):
        raise ValueError(f"{place}: an output item is an object, not {short(item)}")
    kind = item.get("object")
    if kind not in (None, OBJECT):
        raise ValueError(f"{place}: an output item (object {OBJECT!r}) is expected, not object {kind!r}; {HOW_TO_LIST}")
    for key in _NEEDED:
        if key not in item:
            raise ValueError(f"{place}: key {key!r} is missing; {nearest(key, map(str, item))}")
    forms = (("id", str, "a text"), ("datasource_item", Mapping, "an object"), ("results", list, "a list"))
    for key, form, words in (*forms, ("sample", Mapping, "an object")):
        value = item.get(key)
        if not isinstance(value, form) and not (value is None and key in ("results", "sample")):
            raise ValueError(f"{place}: {key!r} is {words}, not {short(value)}")
    for result in item["results"] or ():
        if not isinstance(result, Mapping) or not isinstance(result.get("name"), str):
            raise ValueError(f"{place}: a result is an object with the 'name' of its criterion, not {short(result)}")


def _carried(converted: Converted, notes: Notes, number: int, item: Mapping[str, Any]) -> Graded:
    name, eval_id = item["id"], str(item.get("eval_id") or "")
    sample = item.get("sample") or {}
    error = _error(sample.get("error"))
    data, stored = _unwrapped(item["datasource_item"], notes)
    output = _chosen(sample, stored)
    for kind in output.lost:
        converted.lost(name, f"{kind} of the output", "a stored output is its text and its tool calls")
    for remark in output.remarks:
        converted.otherwise(name, "output_text", remark)
    row: dict[str, Any] | None = {"id": name, "item": data, "sample": output.fields or {"output_text": ""}}
    if error is not None and not output.says_something:
        row = None
        converted.lost(name, "its row", f"sampling failed ({error}) and left no output to grade")
    elif output.lost and not output.says_something:
        row = None
        converted.lost(name, "its row", "nothing of its output can be carried")
    elif not output.fields:
        notes.without_output += 1
    notes.left("sample", _held(sample, {"output", "error", *SAMPLE_FIELDS}))
    notes.left("output item", _held(item, {*_NEEDED, *_SERVICE_KEYS}))
    for result in item["results"] or ():
        notes.left("results", _held(result, _RESULT_KEYS))
    status = item.get("status")
    hashed = None if row is None else hashes(grading_row(f"item {number} ({name})", number, row)).row
    return Graded(name, eval_id, None if status is None else str(status), error, _results(eval_id, item), row, hashed)


def _held(holder: Mapping[str, Any], known: Iterable[str]) -> list[str]:
    return [str(key) for key, value in holder.items() if key not in known and value not in (None, [], {}, "")]


def _error(error: Any) -> str | None:
    """What a sample's error says; None where there is none, or one without content."""
    if isinstance(error, Mapping):
        said = ": ".join(str(error[key]) for key in ("code", "message") if error.get(key) not in (None, ""))
        return said or (short(dict(error)) if any(error.values()) else None)
    return None if error in (None, "") else str(error)


def _unwrapped(data: Mapping[str, Any], notes: Notes) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The item, and the sample that some data sources store with it."""
    inner, stored = data.get("item"), data.get("sample")
    if isinstance(inner, Mapping) and ("sample" in data or len(data) == 1):
        notes.left("datasource_item", _held(data, {"item", "sample"}))
        item = inner
    elif isinstance(stored, Mapping) and stored.keys() & {"output", *SAMPLE_FIELDS}:
        item = {key: value for key, value in data.items() if key != "sample"}
    else:
        return data, {}
    sample = {"output_text": stored} if isinstance(stored, str) else stored if isinstance(stored, Mapping) else {}
    notes.left("datasource_item.sample", _held(sample, {"output", *SAMPLE_FIELDS}))
    return item, sample


def _chosen(sample: Mapping[str, Any], stored: Mapping[str, Any]) -> Output:
    """What the run sampled; where that says nothing, what was stored with the item."""
    sampled = read_output(sample)
    if sampled.says_something or sampled.lost:
        return sampled
    kept = read_output(stored)
    return kept if kept.fields or kept.lost else sampled


def _results(eval_id: str, item: Mapping[str, Any]) -> dict[Criterion, Mapping[str, Any]]:
    met: Counter[str] = Counter()
    results = {}
    for result in item["results"] or ():
        met[result["name"]] += 1
        results[Criterion(eval_id, result["name"], met[result["name"]])] = result
    return results


def _named(converted: Converted, items: Iterable[Graded]) -> dict[Criterion, str]:
    """A name of its own for the grades of each criterion: that of the criterion without the service's suffix."""
    names: dict[Criterion, str] = {}
    for criterion in chain.from_iterable(item.results for item in items):
        if criterion not in names:
            plain = f"openai-{file_stem(_plain(criterion))}"
            names[criterion] = _free(plain, {*converted.rows, *names.values()})
            if names[criterion] != plain:
                why = f"another criterion has that name; its grades are in {names[criterion]}.jsonl"
                converted.otherwise(f"results {criterion.name!r}", plain, why)
    return names


def _plain(criterion: Criterion) -> str:
    return _UUID.sub("", criterion.name)


def _free(name: str, taken: Iterable[str]) -> str:
    return next(free for free in chain([name], (f"{name}-{n}" for n in count(2))) if free not in taken)


def _grade(item: Graded, criterion: Criterion) -> Grade:
    """OpenAI's grade of an item by a criterion; undecided where OpenAI's 0 would stand for a failure of its own."""
    by, result = f"{_plain(criterion)}@openai", item.results.get(criterion)
    if item.error is not None:
        return Grade.undecided(
            "unresponsive_reward_error", f"OpenAI's sampling failed: {item.error}", "infra", grader=by
        )
    if result is None:
        return Grade.undecided("other_error", "OpenAI holds no result of this criterion", "unknown", grader=by)
    notes = result.get("sample")
    failure = _error(notes.get("error")) if isinstance(notes, Mapping) else None
    if failure is not None:
        return Grade.undecided("other_error", f"OpenAI's grader failed: {failure}", "unknown", grader=by)
    score = _number(result.get("score"))
    if score is None:
        detail = f"OpenAI holds no score, but {short(result.get('score'))}"
        return Grade.undecided("other_error", detail, "unknown", grader=by)
    passed, reason = result.get("passed"), result.get("reason")
    verdict = f", {'passed' if passed else 'failed'}" if isinstance(passed, bool) else ""
    said = f": {reason}" if isinstance(reason, str) and reason else ""
    return Grade(score, f"OpenAI scored {score:.12g}{verdict}{said}", grader=by)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _whole(item: Graded) -> Grade:
    """Whether the item passed, as OpenAI told it."""
    by = "passes@openai"
    if item.error is not None:
        return Grade.undecided(
            "unresponsive_reward_error", f"OpenAI's sampling failed: {item.error}", "infra", grader=by
        )
    if item.status not in ("pass", "fail"):
        return Grade.undecided("other_error", f"OpenAI's status is {short(item.status)}", "unknown", grader=by)
    passed = item.status == "pass"
    return Grade(float(passed), f"OpenAI says that the item {'passed' if passed else 'failed'}", grader=by)


def _wire(item: Graded, grade: Grade) -> dict[str, Any]:
    wire = {"id": item.id, **grade.to_wire()}
    return wire if item.hash is None else {**wire, "row": item.hash}


def _remark(converted: Converted, notes: Notes, items: int) -> None:
    for place, keys in notes.keys.items():
        if keys:
            converted.lost(place, ", ".join(keys), "no part of a row or a grade; keep the file")
    if notes.without_output:
        converted.otherwise(
            "sample",
            f"none in {notes.without_output:,} of {items:,} output items",
            "their output_text is empty; a grader that reads the item alone grades them as OpenAI did",
        )
