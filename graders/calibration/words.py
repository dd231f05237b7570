"""A calibration in plain words and a table; and what its figures mean, with the limits they are held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from graders.agreement import ALL_ALIKE, FEW_CLUSTERS, SAME_EACH_DRAW, Figure
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
        yield Line("difference of these two", found.people["difference"])
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
        if found.length.over is not None:
            yield Line("Spearman with score - label", found.length.over)
    if not isinstance(found.order, str):
        yield Line("known order")
        yield Line("share of pairs in order", found.order.right)
    if not isinstance(found.suggestion, str):
        yield Line(f"threshold {found.suggestion.threshold:.4g}, chosen on these rows")
        yield Line("kappa on these rows", found.suggestion.here)
        yield Line("kappa, 5-fold cross-validated", found.suggestion.elsewhere)
        yield Line("accuracy, 5-fold cross-validated", found.suggestion.accuracy_elsewhere)
        yield Line(f"kappa gained over {found.threshold:g}", found.suggestion.gain)


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
    told = [
        *_of_labels(found),
        *_of_agreement(found),
        *_of_people(found),
        *_of_consistency(found),
        *_of_position(found),
    ]
    told += [*_of_length(found), *_of_order(found), *_of_threshold(found), *_of_rows(found)]
    return told or ["nothing could be told"]


def _of_labels(found: Calibration) -> Iterator[str]:
    labels = found.labels
    if labels is None:
        return
    if labels.doubt:
        yield labels.doubt
    passes = {passed for passed in labels.passes if passed is not None}
    if len(passes) == 1:
        alike = "every label passes" if passes == {True} else "no label passes"
        mend = "name their scale with --label-range, or where they pass with --label-threshold"
        yield f"{alike} ({labels.bar} does): {mend}" if labels.bar else f"{alike}: kappa has nothing to tell apart"


def _of_agreement(found: Calibration) -> Iterator[str]:
    if isinstance(found.agreement, str):
        return
    alpha = found.agreement["alpha"]
    if alpha.value is None:
        yield f"agreement with people cannot be told: {alpha.reason}"
    else:
        yield f"alpha {_shown(alpha)}: {_grounds(alpha.value)}{_lower_end(alpha, _units(found))}"
    bias = found.agreement["bias"]
    if _excludes_zero(bias) and bias.value is not None:
        way = "higher" if bias.value > 0 else "lower"
        yield f"scores are {abs(bias.value):.2g} {way} than labels on average ({_shown(bias)})"
    elif bias.value and bias.reason == ALL_ALIKE:
        yield f"scores are {abs(bias.value):.2g} {'higher' if bias.value > 0 else 'lower'} than labels in every row"


def _grounds(alpha: float) -> str:
    if alpha >= RELIABLE:
        return f"at least {RELIABLE}, which Krippendorff asks of data that are relied on"
    if alpha >= TENTATIVE:
        return f"from {TENTATIVE} to {RELIABLE}, good for tentative conclusions only (Krippendorff)"
    return f"below {TENTATIVE}, Krippendorff's lowest for tentative conclusions"


def _lower_end(alpha: Figure, units: int) -> str:
    if alpha.low is None or alpha.value is None:
        shows = "" if units >= FEW else ", so these rows do not show it"
        return f"; no interval can be told{shows} ({alpha.reason.removeprefix('no interval: ')})"
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
    gap = found.people["difference"]
    beside = "more than people do with each other" if (gap.low or 0) > 0 else "less than people do with each other"
    if not _excludes_zero(gap):
        beside = "not shown to differ from how people agree with each other"
    yield (
        f"the grader agrees with one person (alpha {_shown(grader)}) {beside} (alpha {_shown(people)}), "
        f"on the {gap.n} rows with two labels or more"
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
    length = found.length
    if length.gap.value == 0 and length.gap.reason == SAME_EACH_DRAW:
        yield "no length bias is shown: scores follow length just as labels do"
        return
    if length.gap.value is None or length.left.value is None:
        return
    told = [length.gap, length.left, *([] if length.over is None else [length.over])]
    said = f"scores follow length by {_shown(length.gap)} more than labels do, by {_shown(length.left)} with the label "
    said += "held fixed" + ("" if length.over is None else f", and score - label follows it by {_over(length.over)}")
    if abs(length.grader.value or 0) > 1 - 1e-9 and _units(found) >= FEW and _excludes_zero(length.gap):
        way = "longer" if length.gap.value > 0 else "shorter"
        yield f"length bias: {way} outputs get more, in the very order of their length, which labels follow less"
    elif unknown := next((figure for figure in told if figure.low is None), None):
        yield f"length bias cannot be told: {unknown.reason}"
    elif not all(_excludes_zero(figure) for figure in told):
        yield f"no length bias is shown: {said}; one of these may be 0"
    elif len({(figure.low or 0) > 0 for figure in told}) > 1:
        yield f"no length bias is shown: {said}, which point opposite ways"
    else:
        way = "longer" if length.gap.value > 0 else "shorter"
        yield (
            f"length bias: {way} outputs get more than people give them, or people's labels are noisier than the "
            f"scores ({said})"
        )


def _over(figure: Figure) -> str:
    return "-" if figure.value is None else _shown(figure)


def _of_order(found: Calibration) -> Iterator[str]:
    if isinstance(found.order, str):
        return
    order = found.order
    if order.right.value is None:
        if order.undecided:
            yield f"no pair of known order was decided, {order.undecided} were not"
        return
    yield (
        f"of {order.pairs} pairs of known order {order.right.value:.1%} come out right, {order.ties} tie, "
        f"{order.wrong} are wrong" + (f"; {order.undecided} more were undecided" if order.undecided else "")
    )


def _of_threshold(found: Calibration) -> Iterator[str]:
    if isinstance(found.suggestion, str) or isinstance(found.agreement, str):
        return
    best, gain, elsewhere = found.suggestion.threshold, found.suggestion.gain, found.suggestion.elsewhere.value
    now = found.agreement["kappa"].value
    if not gain.value or gain.value < 0 or elsewhere is None or now is None:
        return
    said = f"kappa {elsewhere:.3f} on rows it was not chosen on, {now:.3f} at {found.threshold:g}"
    if _excludes_zero(gain):
        yield f"a threshold of {best:.4g} agrees better: {said} (difference {_shown(gain)})"
    elif gain.low is None:
        yield f"a threshold of {best:.4g} has {said}; no interval of the difference can be told"
    else:
        yield f"no threshold is shown to agree better than {found.threshold:g}: {best:.4g} has {said}"


def _of_rows(found: Calibration) -> Iterator[str]:
    if found.labels is not None:
        yield from _few(_units(found), found.clusters is not None)
    if found.cost.error_rate > 0.05:
        yield f"{found.cost.error_rate:.1%} of the grades were undecided, and are left out of every figure"


def _few(units: int, clustered: bool) -> Iterator[str]:
    if not units:
        yield "no row was compared"
    elif units == 1:
        yield f"1 {'cluster of rows' if clustered else 'compared row'} gives no interval"
    elif units < FEW:
        narrow = f"; of fewer than {FEW_CLUSTERS} they are too narrow" if clustered and units < FEW_CLUSTERS else ""
        rows = "clusters of rows" if clustered else "compared rows"
        yield f"{units} {rows} are few: below {FEW} the intervals are wide, and themselves rough{narrow}"


def _units(found: Calibration) -> int:
    """How many rows, or clusters of them, were compared."""
    return found.compared if found.clusters is None else found.clusters


def _excludes_zero(figure: Figure) -> bool:
    return figure.low is not None and figure.high is not None and (figure.low > 0 or figure.high < 0)


def _shown(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return f"{figure.value:z.2f}"
    return f"{figure.value:z.2f} [{figure.low:z.2f}, {figure.high:z.2f}]"
