"""tool_calls: did the model call the right tools with the right arguments?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property, partial
from itertools import islice
from typing import Any, ClassVar, Literal, TypeAlias

from pydantic import Field

from graders.composite import Composite, Steps, could_not_decide, usage_of
from graders.grade import Grade, Usage
from graders.grader import Grader
from graders.sample import Item, Sample
from graders.structured.assignment import best_matching
from graders.structured.calls import (
    OUTPUT_TOOLS,
    ToolCall,
    of_one_name,
    read_output_calls,
    read_reference_calls,
    wrote_no_call,
)
from graders.structured.compare import MAX_PAIRS, Comparison, Extra, Fields, Lists, Place, path_steps, places
from graders.structured.unused import lacking
from graders.template import Template

MOST_REASONS = 8
TINY = 1e-9  # of two calls of one name that are worth nothing one still stands for the other

Scores: TypeAlias = dict[tuple[int, int], float]  # (reference call, output call) -> share of the arguments


class ToolCalls(Composite):
    """How far the tool calls of an output are those of the reference, from 0 to 1.

    Each expected call is worth the same: `name_share` of it for a call of that name, the rest for the share of its
    arguments that are right, compared as `json_match` compares objects. Calls are matched one to one so that the
    score is highest, in any order (`calls` "unordered") or without changing the order ("ordered"). A call too many, a
    second one of the same kind too, counts as one more that should have been right (`extra_calls`). A call whose
    arguments are no JSON object is worth 0. No calls where none is expected score 1, any call there 0.

    `fields` names arguments by tool and path, such as `get_weather.city`.

    >>> calls = ToolCalls(reference="{{item.calls}}")
    >>> sample = {"output_tools": [{"function": {"name": "weather", "arguments": '{"city": "Rome", "days": 2}'}}]}
    >>> calls(sample, {"calls": [{"name": "weather", "arguments": {"city": "Rome", "days": 3}}]}).why
    '0 of 1 calls right: weather.days is 2, not 3; 0.5*names + 0.5*arguments = 0.5*1 + 0.5*0.5 = 0.75'
    """

    gives_parts: ClassVar[frozenset[str]] = frozenset({"reference"})  # `item.reference` is the field's

    type: Literal["tool_calls"] = "tool_calls"
    input: Template = OUTPUT_TOOLS
    reference: Template
    calls: Lists = "unordered"
    name_share: float = Field(0.5, ge=0, le=1)
    extra_calls: Extra = "charge"
    extra_arguments: Extra = "charge"
    lists: Lists = "ordered"
    fields: Fields = Field({})

    def check(self) -> None:
        if self.extract is not None and "output_tools" in self.input:
            raise ValueError(
                "extract finds the calls in the text, and input reads them from output_tools; "
                'set input to "{{sample.output_text}}", or leave extract out'
            )
        for path, rule in self.fields.items():
            if len(path_steps(path)) < 2 and rule.grader is None:
                raise ValueError(f"{path!r} is a tool, not an argument; write {path + '.argument'!r}")
        if self.name_share == 1:
            unused = {"fields": self.fields, "lists": self.lists != "ordered"}
            unused["extra_arguments"] = self.extra_arguments != "charge"
            for option in (name for name, given in unused.items() if given):
                raise ValueError(f"{option} has no effect with name_share 1, which leaves the arguments out")

    @property
    def members(self) -> Mapping[str, Grader]:
        return {path: rule.grader for path, rule in self.fields.items() if rule.grader is not None}

    @cached_property
    def _root(self) -> Place:
        return places(self.fields)

    def steps(self, sample: Sample, item: Item) -> Steps:
        wanted = read_reference_calls(self.reference, sample, item)
        if not wanted and self.input.replace(" ", "") != OUTPUT_TOOLS and wrote_no_call(self.input, sample, item):
            return Grade(1.0, "no call, as expected", extracted=[])
        found = read_output_calls(self.input, sample, item)
        arguments = [call.arguments for call in wanted], [call.arguments for call in found]
        course = partial(self._course, wanted)
        comparison = Comparison(*arguments, self.lists, self.extra_arguments, item, course)
        pairs = self._asked(wanted, found, comparison)
        usage = None
        if comparison.calls:
            grades = yield list(comparison.calls.values())
            usage = usage_of(grades)
            if undecided := could_not_decide(comparison.answer(grades), usage=usage):
                return undecided
        return self._grade(wanted, found, self._shares(wanted, found, pairs, comparison), comparison, usage)

    def cautions(self, item: Item) -> list[str]:
        """Which `fields` change nothing for an item, as its calls have nothing there."""
        calls: dict[str, list[Any]] = {}
        for call in read_reference_calls(self.reference, Sample(), item):
            calls.setdefault(call.name, []).append(call.arguments)
        known, found = frozenset(calls), []
        for path, rule in self.fields.items():
            tool, *steps = path_steps(path)
            if tool in known:
                found += lacking(path, rule, tool, steps, calls[tool], self.extra_arguments)
            elif close := get_close_matches(tool, known, n=1, cutoff=0.8):
                found.append(f"fields[{path!r}]: the reference has no call of {tool!r}; did you mean {close[0]!r}?")
        return found

    def _course(self, wanted: Sequence[ToolCall], comparison: Comparison, _: Any) -> None:
        self._shares(wanted, wanted, self._asked(wanted, wanted, comparison), comparison)

    def _asked(
        self, wanted: Sequence[ToolCall], found: Sequence[ToolCall], comparison: Comparison
    ) -> list[tuple[int, int]]:
        """The pairs of calls to compare, and the graders of their arguments asked."""
        pairs = list(islice(of_one_name(wanted, found), MAX_PAIRS + 1))
        comparison.check_pairs(len(wanted) * len(found) if self.calls == "ordered" else len(pairs))
        for first, second in pairs if self._root.asks else ():
            comparison.ask(wanted[first].arguments, found[second].arguments, self._root.at(wanted[first].name))
        return pairs

    def _shares(
        self,
        wanted: Sequence[ToolCall],
        found: Sequence[ToolCall],
        pairs: Sequence[tuple[int, int]],
        comparison: Comparison,
    ) -> Scores:
        if self.name_share == 1:
            return dict.fromkeys(pairs, 1.0)
        places = [self._root.at(call.name) for call in wanted]
        return {
            (first, second): comparison.score(wanted[first].arguments, found[second].arguments, places[first])
            for first, second in pairs
        }

    def _worth(self, share: float) -> float:
        return self.name_share + (1 - self.name_share) * share

    def _grade(
        self,
        wanted: Sequence[ToolCall],
        found: Sequence[ToolCall],
        shares: Scores,
        comparison: Comparison,
        usage: Usage | None,
    ) -> Grade:
        extracted = [call.to_wire() for call in found]
        if not wanted:
            why = f"no call was expected, and {len(found)} made: {_listed(found)}" if found else "no call, as expected"
            return Grade(float(not found), why, extracted=extracted, usage=usage)
        worth = {pair: self._worth(share) or TINY for pair, share in shares.items()}
        matched = _in_order(worth, len(wanted), len(found)) if self.calls == "ordered" else _in_any_order(worth)
        charged = max(len(wanted), len(found)) if self.extra_calls == "charge" else len(wanted)
        names = len(matched) / charged
        arguments = sum(shares[pair] for pair in matched) / charged
        score = min(1.0, self._worth(0) * names + (1 - self.name_share) * arguments)
        formula = (
            f"{self.name_share:g}*names + {1 - self.name_share:g}*arguments = "
            f"{self.name_share:g}*{names:.4g} + {1 - self.name_share:g}*{arguments:.4g} = {score:.4g}"
        )
        parts = {
            "names": Grade(names, f"{len(matched)} of {charged} calls have a name that was expected"),
            "arguments": Grade(arguments, f"{arguments:.4g} of the arguments of {charged} calls are right"),
        }
        for first, second in matched:
            call, at = wanted[first], self._root.at(wanted[first].name)
            parts |= comparison.graded(call.arguments, found[second].arguments, at, f"{call.name}[{first}]")
        right = sum(shares[pair] == 1 for pair in matched)
        reasons = self._reasons(wanted, found, matched, comparison)
        head = f"{right} of {len(wanted)} calls right"
        why = f"{head}: {'; '.join(reasons)}; {formula}" if score < 1 else f"all {len(wanted)} calls right"
        return Grade(score, why, parts=parts, formula=formula, extracted=extracted, usage=usage)

    def _reasons(
        self,
        wanted: Sequence[ToolCall],
        found: Sequence[ToolCall],
        matched: Sequence[tuple[int, int]],
        comparison: Comparison,
    ) -> list[str]:
        """What is wrong with the calls, one by one."""
        reasons: list[str] = []
        for first, second in matched if self.name_share < 1 else ():
            call, at = wanted[first], self._root.at(wanted[first].name)
            differences = comparison.differences(call.arguments, found[second].arguments, at, call.name)
            reasons += islice(differences, MOST_REASONS)
        known, used = {first for first, _ in matched}, {second for _, second in matched}
        reasons += [f"{call} was not called" for number, call in enumerate(wanted) if number not in known]
        if self.extra_calls == "charge" or any(call.problem for call in found):
            for number, call in enumerate(found):
                if number not in used and (call.problem or self.extra_calls == "charge"):
                    reasons.append(call.problem or f"{call} is one call too many")
        return reasons if len(reasons) <= MOST_REASONS else [*reasons[:MOST_REASONS], "and more"]


def _in_any_order(worth: Scores) -> list[tuple[int, int]]:
    """The matching of the greatest worth: calls of different names have nothing in common, so name by name."""
    groups: list[tuple[list[int], list[int]]] = []
    by_row: dict[int, tuple[list[int], list[int]]] = {}
    by_column: dict[int, tuple[list[int], list[int]]] = {}
    for first, second in worth:
        group = by_row.get(first) or by_column.get(second)
        if group is None:
            group = ([], [])
            groups.append(group)
        if first not in by_row:
            group[0].append(first)
            by_row[first] = group
        if second not in by_column:
            group[1].append(second)
            by_column[second] = group
    matched: list[tuple[int, int]] = []
    for rows, columns in groups:
        scores = [[worth[row, column] for column in columns] for row in rows]
        matched += [(rows[first], columns[second]) for first, second in best_matching(scores)]
    return sorted(matched)


def _in_order(worth: Scores, rows: int, columns: int) -> list[tuple[int, int]]:
    """The matching of the greatest worth that keeps the order of both sides (Needleman & Wunsch 1970, no gap cost)."""
    best = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    for row in range(rows):
        for column in range(columns):
            paired = best[row][column] + worth.get((row, column), 0.0)
            best[row + 1][column + 1] = max(paired, best[row][column + 1], best[row + 1][column])
    matched: list[tuple[int, int]] = []
    row, column = rows, columns
    while row and column:
        if best[row][column] == best[row - 1][column]:
            row -= 1
        elif best[row][column] == best[row][column - 1]:
            column -= 1
        else:
            row, column = row - 1, column - 1
            matched.append((row, column))
    return matched[::-1]


def _listed(calls: Sequence[ToolCall]) -> str:
    shown = [call.problem or str(call) for call in calls[:MOST_REASONS]]
    return "; ".join([*shown, "and more"] if len(calls) > MOST_REASONS else shown)
