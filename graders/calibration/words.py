"""A calibration in plain words and a table; and what its figures mean, with the limits they are held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from graders.agreement import SAME_EACH_DRAW, Figure
from graders.service.cost import money

if TYPE_CHECKING:
    from graders.calibration.calibrate import Calibration

TENTATIVE, RELIABLE = 0.667, 0.8
"""Krippendorff, Content Analysis (2004), section 11.4: the least alpha for tentative conclusions, and to rely on."""

FEW = 50  # labelled rows below which the intervals are too wide to decide much
SHOWN = 5  # violations of the order that are listed
NAMES: Mapping[str, str] = {
    "accuracy": "accuracy",
    "kappa": "kappa, pass or fail",
    "kappa_quadratic": "kappa, quadratic weights",
    "category_accuracy": "accuracy of the label",
    "category_kappa": "kappa of the label",
    "alpha": "alpha",
    "spearman": "Spearman",
    "bias": "score - label, mean",
}


class Line(NamedTuple):
    """One figure under its name; a title alone opens a section."""

    name: str
    figure: Figure | None = None


def told(found: Calibration) -> str:
    """The whole report as text."""
    parts = [_head(found), _table(list(lines(found))), *_confusion(found), *_notes(found), _cost(found)]
    return "\n\n".join([*parts, "\n".join(f"- {verdict}" for verdict in verdicts(found))])


def _head(found: Calibration) -> str:
    labels = found.labels
    said = "no labels"
    if labels is not None:
        said = f"{labels.labelled} with {labels.key!r}: {labels.about}"
    return f"{found.grader}  {found.rows} rows, {said}\na score passes from {found.threshold:g}"


def lines(found: Calibration) -> Iterator[Line]:
    """Every figure that was found, under the title of its section."""
    if not isinstance(found.agreement, str):
        yield Line("grader and people")
        yield from (Line(NAMES[name], figure) for name, figure in found.agreement.items())
    if not isinstance(found.people, str):
        yield Line("people among themselves")
        yield Line("alpha of people", found.people["alpha"])
        yield Line("alpha of the grader and one person", found.people["grader_with_one"])
    if not isinstance(found.consistency, str):
        yield Line(f"the grader with itself, {found.consistency.draws} draws")
        yield Line("share of verdicts that flip", found.consistency.flips)
        yield Line("highest - lowest score, mean", found.consistency.spread)
        yield Line("alpha of the draws", found.consistency.alpha)
    if not isinstance(found.position, str):
        yield Line("order of the two answers")
        yield Line("share of verdicts it decides", found.position.depends)
    yield Line("length of the output")
    yield Line("Spearman with the score", found.length.grader)
    if found.labels is not None:
        yield Line("Spearman with people's label", found.length.people)
        yield Line("difference of the two", found.length.gap)
        yield Line("with the score, label held fixed", found.length.left)
    if not isinstance(found.order, str):
        yield Line("known order")
        yield Line("share of pairs in order", found.order.right)
    if not isinstance(found.suggestion, str):
        yield Line(f"threshold {found.suggestion.threshold:.4g}, chosen on these rows")
        yield Line("kappa on these rows", found.suggestion.here)
        yield Line("kappa, 5-fold cross-validated", found.suggestion.elsewhere)
        yield Line("accuracy, 5-fold cross-validated", found.suggestion.accuracy_elsewhere)


def _table(lines: Sequence[Line]) -> str:
    width = max(len(line.name) for line in lines) + 4
    told = [f"{'':{width}}{'value':>7}  95% interval          n"]
    for name, figure in lines:
        if figure is None:
            told.append(name)
        elif figure.value is None:
            told.append(f"  {name:{width - 2}}{'-':>7}  {figure.reason}")
        else:
            limits = "-" if figure.low is None else f"[{figure.low:z.3f}, {figure.high:z.3f}]"
            told.append(f"  {name:{width - 2}}{figure.value:z7.3f}  {limits:16}  {figure.n:>5}")
    return "\n".join(told)


def _confusion(found: Calibration) -> Iterator[str]:
    if found.labels is None:
        return
    counts = found.confusion
    head = f"{'':14}{'grader passes':>14}{'grader fails':>14}"
    rows = [
        f"{'people ' + people:14}{counts[f'{people}_pass']:>14}{counts[f'{people}_fail']:>14}"
        for people in ("pass", "fail")
    ]
    yield "\n".join([head, *rows])


def _notes(found: Calibration) -> Iterator[str]:
    """What was not told, and the worst of the ordering check."""
    if not isinstance(found.order, str) and found.order.violations:
        order = found.order
        listed = [f"  {violation}" for violation in order.violations[:SHOWN]]
        more = len(order.violations) - SHOWN
        yield "\n".join(["against the known order:", *listed, *([f"  and {more} more"] if more > 0 else [])])
    skipped = {
        "people among themselves": found.people,
        "self-consistency": found.consistency,
        "position bias": found.position,
        "ordering": found.order,
        "threshold": found.suggestion,
    }
    if said := [f"{name}: {reason}" for name, reason in skipped.items() if isinstance(reason, str)]:
        yield "not told: " + "; ".join(said)


def _cost(found: Calibration) -> str:
    cost = found.cost
    parts = []
    for model, counts in cost.per_1000.items():
        tokens = f"{counts['prompt_tokens']:,.0f} + {counts['completion_tokens']:,.0f} tokens"
        parts.append(f"{model} {counts['calls']:,.0f} calls, {tokens} per 1,000 grades")
    if cost.dollars_per_1000 is not None:
        parts.append(f"{money(cost.dollars_per_1000)} per 1,000 grades")
    elif cost.unpriced:
        parts.append(f"no price for {', '.join(cost.unpriced)} in the file of judges")
    if cost.kept:
        parts.append(f"{cost.kept:,} of {cost.grades:,} grades from the cache, left out here")
    if cost.seconds is not None:
        parts.append(f"{_seconds(cost.seconds[0])} a grade (median), {_seconds(cost.seconds[1])} (p95)")
    errors = ", ".join(f"{kind} {count}" for kind, count in cost.errors.items()) or "none"
    failed = ", ".join(f"{kind} {count}" for kind, count in cost.failed.items())
    parts.append(f"undecided: {errors}" + (f"; failed: {failed}" if failed else ""))
    return "\n".join(["cost", *(f"  {part}" for part in parts)])


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.01 else f"{seconds * 1000:.2g} ms"


# What the figures mean


def verdicts(found: Calibration) -> list[str]:
    """The figures in plain sentences, each with the limit that it is held against."""
    told = [*_of_agreement(found), *_of_people(found), *_of_consistency(found), *_of_position(found)]
    told += [*_of_length(found), *_of_order(found), *_of_threshold(found), *_of_rows(found)]
    return told or ["nothing could be told"]


def _of_agreement(found: Calibration) -> Iterator[str]:
    if isinstance(found.agreement, str):
        return
    alpha = found.agreement["alpha"]
    if alpha.value is None:
        yield f"agreement with people cannot be told: {alpha.reason}"
    else:
        yield f"alpha {_shown(alpha)}: {_grounds(alpha.value)}{_lower_end(alpha)}"
    bias = found.agreement["bias"]
    if _excludes_zero(bias) and bias.value is not None:
        way = "higher" if bias.value > 0 else "lower"
        yield f"scores are {abs(bias.value):.2g} {way} than labels on average ({_shown(bias)})"


def _grounds(alpha: float) -> str:
    if alpha >= RELIABLE:
        return f"at least {RELIABLE}, which Krippendorff asks of data that are relied on"
    if alpha >= TENTATIVE:
        return f"from {TENTATIVE} to {RELIABLE}, good for tentative conclusions only (Krippendorff)"
    return f"below {TENTATIVE}, Krippendorff's lowest for tentative conclusions"


def _lower_end(alpha: Figure) -> str:
    if alpha.low is None or alpha.value is None:
        return ""
    limit = next((limit for limit in (TENTATIVE, RELIABLE) if alpha.low < limit <= alpha.value), None)
    return "" if limit is None else f"; the interval reaches below {limit}, so more labels are needed to be sure"


def _of_people(found: Calibration) -> Iterator[str]:
    if isinstance(found.people, str):
        return
    people, grader = found.people["alpha"], found.people["grader_with_one"]
    if people.value is None or grader.value is None:
        return
    if people.value < TENTATIVE:
        yield (
            f"people agree among themselves at alpha {_shown(people)} only: sharpen what they are asked before a "
            "grader is measured by them"
        )
    side = "no less than" if grader.value >= people.value else "less than"
    yield (
        f"the grader agrees with one person (alpha {_shown(grader)}) {side} people do with each other "
        f"(alpha {_shown(people)}), which is the ceiling"
    )


def _of_consistency(found: Calibration) -> Iterator[str]:
    if isinstance(found.consistency, str) or found.consistency.flips.value is None:
        return
    flips, draws = found.consistency.flips, found.consistency.draws
    yield (
        f"asked {draws} times, the grader changes its verdict in {flips.value:.1%} of the rows"
        if flips.value
        else f"asked {draws} times, the grader never changes its verdict"
    )


def _of_position(found: Calibration) -> Iterator[str]:
    if isinstance(found.position, str) or not found.position.depends.value:
        return
    position = found.position
    lean = f"{position.first} times for the answer shown first, {position.second} times for the second"
    yield f"the order decides {position.depends.value:.1%} of the comparisons: {lean}"


def _of_length(found: Calibration) -> Iterator[str]:
    gap, left = found.length.gap, found.length.left
    if gap.value is None or left.value is None:
        return
    if _excludes_zero(gap) and _excludes_zero(left) and (gap.value > 0) == (left.value > 0):
        way = "longer" if gap.value > 0 else "shorter"
        yield (
            f"length bias: {way} outputs get more than people give them (rank correlation with length {gap.value:+.2f} "
            f"beside people's; {left.value:+.2f} with the label held fixed)"
        )
    else:
        yield (
            f"no length bias is shown: scores follow length by {_shown(gap)} more than labels do, and by "
            f"{_shown(left)} with the label held fixed; one of the two may be 0"
        )


def _of_order(found: Calibration) -> Iterator[str]:
    if isinstance(found.order, str) or found.order.right.value is None:
        return
    order = found.order
    yield (
        f"of {order.pairs} pairs of known order {order.right.value:.1%} come out right, {order.ties} tie, "
        f"{order.wrong} are wrong"
    )


def _of_threshold(found: Calibration) -> Iterator[str]:
    if isinstance(found.suggestion, str) or isinstance(found.agreement, str):
        return
    now, elsewhere = found.agreement["kappa"].value, found.suggestion.elsewhere.value
    if elsewhere is not None and (now is None or elsewhere > now):
        yield (
            f"a threshold of {found.suggestion.threshold:.4g} agrees better: kappa {elsewhere:.3f} on rows it was not "
            f"chosen on, {'-' if now is None else f'{now:.3f}'} at {found.threshold:g}"
        )


def _of_rows(found: Calibration) -> Iterator[str]:
    if found.labels is not None and found.labels.labelled < FEW:
        yield f"{found.labels.labelled} labelled rows are few: below {FEW} the intervals are wide, and themselves rough"
    if found.cost.error_rate > 0.05:
        yield f"{found.cost.error_rate:.1%} of the grades were undecided, and are left out of every figure"


def _excludes_zero(figure: Figure) -> bool:
    if figure.low is None or figure.high is None:
        return bool(figure.value) and figure.reason == SAME_EACH_DRAW
    return figure.low > 0 or figure.high < 0


def _shown(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return f"{figure.value:z.2f}"
    return f"{figure.value:z.2f} [{figure.low:z.2f}, {figure.high:z.2f}]"
