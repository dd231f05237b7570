"""Charts as inline SVG: curves over steps, intervals on one axis. Knows nothing of runs; colours are in CSS.

A chart is drawn once for each width a page may have, because text inside a scaled SVG would scale with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal, NamedTuple

CHARACTER = 6.6  # mean width of a character at the charts' 12 px, in px: enough to keep labels from meeting


class Point(NamedTuple):
    """One value at a step; `y` None where there is none. `low` and `high` are its interval, if it has one."""

    x: float
    y: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """One curve. `look`: a firm line, a faint line behind it, or measured points with their error bars."""

    label: str
    points: Sequence[Point]
    colour: Literal["train", "validation", "ink"] = "train"
    look: Literal["line", "faint", "points"] = "line"
    labelled: bool = True  # named at its right end
    best: float | None = None  # the step whose point is ringed and named

    @property
    def drawn(self) -> list[Point]:
        return [point for point in self.points if point.y is not None]


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves that share both axes."""

    key: str
    title: str
    series: Sequence[Series]
    y_label: str = ""
    x_label: str = "step"
    percent: bool = False  # values are shares of 1

    @property
    def is_empty(self) -> bool:
        return not any(series.drawn for series in self.series)

    @property
    def is_zero(self) -> bool:
        """Every value is 0: a sentence says that better than a drawing."""
        return not self.is_empty and all(point.y == 0 for series in self.series for point in series.drawn)


Scale = Callable[[float], float]  # from data to px


class Size(NamedTuple):
    """A drawing's size in px, and the CSS class under which a page shows it."""

    width: int
    height: int
    name: str = ""


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """At most `count` steps of a round size (1, 2, 2.5 or 5 times a power of ten) that enclose the range.

    >>> nice_ticks(0.13, 0.48)
    [0.1, 0.2, 0.3, 0.4, 0.5]
    >>> nice_ticks(3, 3)
    [2.0, 3.0, 4.0]
    """
    if high <= low:
        pad = abs(low) / 4 or 0.5
        return nice_ticks(low - pad, low + pad, 2)
    rough = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{position * step:.12g}") for position in range(first, last + 1)]


def tick_labels(ticks: Sequence[float], percent: bool = False) -> list[str]:
    """The ticks' texts, all with the same number of decimals, no more than they need.

    >>> tick_labels([0.0, 0.25, 0.5]), tick_labels([0.0, 0.25, 0.5], percent=True), tick_labels([0, 20_000])
    (['0', '0.25', '0.50'], ['0 %', '25 %', '50 %'], ['0', '20k'])
    """
    values = [tick * 100 for tick in ticks] if percent else list(ticks)
    largest = max(abs(value) for value in values)
    divisor, unit = (1e6, "M") if largest >= 1e6 else (1e3, "k") if largest >= 1e4 else (1.0, "")
    if percent:
        unit = " %"
    elif 0 < largest < 1e-3:
        return [short(value) for value in values]
    scaled = [value / divisor for value in values]
    for decimals in range(8):
        if all(abs(value - round(value, decimals)) < 1e-9 * max(1.0, abs(value)) for value in scaled):
            break
    return [
        "0" + (unit if percent else "") if value == 0 else f"{value:.{decimals}f}{unit}".replace("-", "−")
        for value in scaled
    ]


def short(value: float | None, percent: bool = False, whole: bool = False) -> str:
    """A number as people read it: three significant figures, shares in per cent, counts whole.

    >>> short(0.51234), short(0.0), short(3.2e-6), short(0.123, percent=True), short(None), short(15234.0)
    ('0.512', '0', '3.2e-6', '12 %', '–', '15,234')
    """
    if value is None or not math.isfinite(value):
        return "–"
    if percent:
        return f"{value * 100:.0f} %" if value == 0 or abs(value) >= 0.02 else f"{value * 100:.1f} %"
    if value == 0 or whole:
        return f"{value:,.0f}"
    if abs(value) < 1e-2:
        digits, _, exponent = f"{value:.2g}".partition("e")
        text = f"{digits}e{int(exponent)}" if exponent else digits
    elif abs(value) < 1:
        text = f"{value:.3f}"
    else:
        text = f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"
    return text.replace("-", "−", 1) if value < 0 else text


def y_ticks(chart: Chart, count: int) -> list[float]:
    """Ticks that enclose every value and interval; from zero, when the values do not sit far from it."""
    values = [
        value
        for series in chart.series
        for point in series.drawn
        for value in (point.y, point.low, point.high)
        if value is not None
    ]
    low, high = min(values), max(values)
    if high > 0 and 0 <= low < high / 4:
        low = 0.0
    elif low < 0 and low / 4 < high <= 0:
        high = 0.0
    if low == high == 0:
        return [0.0, 0.25, 0.5, 0.75, 1.0] if chart.percent else [0.0, 1.0]
    ticks = nice_ticks(low, high, count)
    if chart.percent:
        ticks = [tick for tick in ticks if tick <= 1 + 1e-9]
        if ticks[-1] < high:
            ticks.append(1.0)
    return ticks


def draw(chart: Chart, size: Size, about: str) -> str:
    """The chart as one `<svg>`; `about` says in words what it shows. ValueError without a point."""
    if chart.is_empty:
        raise ValueError(f"chart {chart.key!r} has no point to draw: check is_empty first")
    big = size.width >= 500
    ticks = y_ticks(chart, 5 if big else 3)
    texts = tick_labels(ticks, chart.percent)
    names = [series.label for series in chart.series if series.labelled and series.drawn] * (len(chart.series) > 1)
    left = 12 + CHARACTER * max(len(text) for text in texts)
    right = size.width - (17 + CHARACTER * max(map(len, names)) if names else 12)
    top, bottom = (30.0 if chart.y_label else 12.0), size.height - (40.0 if big else 26.0)

    steps = [point.x for series in chart.series for point in series.drawn]
    first, last = min(steps), max(steps)
    if first == last:
        first, last = max(0.0, first - 1), last + 1
    elif 0 < first <= 0.1 * last:
        first = 0.0  # a run's first step is 1; the axis starts where its validation does

    def x_of(x: float) -> float:
        return left + (x - first) / (last - first) * (right - left)

    def y_of(y: float) -> float:
        return bottom - (y - ticks[0]) / (ticks[-1] - ticks[0]) * (bottom - top)

    parts = [
        f'<svg class="{size.name}" viewBox="0 0 {size.width} {size.height}" role="img" '
        f'aria-label="{escape(chart.title)}. {escape(about)}" data-chart="{escape(chart.key)}" '
        f'data-first="{first:g}" data-last="{last:g}" data-left="{left:.1f}" data-right="{right:.1f}">'
    ]
    for tick, text in zip(ticks, texts, strict=True):
        y = y_of(tick)
        rule = "zero" if tick == 0 else "rule"
        parts.append(f'<path class="{rule}" d="M{left:.1f} {y:.1f}H{right:.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 7:.1f}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    parts += _x_axis(chart, first, last, x_of, right - left, bottom, big)
    if chart.y_label:
        parts.append(f'<text class="axis" x="0" y="14">{escape(chart.y_label)}</text>')
    parts.append(f'<path class="cursor" d="M0 {top:.1f}V{bottom:.1f}" visibility="hidden"/>')
    for series in chart.series:
        parts += _curve(chart, series, x_of, y_of)
    if names:
        parts += _end_labels(chart, x_of, y_of, top, bottom, right)
    for series in chart.series:
        parts += _best_label(chart, series, x_of, y_of, left, right, top, bottom)
    return "".join([*parts, "</svg>"])


def _x_axis(
    chart: Chart, first: float, last: float, x_of: Scale, width: float, bottom: float, named: bool
) -> list[str]:
    """Whole steps as ticks inside the plot, the axis's name under them."""
    ticks = [
        tick
        for tick in nice_ticks(first, last, max(2, min(8, int(width / 75))))
        if first - 1e-9 <= tick <= last + 1e-9 and tick == int(tick)
    ]
    parts = []
    for tick, text in zip(ticks, tick_labels(ticks) if ticks else [], strict=True):
        x = x_of(tick)
        parts.append(f'<path class="notch" d="M{x:.1f} {bottom:.1f}v4"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 17:.1f}" text-anchor="middle">{text}</text>')
    if named:
        middle = (x_of(first) + x_of(last)) / 2
        parts.append(
            f'<text class="axis" x="{middle:.1f}" y="{bottom + 36:.1f}" text-anchor="middle">'
            f"{escape(chart.x_label)}</text>"
        )
    return parts


def _curve(chart: Chart, series: Series, x_of: Scale, y_of: Scale) -> list[str]:
    """The curve itself. A gap in the values is a gap in the line; a point between two gaps is a dot."""
    if series.look == "points":
        return _measured(chart, series, x_of, y_of)
    runs: list[list[Point]] = [[]]
    for point in series.points:
        if point.y is None:
            runs.append([])
        else:
            runs[-1].append(point)
    parts = []
    for run in runs:
        spots = [(x_of(point.x), y_of(point.y)) for point in run if point.y is not None]
        if len(spots) == 1:
            parts.append(f'<circle class="dot {series.colour}" cx="{spots[0][0]:.1f}" cy="{spots[0][1]:.1f}" r="2"/>')
        elif spots:
            path = "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
            parts.append(f'<path class="{series.look} {series.colour}" d="M{path}"/>')
    return parts


def _measured(chart: Chart, series: Series, x_of: Scale, y_of: Scale) -> list[str]:
    """Points joined by a thin line, each with its error bar and its values on hover."""
    drawn = series.drawn
    path = "L".join(f"{x_of(point.x):.1f} {y_of(point.y or 0.0):.1f}" for point in drawn)
    parts = [f'<path class="join {series.colour}" d="M{path}"/>'] if len(drawn) > 1 else []
    for point in drawn:
        x, y = x_of(point.x), y_of(point.y or 0.0)
        text = f"{series.label}, {chart.x_label} {point.x:g}: {short(point.y, chart.percent)}"
        bar = ""
        if point.low is not None and point.high is not None:
            text += f" [{short(point.low, chart.percent)}, {short(point.high, chart.percent)}]"
            path = f"M{x:.1f} {y_of(point.low):.1f}V{y_of(point.high):.1f}"
            bar = f'<path class="bar {series.colour}" d="{path}"/>'
        ring = (
            f'<circle class="ring {series.colour}" cx="{x:.1f}" cy="{y:.1f}" r="7"/>' if point.x == series.best else ""
        )
        parts.append(
            f"<g><title>{escape(text)}</title>{bar}{ring}"
            f'<circle class="dot {series.colour}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/></g>'
        )
    return parts


def _end_labels(chart: Chart, x_of: Scale, y_of: Scale, top: float, bottom: float, right: float) -> list[str]:
    """Each curve's name beside its last point, moved apart where two would meet."""
    ends = sorted(
        (y_of(series.drawn[-1].y or 0.0), series.label, series.colour)
        for series in chart.series
        if series.labelled and series.drawn
    )
    places = [y for y, _, _ in ends]
    gap = 15.0
    for index in range(1, len(places)):
        places[index] = max(places[index], places[index - 1] + gap)
    if places[-1] > bottom:
        places[-1] = bottom
        for index in range(len(places) - 2, -1, -1):
            places[index] = min(places[index], places[index + 1] - gap)
    return [
        f'<text class="name {colour}" x="{right + 13:.1f}" y="{max(y, top) + 4:.1f}">{escape(label)}</text>'
        for y, (_, label, colour) in zip(places, ends, strict=True)
    ]


def _best_label(
    chart: Chart,
    series: Series,
    x_of: Scale,
    y_of: Scale,
    left: float,
    right: float,
    top: float,
    bottom: float,
) -> list[str]:
    """`best 0.512` over the error bar of the best point, or under it where there is no room."""
    for point in series.drawn:
        if point.x != series.best or point.y is None:
            continue
        text = f"best {short(point.y, chart.percent)}"
        half = CHARACTER * len(text) / 2
        x = min(max(x_of(point.x), left + half), right - half)
        above = min(y_of(point.y) - 11, y_of(point.high if point.high is not None else point.y) - 7)
        below = max(y_of(point.y) + 20, y_of(point.low if point.low is not None else point.y) + 16)
        y = above if above > top + 4 or below > bottom - 4 else below
        place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="middle"'
        return [f'<text class="name halo {series.colour}" {place}>{text}</text>']
    return []


def interval_axis(values: Sequence[float]) -> list[float]:
    """The ticks that a column of intervals shares; raises ValueError without values."""
    low, high = min(values), max(values)
    if 0 <= low < high / 2:
        low = 0.0
    return nice_ticks(low, high, 3)


def interval_row(point: Point | None, ticks: Sequence[float], size: Size, axis: bool = False) -> str:
    """One row of an interval plot (`point.y` with its bar), or with `axis` the row that holds the numbers."""
    pad = 16.0

    def x_of(value: float) -> float:
        return pad + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (size.width - 2 * pad)

    hidden = 'aria-hidden="true"'  # the numbers stand beside it, in the table's own cells
    parts = [f'<svg class="{size.name}" viewBox="0 0 {size.width} {size.height}" {hidden}>']
    if axis:
        parts += [
            f'<text class="tick" x="{x_of(tick):.1f}" y="{size.height - 5}" text-anchor="middle">{text}</text>'
            for tick, text in zip(ticks, tick_labels(ticks), strict=True)
        ]
        return "".join([*parts, "</svg>"])
    parts += [f'<path class="rule" d="M{x_of(tick):.1f} 0V{size.height}"/>' for tick in ticks]
    if point is not None and point.y is not None:
        middle = size.height / 2
        if point.low is not None and point.high is not None:
            parts.append(f'<path class="bar ink" d="M{x_of(point.low):.1f} {middle:.1f}H{x_of(point.high):.1f}"/>')
        parts.append(f'<circle class="dot ink" cx="{x_of(point.y):.1f}" cy="{middle:.1f}" r="4"/>')
    return "".join([*parts, "</svg>"])
