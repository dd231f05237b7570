"""Promptfoo's configs: assertions to graders, tests to rows, and a list of what has no counterpart.

Sources: promptfoo.dev/docs/configuration (reference, test-cases, expected-outputs) and the config schema of 0.121.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graders.convert.converted import Converted, part_key
from graders.convert.promptfoo_assertions import (
    KNOWN_KEYS,
    Assertion,
    Definition,
    Slot,
    Verdict,
    name_of,
    read_value,
    threshold_of,
    together,
    verdict,
    weight_of,
)
from graders.convert.promptfoo_tests import Case, Files, NotCarriedError, TestReader, as_template, with_variables
from graders.grader import Grader
from graders.registry import load
from graders.template import parse, short
from graders.variables import missing_variables

CONFIG_KEYS: Mapping[str, str] = {
    "providers": "the model that answers is named where `assay eval` is called",
    "targets": "the model that answers is named where `assay eval` is called",
    "derivedMetrics": "metrics over all rows are not computed; each grade keeps its parts, to compute them from",
    "extensions": "code that runs beside an evaluation is not run",
    "nunjucksFilters": "a template here is a path, without filters",
    "redteam": "attacks are not generated",
    "tracing": "traces are not recorded",
    "description": "a grader file has no place for notes",
    "tags": "a grader file has no place for notes",
    "metadata": "a grader file has no place for notes",
    "env": "the environment is not set",
}
READ_KEYS = {"prompts", "tests", "defaultTest", "scenarios", "$schema"}
SIGNS = ("prompts", "providers", "targets", "tests", "defaultTest", "scenarios")


def is_config(source: Mapping[str, Any]) -> bool:
    """Whether this is a config, or an exported evaluation that holds one."""
    config = source.get("config")
    return any(sign in source for sign in SIGNS) or (
        isinstance(config, Mapping) and any(sign in config for sign in SIGNS)
    )


def from_config(source: Mapping[str, Any], folder: Path, judge: str = "") -> Converted:
    """Graders and rows of a config; of an exported evaluation also the outputs, under Promptfoo's own verdicts.

    `folder` is where `file://` leads; `judge` is the model of graders for which the config names none.
    """
    exported = source.get("config")
    config = exported if isinstance(exported, Mapping) and not any(sign in source for sign in SIGNS) else source
    converted = Converted("a Promptfoo config" if config is source else "an exported Promptfoo evaluation")
    files = Files(folder)
    for key, value in config.items():
        if key not in READ_KEYS and value not in (None, [], {}, ""):
            converted.lost(key, value, CONFIG_KEYS.get(key, "an option of how Promptfoo runs and shows an evaluation"))
    reader = TestReader(config, files, converted)
    cases = list(_stored(source, converted)) or reader.cases()
    prompts = _prompts(config.get("prompts"), files, converted)
    Importer(converted, files, prompts, judge).add(cases)
    return converted


def _stored(source: Mapping[str, Any], converted: Converted) -> Iterator[Case]:
    """The cases of an exported evaluation, each with the output that was judged and Promptfoo's verdict."""
    results = source.get("results")
    rows = results.get("results") if isinstance(results, Mapping) else results
    for number, row in enumerate(rows if isinstance(rows, list) else []):
        place = f"results.{number}"
        test, response = (row.get("testCase"), row.get("response")) if isinstance(row, Mapping) else (None, None)
        if not isinstance(test, Mapping) or not isinstance(response, Mapping) or response.get("output") is None:
            why = row.get("error") if isinstance(row, Mapping) else None
            converted.lost(place, "a result", f"no output was stored with its test ({short(why or 'no reason given')})")
            continue
        prompt = row.get("prompt")
        variables, asserts = test.get("vars") or row.get("vars"), test.get("assert")
        yield Case(
            place,
            dict(variables) if isinstance(variables, Mapping) else {},
            [(f"{place}.assert.{n}", one) for n, one in enumerate(asserts if isinstance(asserts, list) else [])],
            test.get("threshold"),
            options if isinstance(options := test.get("options"), Mapping) else {},
            test.get("metadata"),
            response["output"],
            prompt.get("raw") if isinstance(prompt, Mapping) else None,
            {"promptfoo": {"score": row.get("score"), "pass": row.get("success")}},
        )


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt: its text as Promptfoo has it, and what it is called."""

    label: str
    text: str

    def messages(self, case: Case) -> list[dict[str, Any]]:
        """The messages of one row: those of a chat written as JSON, else the text as the user's."""
        options = case.options
        text = f"{options.get('prefix') or ''}{self.text}{options.get('suffix') or ''}"
        return _messages(with_variables(text, case.vars))


def _messages(text: str) -> list[dict[str, Any]]:
    if text.lstrip().startswith("["):
        try:
            messages = json.loads(text)
        except ValueError:
            messages = None
        if isinstance(messages, list) and messages and all(isinstance(m, dict) and "role" in m for m in messages):
            return messages
    return [{"role": "user", "content": text}]


def _prompts(given: Any, files: Files, converted: Converted) -> list[Prompt]:
    prompts: list[Prompt] = []
    listed = given if isinstance(given, list) else [] if given is None else [given]
    if isinstance(given, Mapping):
        listed = [{"raw": text, "label": label} for text, label in given.items()]
    for number, prompt in enumerate(listed):
        place = f"prompts.{number}"
        try:
            prompts.extend(_prompt(prompt, place, files))
        except NotCarriedError as problem:
            converted.lost(place, prompt, str(problem))
    return prompts


def _prompt(prompt: Any, place: str, files: Files) -> Iterator[Prompt]:
    label, text = "", prompt
    if isinstance(prompt, Mapping):
        text = prompt.get("raw") or prompt.get("id") or prompt.get("path")
        label = str(prompt.get("label") or "")
    if not isinstance(text, str):
        raise NotCarriedError("a prompt is a text or a file")
    looks_like_file = text.startswith("file://") or (
        "\n" not in text and text.endswith((".txt", ".json", ".yaml", ".yml", ".md", ".j2", ".py", ".js"))
    )
    if not looks_like_file:
        with_variables(text, {})
        yield Prompt(label or place, text)
        return
    for path in files.paths(text):
        if path.suffix not in (".txt", ".json", ".yaml", ".yml", ".md", ".j2"):
            raise NotCarriedError(f"a prompt made by code ({path.name}) is not run")
        data = (
            path.read_text(encoding="utf-8-sig") if path.suffix in (".json", ".txt", ".md", ".j2") else files.read(path)
        )
        whole = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
        pieces = whole.split("\n---\n") if path.suffix == ".txt" else [whole]
        for piece in pieces:
            with_variables(piece, {})
            yield Prompt(label or path.name, piece)


@dataclass(slots=True)
class Group:
    """Tests that one grader judges: their assertions are the same but for values."""

    verdicts: Sequence[Verdict]
    threshold: Any
    cases: list[tuple[Case, Sequence[Verdict]]] = field(default_factory=list)


class Importer:
    """Turns cases into graders and rows."""

    def __init__(self, converted: Converted, files: Files, prompts: Sequence[Prompt], judge: str) -> None:
        self.converted = converted
        self.files = files
        self.prompts = prompts
        self.judge = judge
        self.said: set[tuple[str, str]] = set()
        self.tried: dict[str, str] = {}  # definitions, and why they were refused

    def add(self, cases: Sequence[Case]) -> None:
        groups: dict[str, Group] = {}
        for case in cases:
            verdicts = [one for place, wire in case.asserts if (one := self._verdict(place, wire, case)) is not None]
            if not verdicts:
                self._lost(case.place, "a test", "it has no assertion that can be carried, so nothing grades it")
                continue
            shape = [[one.score, one.passes, one.weight, one.name] for one in verdicts]
            key = json.dumps([shape, case.threshold], default=_mark)
            groups.setdefault(key, Group(verdicts, case.threshold)).cases.append((case, verdicts))
        if not groups:
            raise ValueError(
                "no test has an assertion that can be carried: " + "; ".join(map(str, self.converted.not_carried[:5]))
            )
        for number, group in enumerate(groups.values(), start=1):
            self._group(group, f"-{number}" if len(groups) > 1 else "")

    def _lost(self, place: str, what: Any, why: str) -> None:
        """A remark, once for a place: an assertion of `defaultTest` stands in every test."""
        if (place, why) not in self.said:
            self.said.add((place, why))
            self.converted.lost(place, what, why)

    # Assertions

    def _verdict(self, place: str, wire: Any, case: Case) -> Verdict | None:
        try:
            if not isinstance(wire, Mapping) or not isinstance(wire.get("type"), str):
                raise NotCarriedError("an assertion is an object with a 'type'")
            for key in sorted(wire.keys() - KNOWN_KEYS):
                why = (
                    "options of code are not handed over" if key == "config" else "no such key of an assertion is known"
                )
                self._lost(f"{place}.{key}", wire[key], why)
            if wire["type"] == "assert-set":
                return self._set(place, wire, case)
            found = verdict(self._assertion(place, wire, case))
            self._try(found)
        except NotCarriedError as problem:
            what = wire.get("type") if isinstance(wire, Mapping) else wire
            self._lost(place, what, f"{problem}; it is left out of score and pass")
            return None
        return found

    def _assertion(self, place: str, wire: Mapping[str, Any], case: Case) -> Assertion:
        kind = wire["type"].removeprefix("not-")
        return Assertion(
            place,
            kind,
            kind != wire["type"],
            wire,
            read_value(wire, self.files),
            case,
            self.files,
            self.converted,
            self.judge,
            has_prompt=bool(self.prompts) or case.prompt is not None,
        )

    def _try(self, found: Verdict) -> None:
        """Load the graders once, with their slots as constants: what they refuse is not carried."""
        for definition in (found.score, found.passes):
            wire = _filled(definition, lambda slot: slot.filled("{{item.value}}"))
            key = json.dumps(wire, default=str)
            if key not in self.tried:
                self.tried[key] = _refused(wire)
            if reason := self.tried[key]:
                raise NotCarriedError(reason)

    def _set(self, place: str, wire: Mapping[str, Any], case: Case) -> Verdict | None:
        asserts = wire.get("assert")
        if not isinstance(asserts, list) or not asserts:
            raise NotCarriedError("an assert-set needs a list of assertions")
        parts = [self._verdict(f"{place}.assert.{number}", one, case) for number, one in enumerate(asserts)]
        carried = [part for part in parts if part is not None]
        if not carried:
            raise NotCarriedError("none of its assertions can be carried")
        score = self._score(carried)
        if score is None:
            raise NotCarriedError("all of its assertions weigh 0")
        return Verdict(score, self._passes(carried, score, wire.get("threshold")), weight_of(wire), name_of(wire))

    def _score(self, verdicts: Sequence[Verdict]) -> Definition | None:
        """Scores by weight, as Promptfoo adds them up; None where nothing weighs anything."""
        weighing = [one for one in verdicts if one.weight]
        if len(weighing) <= 1:
            return weighing[0].score if weighing else None
        total = sum(one.weight for one in weighing)
        keys = _keys(weighing)
        sum_of: Definition = {
            "type": "weighted_sum",
            "graders": {key: one.score for key, one in zip(keys, weighing, strict=True)},
        }
        if len({one.weight for one in weighing}) > 1:
            sum_of["weights"] = {key: one.weight / total for key, one in zip(keys, weighing, strict=True)}
        return sum_of

    def _passes(self, verdicts: Sequence[Verdict], score: Definition | None, threshold: Any) -> Definition:
        """A threshold of the whole decides where there is one, else every assertion must pass."""
        if isinstance(threshold, int | float) and not isinstance(threshold, bool) and score is not None:
            return threshold_of(score, threshold)
        return together("min", [one.passes for one in verdicts], "part")

    # Graders and rows

    def _group(self, group: Group, suffix: str) -> None:
        """One grader for tests of one shape: a value they share is a constant, any other goes into the rows."""
        slots = [[slot for one in verdicts for slot in _slots([one.score, one.passes])] for _, verdicts in group.cases]
        keys: dict[tuple[str, ...], str] = {}  # the values of a column, and the key of the rows that holds them
        lifted: dict[int, str] = {}
        templates: list[str] = []
        for number, column in enumerate(zip(*slots, strict=True)):
            texts = tuple(slot.text for slot in column)
            template = as_template(texts[0])
            if len(set(texts)) > 1 or not _holds(template):
                name = keys.setdefault(texts, self._free_key(group, f"expected_{len(keys) + 1}"))
                lifted[number], template = name, f"{{{{item.{name}}}}}"
            templates.append(template)
        rows: list[dict[str, Any]] = []
        for (case, _), values in zip(group.cases, slots, strict=True):
            expected = {name: with_variables(values[number].text, case.vars) for number, name in lifted.items()}
            rows.extend(self._rows(case, expected))
        self._graders(group, templates, rows, suffix)
        self.converted.rows[f"{'outputs' if rows and 'sample' in rows[0] else 'items'}{suffix}"] = rows

    def _free_key(self, group: Group, name: str) -> str:
        while any(name in case.vars for case, _ in group.cases):
            name += "_"
        return name

    def _graders(self, group: Group, templates: Sequence[str], rows: Sequence[Mapping[str, Any]], suffix: str) -> None:
        given = iter(templates)
        filled = []
        for one in group.verdicts:
            score, passes = _filled([one.score, one.passes], lambda slot: slot.filled(next(given)))
            filled.append(Verdict(score, passes, one.weight, one.name))
        score = self._score(filled)
        place = group.cases[0][0].place
        if score is not None:
            self._keep(f"score{suffix}", score, rows, place)
        else:
            self._lost(place, "the score", "every assertion weighs 0, so only whether it passes is left")
        try:
            passes = self._passes(filled, score, group.threshold)
        except NotCarriedError as problem:
            self._lost(place, "threshold", str(problem))
            return
        if passes != score:
            self._keep(f"pass{suffix}", passes, rows, place)

    def _keep(self, name: str, definition: Definition, rows: Sequence[Mapping[str, Any]], place: str) -> None:
        try:
            grader: Grader = load({**definition, "name": name})
        except (ValueError, LookupError, TypeError) as problem:
            self._lost(place, name, str(problem.args[0]))
            return
        self.converted.add(name, grader)
        items = [row.get("item", row) for row in rows]
        for missing in missing_variables(grader, items):
            why = f"empty in Promptfoo, undecided here: {missing.hint}"
            self.converted.otherwise(place, f"{{{{ {missing.variable} }}}}", why)

    def _rows(self, case: Case, expected: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        values = dict(case.vars)
        for reserved in ("messages", "tools"):
            if reserved in values:
                why = "a row keeps its prompt under this key"
                self._lost(f"{case.place}.vars.{reserved}", values.pop(reserved), why)
        if case.metadata and "metadata" not in values:
            values["metadata"] = case.metadata
        values |= expected
        if case.output is not None:
            asked = {} if case.prompt is None else {"messages": _messages(str(case.prompt))}
            yield {"id": case.place, "item": {**asked, **values, **case.verdict}, "sample": _sample(case.output)}
            return
        if not self.prompts:
            yield values
        for prompt in self.prompts:
            label = {"prompt_label": prompt.label} if len(self.prompts) > 1 and "prompt_label" not in values else {}
            yield {"messages": prompt.messages(case), **values, **label}


def _refused(definition: Definition) -> str:
    """Why a definition does not load; "" where it does."""
    try:
        load(definition)
    except (ValueError, LookupError, TypeError) as problem:
        return str(problem.args[0] if problem.args else problem)
    return ""


def _sample(output: Any) -> dict[str, Any]:
    """An output as Promptfoo stored it: a text, or data; a list of tool calls is both."""
    if isinstance(output, str):
        return {"output_text": output}
    calls = output.get("tool_calls") if isinstance(output, Mapping) else output
    is_calls = isinstance(calls, list) and calls and all(isinstance(c, Mapping) and "function" in c for c in calls)
    text = json.dumps(output, ensure_ascii=False)
    return {"output_text": text, "output_tools": calls} if is_calls else {"output_text": text}


def _mark(value: Any) -> Any:
    if isinstance(value, Slot):
        return ["slot", value.before, value.after]
    return str(value)


def _slots(value: Any) -> Iterator[Slot]:
    """The slots of a definition, in order."""
    if isinstance(value, Slot):
        yield value
    elif isinstance(value, Mapping):
        for element in value.values():
            yield from _slots(element)
    elif isinstance(value, list):
        for element in value:
            yield from _slots(element)


def _filled(value: Any, fill: Any) -> Any:
    """A definition with its slots filled, in order."""
    if isinstance(value, Slot):
        return fill(value)
    if isinstance(value, Mapping):
        return {key: _filled(element, fill) for key, element in value.items()}
    return [_filled(element, fill) for element in value] if isinstance(value, list) else value


def _holds(template: str) -> bool:
    """Whether a text can stand in a definition as it is."""
    try:
        parse(template)
    except ValueError:
        return False
    return True


def _keys(verdicts: Sequence[Verdict]) -> list[str]:
    """A key for each, its name; repeated names are numbered."""
    keys: list[str] = []
    for one in verdicts:
        keys.append(part_key(one.name, keys))
    return keys
