"""The report of a run: one self-contained page, `report.html`, made from the run's folder.

The page is whole without its script and loads nothing: its content policy admits only its own two.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from statistics import median
from typing import Any

from graders.grade import ERROR_KINDS
from rft_loop.display.charts import Chart, Point, Size, draw, interval_axis, interval_row, short
from rft_loop.display.run_charts import ABOUT, moving_mean, reward_chart, small_charts, step_values
from rft_loop.watching.run_data import Event, Row, RunData, number, read_run_data

WIDE = (Size(1080, 360, "w1080"), Size(680, 340, "w680"), Size(360, 290, "w360"))
SMALL = (Size(340, 170),)
LONGEST_TEXT = 6000  # characters of a prompt or an output that the page shows


def write_report(folder: Path) -> Path:
    """Write `report.html` into a run's folder and return its path. The file is whole at any moment.

    Raises FileNotFoundError when there is no such folder, or no `events.jsonl` in it.
    """
    folder = Path(folder)
    page = render(read_run_data(folder))
    target = folder / "report.html"
    beside = folder / f".report.html.{os.getpid()}"
    try:
        beside.write_text(page, encoding="utf-8", newline="\n")
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
    return target


def render(run: RunData) -> str:
    """The whole page as text."""
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    script = Path(__file__).with_name("report.js").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    values = {chart.key: _readings(chart) for chart in (reward_chart(run), *small_charts(run))}
    sections = [
        header(run),
        notices(run),
        key_figures(run),
        rewards_section(run),
        results_section(run),
        signals_section(run),
        timing_section(run),
        rollouts_section(run),
        recipe_section(run),
    ]
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.now))
    return "\n".join(
        [
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{text(run.name)} · run report</title>",
            f"<style>{style}</style></head><body>",
            *filter(None, sections),
            f"<footer>Made {made} from {len(run.events):,} events. One file; it loads nothing.</footer>",
            f'<script type="application/json" id="values">{_json(values)}</script>',
            f"<script>{script}</script></body></html>\n",
        ]
    )


# Pieces of text


UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def text(value: object) -> str:
    """Any text made harmless: markup escaped, what is unseen or turns the writing direction spelled out.

    >>> text("<b>\\x1b[31m\\u202e</b>")
    '&lt;b&gt;\\\\x1b[31m\\\\u202e&lt;/b&gt;'
    """
    plain = str(value).encode("utf-8", "replace").decode().replace("\r\n", "\n")
    return escape(UNSEEN.sub(lambda match: ascii(match[0])[1:-1], plain))


def _cut(whole: str) -> str:
    """A text as the page shows it; of a very long one the start and the end."""
    if len(whole) <= LONGEST_TEXT:
        return text(whole)
    half = LONGEST_TEXT // 2
    left_out = len(whole) - 2 * half
    return f"{text(whole[:half])}\n<i>… {left_out:,} characters left out …</i>\n{text(whole[-half:])}"


def _digest(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def _json(data: object) -> str:
    """JSON that may stand inside a script element: no `<` that could end it."""
    return json.dumps(data, separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c")


def duration(seconds: float | None) -> str:
    """
    >>> duration(7.3), duration(75), duration(3725), duration(None)
    ('7.3 s', '1 min 15 s', '1 h 02 min', '–')
    """
    if seconds is None:
        return "–"
    if seconds < 59.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s" if seconds >= 0.1 else f"{seconds:.3f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def signed(value: float) -> str:
    return ("+" if value > 0 else "") + short(value)


def interval(event: Event) -> str:
    low, high = number(event.get("low")), number(event.get("high"))
    return "" if low is None or high is None else f"{short(low)} to {short(high)}"


def section(title: str, body: str, about: str = "") -> str:
    words = f'<p class="about">{about}</p>' if about else ""
    return f"<section><h2>{title}</h2>{words}{body}</section>"


def table(columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]], css: str = "") -> str:
    """A table of ready HTML. A column: its heading, its CSS class; the first names the row."""
    heads = "".join(f'<th scope="col" class="{look}">{name}</th>' for name, look in columns)
    body = []
    for first, *rest in rows:
        cells = "".join(f'<td class="{look}">{cell}</td>' for cell, (_, look) in zip(rest, columns[1:], strict=True))
        body.append(f'<tr><th scope="row" class="{columns[0][1]}">{first}</th>{cells}</tr>')
    return (
        f'<div class="scroll"><table class="{css}"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


# What stands at the top


def status(run: RunData) -> str:
    """Where the run is, in words."""
    step = f"step {run.last_step:,}" + (f" of {run.total_steps:,}" if run.total_steps else "")
    if run.warm_start and not run.steps and not (run.validations and run.total_steps):
        last = run.warm_start[-1]
        step = f"warm start, step {last['step']:,}" + (f" of {last['of']:,}" if number(last.get("of")) else "")
    if run.state == "stopped":
        return f"Stopped, {step}"
    if run.state in ("finished", "paused"):
        return f"{run.state.capitalize()}, {step}"
    times = [at for event in run.events if (at := number(event.get("time"))) is not None]
    silence = run.now - max(times, default=run.now)
    if silence < 600:
        return f"Running, {step}"
    return f"Not finished, {step}; silent for {duration(silence)} when this page was made"


def header(run: RunData) -> str:
    parameters, items = number(run.start.get("parameters")), run.start.get("items")
    ends = run.of_kind("end")
    memory = number(ends[-1].get("peak_rss_mb")) if ends else None
    resumed = [
        f"{'warm-start ' if event.get('phase') == 'warm_start' else ''}step {event.get('step')}"
        for event in run.of_kind("resume")
    ]
    took = "So far" if run.state in ("running", "paused") else "Took"
    facts = {
        "Grader": run.start.get("grader"),
        "Model": None if parameters is None else f"{_in_millions(parameters)} parameters",
        "Items": ", ".join(f"{count:,} {split}" for split, count in items.items()) if isinstance(items, dict) else None,
        "Device": run.start.get("device"),
        took: None if run.seconds is None else duration(run.seconds),
        "Peak memory": None if memory is None else f"{memory / 1000:.1f} GB" if memory >= 1000 else f"{memory:.0f} MB",
        "Resumed": f"at {', '.join(resumed)}" if resumed else None,
    }
    listed = "".join(f"<div><dt>{name}</dt><dd>{text(fact)}</dd></div>" for name, fact in facts.items() if fact)
    return (
        f'<header><div class="top"><h1>{text(run.name)}</h1>'
        '<button id="theme" type="button" hidden>Theme: auto</button></div>'
        f'<p class="status {run.state}">{text(status(run))}</p><dl class="facts">{listed}</dl></header>'
    )


def _in_millions(count: float) -> str:
    for size, unit in ((1e9, "billion"), (1e6, "million")):
        if count >= size:
            return f"{short(count / size)} {unit}"
    return f"{count:,.0f}"


def notices(run: RunData) -> str:
    """What a reader must know before any figure: why the run stopped, what is undecided, what is missing."""
    parts = []
    if run.state == "stopped":
        reason = text(run.of_kind("stop")[-1].get("reason") or "No reason was recorded.")
        parts.append(f'<div class="notice stop" role="note"><h2>The run stopped itself</h2><p>{reason}</p></div>')
    parts.append(_undecided_notice(run))
    parts.append(_advice_notice(run))
    if run.gaps:
        gaps = "".join(f"<p>{text(gap)}</p>" for gap in run.gaps)
        parts.append(f'<div class="notice" role="note"><h2>Not in this report</h2>{gaps}</div>')
    return "".join(parts)


def _advice_notice(run: RunData) -> str:
    given = run.of_kind("advice")
    if not given:
        return ""
    rows = [[str(event.get("step")), text(event.get("cause")), text(event.get("remedy"))] for event in given]
    columns = [("from step", "number"), ("what the figures show", ""), ("what to change", "")]
    return (
        '<div class="notice warn" role="note"><h2>Worth a look</h2>'
        f"<p>What may keep this run from learning what is meant.</p>{table(columns, rows)}</div>"
    )


def undecided(events: Iterable[Event]) -> Counter[str]:
    """Undecided grades by kind."""
    kinds: Counter[str] = Counter()
    for event in events:
        counts = {str(kind): int(number(count) or 0) for kind, count in (event.get("errors") or {}).items()}
        kinds.update(counts)
        unnamed = int(number(event.get("undecided")) or 0) - sum(counts.values())
        kinds["kind not recorded"] += max(0, unnamed)
    return +kinds


def _undecided_notice(run: RunData) -> str:
    splits = {"training": run.steps, "validation": run.validations}
    counts = {name: undecided(events) for name, events in splits.items()}
    kinds = counts["training"] + counts["validation"]
    if not kinds:
        return ""
    rows = []
    for kind, _ in kinds.most_common():
        found = {event["step"] for events in splits.values() for event in events if undecided([event])[kind]}
        where = f"{len(found)} steps, {min(found)} to {max(found)}" if len(found) > 1 else f"step {min(found)}"
        numbers = [f"{counts[name][kind]:,}" for name in splits]
        meaning = text(ERROR_KINDS.get(kind, ""))
        rows.append([f'<code>{text(kind)}</code><small class="tag">{meaning}</small>', *numbers, where])
    columns = [("kind", ""), ("training", "number"), ("validation", "number"), ("where", "where")]
    total = sum(kinds.values())
    noun = "grade is" if total == 1 else "grades are"
    return (
        f'<div class="notice warn" role="note"><h2>{total:,} {noun} undecided</h2>'
        "<p>The grader could not judge these rollouts. They are not wrong answers: they entered no mean and "
        f"moved no weight.</p>{table(columns, rows)}</div>"
    )


def key_figures(run: RunData) -> str:
    """At most five figures, each with what qualifies it."""
    figures: list[tuple[str, str, str, str]] = []  # label, value, note, colour
    if run.best is not None:
        bounds = f"95 % interval {interval(run.best)}; " if interval(run.best) else ""
        by = run.best.get("best_by")
        chosen = f", the best by {text(by)} ({short(number(run.best.get('best_value')))})" if by else ""
        note = f"{bounds}step {run.best['step']:,}{chosen}"
        label = "Best validation reward" if len(run.validations) > 1 and not by else "Validation reward"
        figures.append((label, short(run.best["reward"]), note, "validation"))
        before = next((number(event.get("reward")) for event in run.validations if event["step"] == 0), None)
        if before is not None and run.best["step"] != 0:
            gain = signed(run.best["reward"] - before)
            figures.append(("Gain over step 0", gain, f"from {short(before)} before training", ""))
        elif before is not None and len(run.validations) > 1:
            figures.append(("Gain over step 0", "none", "no later validation was better", ""))
    means = [point.y for point in moving_mean(step_values(run, "reward"), run.window) if point.y is not None]
    if means:
        figures.append(("Train reward", short(means[-1]), f"mean of the last {run.window} steps", "train"))
    shares = [point.y for point in step_values(run, "frac_reward_zero_std") if point.y is not None][-run.window :]
    if shares:
        note = f"of groups taught nothing: all rewards equal (last {run.window} steps)"
        figures.append(("Zero spread", short(sum(shares) / len(shares), percent=True), note, ""))
    if run.steps:
        total = sum(undecided(run.steps).values())
        recipe = run.recipe or {}
        a_step = (number(recipe.get("items_per_step")) or 0) * (number(recipe.get("group_size")) or 0)
        note = f"of {a_step * len(run.steps):,.0f} training rollouts" if a_step else "training rollouts"
        figures.append(("Undecided", f"{total:,}" if total else "none", note, "warn" if total else ""))
    listed = "".join(
        f'<div><dt>{label}</dt><dd class="value {colour}">{value}</dd><dd>{note}</dd></div>'
        for label, value, note, colour in figures
    )
    return f'<dl class="figures">{listed}</dl>' if figures else ""


# Charts


def figure(chart: Chart, sizes: Sequence[Size], about: str, heading: bool = True) -> str:
    """A chart with title and meaning, and a line that reads out values: the cursor's, at rest the last."""
    head = f"<h3>{text(chart.title)}</h3>" if heading else ""
    caption = f'<figcaption>{head}<p class="about">{text(about)}</p></figcaption>'
    readings = [reading for reading in _readings(chart) if reading["x"]]
    last = max(reading["x"][-1] for reading in readings)
    readout = f"step {last:g}"
    for reading in readings:
        since = "" if reading["x"][-1] == last else f" at {reading['x'][-1]:g}"
        label = f" · {text(reading['label'])}" if reading["label"] else ""
        readout += f"{label} <b>{text(reading['text'][-1])}</b>{since}"
    axis = "warm_start" if chart.key == "warm_start" else "steps"
    drawings = "".join(draw(chart, size, _in_words(chart)) for size in sizes)
    return (
        f'<figure class="chart" data-chart="{text(chart.key)}" data-axis="{axis}">{caption}{drawings}'
        f'<p class="readout" aria-live="polite">{readout}</p></figure>'
    )


def _readings(chart: Chart) -> list[dict[str, Any]]:
    """What the page's cursor reads out: each curve's steps, and its values as texts."""
    readings = []
    for series in chart.series:
        texts = []
        for point in series.drawn:
            value, low, high = (short(value, chart.percent) for value in point[1:])
            texts.append(value if point.low is None or point.high is None else f"{value} [{low}, {high}]")
        label = "" if series.look == "faint" or len(chart.series) == 1 else series.label
        readings.append({"label": label, "x": [point.x for point in series.drawn], "text": texts})
    return readings


def _in_words(chart: Chart) -> str:
    """The chart for those who do not see it: where each curve starts and ends, and how far it reaches."""
    sentences = []
    for series in chart.series:
        ys = [point.y for point in series.drawn if point.y is not None]
        if not ys or series.look == "faint":
            continue
        first, last, low, high = (short(y, chart.percent) for y in (ys[0], ys[-1], min(ys), max(ys)))
        start, end = series.drawn[0].x, series.drawn[-1].x
        label = f"{series.label}: " if len(chart.series) > 1 else ""
        sentences.append(
            f"{label}{first} at {chart.x_label} {start:g}, {last} at {end:g}; lowest {low}, highest {high}."
        )
    return " ".join(sentences)


# Sections


def rewards_section(run: RunData) -> str:
    chart = reward_chart(run)
    if chart.is_empty:
        missing = (
            "No reward is decided yet." if run.steps else "Neither a validation nor a training step is recorded yet."
        )
        return section("Reward", f'<p class="about">{missing}</p>')
    if not run.steps and len(run.validations) == 1:
        words = '<p class="about">One validation, before any training step.</p>'
        return section("Reward", words + _validation_table(run))
    about = (
        "Points: the whole validation split, with 95 % intervals. "
        f"Firm line: training, mean of {run.window} steps; faint: each step. "
        "The best point was chosen on this same split, so it flatters a little."
    )
    return section("Reward", figure(chart, WIDE, about, heading=False) + _validation_table(run))


def _validation_table(run: RunData) -> str:
    if not run.validations:
        return ""
    names = ["step", "reward", "95 % interval", "graded", "undecided", "mean length"]
    rows = [
        [
            f"{event['step']:,}",
            short(number(event.get("reward"))),
            interval(event) or "–",
            short(number(event.get("n")), whole=True),
            f"{sum(undecided([event]).values()):,}",
            short(number(event.get("mean_length"))),
            "best" if event is run.best else "",
        ]
        for event in run.validations
    ]
    listed = table([*((name, "number") for name in names), ("", "")], rows, "short")
    many = "The validation" if len(rows) == 1 else f"All {len(rows)} validations"
    return f'<details class="validations"><summary>{many} as a table</summary>{listed}</details>'


def results_section(run: RunData) -> str:
    """The table of `summary.json`: one row for each policy that was compared, with an interval plot."""
    rows = (run.summary or {}).get("rows")
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    if not rows:
        return ""
    points = [Point(0, *(number(row.get(key)) for key in ("reward", "ci_low", "ci_high"))) for row in rows]
    seen = [value for point in points for value in point[1:] if value is not None]
    ticks = interval_axis(seen) if seen else []
    titles = {"top1": "top 1", "top5": "top 5", "anywhere": "anywhere"}
    hits = [key for key in titles if any(number(row.get(key)) is not None for row in rows)]
    splits = list(dict.fromkeys(str(row.get("split", "")) for row in rows))
    several = len(splits) > 1  # one split is said once, above the table
    cells = [
        [
            text(row.get("name", "?")),
            *([text(row.get("split", ""))] if several else []),
            f"<b>{short(point.y)}</b>",
            interval({"low": point.low, "high": point.high}) or "–",
            interval_row(point, ticks, Size(240, 34)) if ticks else "",
            *(_per_cent(number(row.get(key))) for key in hits),
        ]
        for row, point in zip(rows, points, strict=True)
    ]
    axis = interval_row(None, ticks, Size(240, 20), axis=True) if ticks else ""
    columns = [
        ("policy", "policy"),
        *([("split", "split")] if several else []),
        ("mean reward", "number mean"),
        ("95 % interval", "number bounds"),
        (axis, "plot"),
        *((titles[key], "number") for key in hits),
    ]
    where = "" if several or not splits[0] else f" of the {text(splits[0])} split"
    about = f"Every policy on the same items{where}, judged by the same grader."
    return section("Results", table(columns, cells, "results"), about)


def _per_cent(share: float | None) -> str:
    return "–" if share is None else f"{share * 100:.1f} %"


def signals_section(run: RunData) -> str:
    if not run.steps and not run.warm_start:
        return ""
    charts = small_charts(run) if run.steps else small_charts(run)[-1:]  # the warm start comes last
    drawn = [chart for chart in charts if not chart.is_empty and not chart.is_zero]
    figures = "".join(figure(chart, SMALL, ABOUT[chart.key]) for chart in drawn)
    words = f"Faint: each step; firm: mean of {run.window} steps." if run.steps else "No training step is recorded."
    if zero := [chart.title.lower() for chart in charts if chart.is_zero]:
        words += f" 0 in every step: {', '.join(zero)}."
    if run.steps and (missing := [chart.title.lower() for chart in charts if chart.is_empty]):
        words += f" Not recorded: {', '.join(missing)}."
    return section("How training went", f'<div class="multiples">{figures}</div>', words)


def timing_section(run: RunData) -> str:
    """Where the time of the training steps went."""
    keys = {"sampling": "timing_s/sample", "grading": "timing_s/grade", "update": "timing_s/update"}
    keys = {name: key for name, key in keys.items() if any(key in event for event in run.steps)}
    timed = [event for event in run.steps if any(number(event.get(key)) is not None for key in keys.values())]
    if not timed:
        return ""
    sums = {name: sum(number(event.get(key)) or 0.0 for event in timed) for name, key in keys.items()}
    rest = sum(number(event.get("step_time")) or 0.0 for event in timed) - sum(sums.values())
    if rest > 0.005 * sum(sums.values()):
        sums["everything else"] = rest
    total = sum(sums.values()) or 1.0
    rows = [
        [name, _bar(seconds / total), short(seconds / total, percent=True), f"{seconds / len(timed):.2f} s"]
        for name, seconds in sums.items()
    ]
    columns = [("part of a step", ""), ("", "plot"), ("share", "number"), ("per step", "number")]
    about = f"{len(timed):,} training steps, {duration(total)} in all; validations are not in it.{_speed(timed)}"
    return section("Where the time went", table(columns, rows, "timing"), about)


def _speed(steps: Sequence[Event]) -> str:
    """Tokens a second over these steps, with the share of the device's limit where that is known."""
    words = []
    for phase, name in (("sample", "sampled"), ("train", "trained on")):
        rates = [rate for event in steps if (rate := number(event.get(f"tokens_per_second/{phase}")))]
        shares = [share for event in steps if (share := number(event.get(f"device_share/{phase}"))) is not None]
        if rates:
            of_device = f" ({short(median(shares), percent=True)} of the device's arithmetic)" if shares else ""
            words.append(f"{name} {median(rates):,.0f}{of_device}")
    return f" Answer tokens a second, median of the steps: {', '.join(words)}." if words else ""


def _bar(share: float) -> str:
    return (
        '<svg viewBox="0 0 300 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="part" width="{max(1.0, 300 * share):.1f}" height="10"/></svg>'
    )


def rollouts_section(run: RunData) -> str:
    if not run.rollouts:
        return ""
    heads = "".join(
        f'<th scope="col" class="{css}">{name}</th>'
        for name, css in (
            ("", "pick"),
            ("prompt and output", ""),
            ("score", "number figure"),
            ("reward", "number figure"),
            ("advantage", "number figure"),
            ("why", "why"),
        )
    )
    bodies = [
        f'<tbody data-split="{group.split}" data-step="{group.step}"><tr class="group">'
        f'<th scope="rowgroup" colspan="6">{group.split.capitalize()}, step {group.step:,}'
        f"<span>{text(_group_in_words(group.rollouts, group.rewards))}</span></th></tr>"
        f"{''.join(_rollout(label, row) for label, row in group.picked)}</tbody>"
        for group in run.rollouts
    ]
    choices: dict[str, list[str]] = {
        "split": list(dict.fromkeys(group.split for group in run.rollouts)),
        "step": [str(step) for step in sorted({group.step for group in run.rollouts})],
        "pick": list(dict.fromkeys(label for group in run.rollouts for label, _ in group.picked)),
    }
    selects = "".join(
        f'<label>{name} <select name="{name}"><option value="">all</option>'
        + "".join(f"<option>{option}</option>" for option in options)
        + "</select></label>"
        for name, options in choices.items()
    )
    listed = (
        f'<div class="filters" id="filters" hidden>{selects}'
        '<span class="muted" id="shown" aria-live="polite"></span></div>'
        f'<table class="rollouts"><thead><tr>{heads}</tr></thead>{"".join(bodies)}</table>'
    )
    about = "Of some steps the best, the median and the worst rollout, and an undecided one where there is any."
    return section("Rollouts", listed, about)


def _group_in_words(rollouts: int, rewards: Sequence[float]) -> str:
    mean = f"mean reward {short(sum(rewards) / len(rewards))}" if rewards else "none of them decided"
    lost = rollouts - len(rewards)
    return f"{rollouts:,} rollouts, {mean}" + (f", {lost:,} undecided" if lost and rewards else "")


def _rollout(label: str, row: Row) -> str:
    score, error = number(row.get("score")), row.get("error")
    tags = f"<small>item {text(row.get('item', '?'))}</small>"
    tags += f"<small>{text(row.get('tokens', '?'))} tokens</small>"
    if row.get("finish") == "length":
        tags += "<small>cut at limit</small>"
    output = row.get("output_text") or ""
    shown = f'<pre tabindex="0">{_cut(output)}</pre>' if output else '<p class="muted">(empty output)</p>'
    if thought := row.get("thinking"):
        shown = f'<details><summary>thinking</summary><pre tabindex="0">{_cut(thought)}</pre></details>{shown}'
    fault = "grader" if score is None else "candidate"  # an error beside a score is the candidate's own
    kind = f'<p class="kind {fault}">{text(error)}</p>' if error else ""
    reward, advantage = number(row.get("reward")), number(row.get("advantage"))
    numbers = {
        "score": '<span class="undecided">undecided</span>' if score is None else f"{score:.3f}",
        "reward": "–" if reward is None else f"{reward:.3f}",
        "advantage": "–" if advantage is None else f"{advantage:+.2f}".replace("-", "−") if advantage else "0",
    }
    cells = "".join(f'<td class="number" data-label="{name}">{cell}</td>' for name, cell in numbers.items())
    return (
        f'<tr data-pick="{label}"><th scope="row">{label}{tags}</th><td><details><summary>prompt</summary>'
        f'<pre tabindex="0">{_cut(row.get("prompt") or "")}</pre></details>{shown}</td>{cells}'
        f'<td class="why">{kind}{_cut(row.get("why") or "")}</td></tr>'
    )


def recipe_section(run: RunData) -> str:
    """The recipe with every default, and the grader as it was when the run began."""
    shown = ""
    if run.recipe:
        shown += _folded(f"{len(run.recipe)} settings, every default filled in", run.recipe)
    if definition := run.start.get("definition"):
        shown += _folded(f"the grader, {run.start.get('grader')}", definition)
    return section("Recipe", shown) if shown else ""


def _folded(title: str, data: Mapping[str, Any]) -> str:
    import yaml

    written = text(yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True, width=100))
    return f'<details><summary>{text(title)}</summary><pre class="recipe" tabindex="0">{written}</pre></details>'
