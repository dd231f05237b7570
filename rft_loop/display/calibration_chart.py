"""The picture of a calibration: one page with the figures, the scores beside people's labels, and beside the length.

The page loads nothing and has no script; every text in it is escaped.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

from graders.agreement import Figure
from graders.calibration.calibrate import Calibration, Point
from graders.calibration.words import Line, lines, verdicts
from rft_loop.display.charts import CHARACTER, Size, interval_row, nice_ticks, tick_labels
from rft_loop.display.charts import Point as Mark
from rft_loop.display.report import section, table, text

MOST_DOTS = 4_000
SIZE = Size(520, 380)
AXIS = (-1.0, -0.5, 0.0, 0.5, 1.0)
STYLE = """
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 2rem; margin-top: 1rem; }
.cloud circle { fill-opacity: 0.55; }
.tiles { width: auto; }
.tiles tbody td { text-align: center; min-width: 6rem; padding: 0.6rem; border: 1px solid var(--line); }
.tiles td.same { background: var(--soft); font-weight: 600; }
ul.verdicts { max-width: 56rem; padding-left: 1.2rem; margin: 1rem 0 0; }
"""


def write_page(found: Calibration, target: Path) -> None:
    """Write the page. The file is whole at any moment."""
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        beside.write_text(page(found), encoding="utf-8", newline="\n")
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def page(found: Calibration) -> str:
    """The whole page as text."""
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8") + STYLE
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    labels = "no labels" if found.labels is None else f"label {found.labels.key!r}: {found.labels.about}"
    told = "".join(f"<li>{text(verdict)}</li>" for verdict in verdicts(found))
    return "\n".join(
        [
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{text(found.grader)} · calibration</title>",
            f"<style>{style}</style></head><body>",
            f"<h1>{text(found.grader)}</h1>",
            f'<p class="muted">{found.rows:,} rows · {text(labels)} · a score passes from {found.threshold:g}</p>',
            f'<ul class="verdicts">{told}</ul>',
            section("Scores", _pictures(found), _about(found)),
            _tiles(found),
            section(
                "Figures", _figures(list(lines(found))), "Each with its 95 % interval; the axis runs from −1 to 1."
            ),
            "<footer>One file; it loads nothing.</footer></body></html>\n",
        ]
    )


def _about(found: Calibration) -> str:
    drawn = sum(point.score is not None for point in found.points)
    about = "A dot is a row: blue where people pass it, orange where they do not, black without a label."
    if drawn > MOST_DOTS:
        about += f" {MOST_DOTS:,} of {drawn:,} rows are drawn."
    return about + " The line is the score from which a row passes."


def _pictures(found: Calibration) -> str:
    decided = [point for point in found.points if point.score is not None]
    step = max(1, -(-len(decided) // MOST_DOTS))
    shown = decided[::step]
    labelled = [(point.label, point) for point in shown if point.label is not None]
    sized = [(float(point.length), point) for point in shown]
    parts = []
    if labelled:
        parts.append(
            _figure(
                "Score and people's label",
                "people's label, on the grader's scale",
                labelled,
                found.threshold,
                spread=True,
            )
        )
    if sized:
        parts.append(_figure("Score and length", "characters of the output", sized, found.threshold))
    return f'<div class="pictures">{"".join(parts)}</div>' if parts else "<p>No row was decided.</p>"


def _figure(
    title: str, x_label: str, points: Sequence[tuple[float, Point]], threshold: float, spread: bool = False
) -> str:
    return f"<figure><h3>{text(title)}</h3>{scatter(title, x_label, points, threshold, spread)}</figure>"


def scatter(
    title: str, x_label: str, points: Sequence[tuple[float, Point]], threshold: float, spread: bool = False
) -> str:
    """Dots of scores over `x`; with `spread` those of one place stand a little apart."""
    scores = [point.score for _, point in points if point.score is not None]
    x_ticks = nice_ticks(min(x for x, _ in points), max(x for x, _ in points), 5)
    y_ticks = nice_ticks(min([*scores, threshold]), max([*scores, threshold]), 5)
    y_texts = tick_labels(y_ticks)
    left, right = 14 + CHARACTER * max(map(len, y_texts)), SIZE.width - 14.0
    top, bottom = 26.0, SIZE.height - 42.0

    def x_of(x: float) -> float:
        return left + 8 + (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0]) * (right - left - 16)

    places = sorted({x_of(x) for x, _ in points})
    apart = 0.6 * min((after - before for before, after in pairwise(places)), default=100.0) if spread else 0.0

    def y_of(y: float) -> float:
        return bottom - (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]) * (bottom - top)

    parts = [f'<svg viewBox="0 0 {SIZE.width} {SIZE.height}" role="img" aria-label="{escape(title)}" class="cloud">']
    for tick, label in zip(y_ticks, y_texts, strict=True):
        parts.append(f'<path class="rule" d="M{left:.1f} {y_of(tick):.1f}H{right:.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 7:.1f}" y="{y_of(tick) + 4:.1f}" text-anchor="end">{label}</text>')
    for tick, label in zip(x_ticks, tick_labels(x_ticks), strict=True):
        parts.append(
            f'<text class="tick" x="{x_of(tick):.1f}" y="{bottom + 18:.1f}" text-anchor="middle">{label}</text>'
        )
    middle = (left + right) / 2
    parts.append(
        f'<text class="axis" x="{middle:.1f}" y="{bottom + 37:.1f}" text-anchor="middle">{escape(x_label)}</text>'
    )
    parts.append('<text class="axis" x="0" y="14">score</text>')
    parts.append(f'<path class="cursor" d="M{left:.1f} {y_of(threshold):.1f}H{right:.1f}"/>')
    for place, (x, point) in enumerate(points):
        off = ((place * 0.6180339887) % 1 - 0.5) * apart  # the golden ratio spreads evenly, the same each time
        parts.append(_dot(min(max(x_of(x) + off, left), right), y_of(point.score or 0.0), point))
    return "".join([*parts, "</svg>"])


def _centred(look: str, x: float, y: float, said: str) -> str:
    return f'<text class="{look}" x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{escape(said)}</text>'


def _dot(x: float, y: float, point: Point) -> str:
    colour = {True: "train", False: "validation", None: "ink"}[point.passes]
    label = "no label" if point.label is None else f"label {point.label:.4g}"
    return (
        f'<circle class="dot {colour}" cx="{x:.1f}" cy="{y:.1f}" r="3.5">'
        f"<title>{text(point.id)}: score {point.score:.4g}, {label}, {point.length:,} characters</title></circle>"
    )


def _tiles(found: Calibration) -> str:
    if found.labels is None:
        return ""
    rows = "".join(
        f'<tr><th scope="row">people {people}</th>'
        + "".join(
            f'<td class="{"same" if people == grader else ""}">{found.confusion[f"{people}_{grader}"]:,}</td>'
            for grader in ("pass", "fail")
        )
        + "</tr>"
        for people in ("pass", "fail")
    )
    head = '<tr><td></td><th scope="col">grader pass</th><th scope="col">grader fail</th></tr>'
    return section("Verdicts", f'<table class="tiles"><thead>{head}</thead><tbody>{rows}</tbody></table>')


def _figures(told: Sequence[Line]) -> str:
    columns = [("", ""), ("value", "number"), ("95 % interval", "number"), ("", "plot"), ("n", "number")]
    rows = []
    for name, figure in told:
        if figure is None:
            rows.append([f"<b>{text(name)}</b>", "", "", "", ""])
        elif figure.value is None:
            rows.append([text(name), "–", text(figure.reason), "", f"{figure.n:,}"])
        else:
            limits = "–" if figure.low is None else f"{figure.low:z.3f} to {figure.high:z.3f}"
            rows.append([text(name), f"{figure.value:z.3f}", limits, _interval(figure.value, figure), f"{figure.n:,}"])
    return table(columns, rows, "results")


def _interval(value: float, figure: Figure) -> str:
    low, high = figure.low, figure.high
    if not -1 <= min(value, low or 0.0) <= max(value, high or 0.0) <= 1:
        return ""  # in the units of the score, which this axis does not have
    return interval_row(Mark(0, value, low, high), AXIS, Size(240, 22))
