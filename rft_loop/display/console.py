"""What a terminal shows of a run as it goes: a live view, or plain lines where the output is no terminal.

A view is a callable that is handed the run's events one by one. It keeps a few figures; the live one draws
them four times a second from a thread of its own. Neither touches the run.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rft_loop.watching.run_data import number

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Event = Mapping[str, Any]
View = Callable[[Event], None]

WINDOW = 20  # steps over which the view averages
SPARKS = 32  # characters that tell the whole run's train reward
QUIET = 30.0  # seconds after which a plain line is due, whatever the step
BLOCKS = "▁▂▃▄▅▆▇█"


@contextmanager
def live_view(total_steps: int, name: str, console: Console | None = None) -> Iterator[View]:
    """Yield a callable that shows each event of a run: live on a terminal, else as lines without colour.

    `total_steps` are those of training, the warm start not counted. Events it does not know are ignored.
    """
    if console is None:
        from rich.console import Console

        console = Console(highlight=False)
    figures = Figures(total_steps)
    if not console.is_terminal or console.is_dumb_terminal:
        plain = PlainLines(figures, name, console)
        yield plain
        return

    from rich.live import Live

    lock = threading.Lock()  # the drawing thread reads what the loop's thread writes

    def view(event: Event) -> None:
        with lock:
            figures.take(event)

    def drawn() -> RenderableType:
        with lock:
            return panel(figures, name)

    with Live(get_renderable=drawn, console=console, refresh_per_second=4, vertical_overflow="visible"):
        yield view


@dataclass
class Figures:
    """What both views show, kept up to date event by event."""

    total: int
    phase: str = "preparing"
    step: int = 0
    start: Event = field(default_factory=dict)
    warm: Event | None = None
    rewards: list[float] = field(default_factory=list)
    zero_spread: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    length: float | None = None
    loss: float | None = None  # of a supervised step
    speed: str = ""
    validation: Event | None = None
    best: Event | None = None
    undecided: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    advice: Event | None = None  # the last that was given
    stopped: str | None = None
    end: Event | None = None
    began: float = field(default_factory=time.monotonic)
    ticks: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=WINDOW + 1))

    def take(self, event: Event) -> None:
        match event.get("event"):
            case "start":
                self.start = event
                self.total = int(number(event.get("of")) or self.total)
            case "warm_start":
                self.phase, self.warm = "warm start", event
                self._tick(event)
            case "step":
                if self.phase != "training":
                    self.ticks.clear()
                self.phase = "training"
                self.step = int(number(event.get("step")) or 0)
                self.total = int(number(event.get("of")) or self.total)
                if (reward := number(event.get("reward"))) is not None:
                    self.rewards.append(reward)
                if (share := number(event.get("frac_reward_zero_std"))) is not None:
                    self.zero_spread.append(share)
                self.length = number(event.get("completions/mean_length"))
                self.loss = number(event.get("loss")) if "reward" not in event else None
                self.speed = speed_text(event)
                self._count(event)
                self._tick(event)
            case "validation":
                self.validation = event
                reward, known = number(event.get("reward")), self.best_reward
                if event.get("best", reward is not None and (known is None or reward > known)):
                    self.best = event
                self._count(event)
            case "resume":
                if event.get("phase", "step") == "step":
                    self.step = int(number(event.get("step")) or 0)
                if event.get("best_reward") is not None:
                    value = {key: event[key] for key in ("best_by", "best_value") if key in event}
                    self.best = {"step": event.get("best_step"), "reward": event["best_reward"], **value}
                self.ticks.clear()
            case "advice":
                self.advice = event
            case "stop":
                self.phase, self.stopped = "stopped", str(event.get("reason", "no reason given"))
            case "pause":
                self.phase = "paused"
            case "end":
                self.phase, self.end = "finished", event

    def _tick(self, event: Event) -> None:
        self.ticks.append((int(number(event.get("step")) or 0), time.monotonic()))

    def _count(self, event: Event) -> None:
        counts = {str(kind): int(number(count) or 0) for kind, count in (event.get("errors") or {}).items()}
        self.undecided += max(int(number(event.get("undecided")) or 0), sum(counts.values()))
        for kind, count in counts.items():
            self.kinds[kind] = self.kinds.get(kind, 0) + count

    @property
    def best_reward(self) -> float | None:
        return None if self.best is None else number(self.best.get("reward"))

    @property
    def mean_reward(self) -> float | None:
        """Mean train reward of the last steps."""
        recent = self.rewards[-WINDOW:]
        return sum(recent) / len(recent) if recent else None

    @property
    def mean_zero_spread(self) -> float | None:
        return sum(self.zero_spread) / len(self.zero_spread) if self.zero_spread else None

    @property
    def seconds_left(self) -> float | None:
        """At the pace of the last steps, validations among them; None before there are two."""
        if len(self.ticks) < 2 or self.phase not in ("training", "warm start"):
            return None
        (first, since), (last, until) = self.ticks[0], self.ticks[-1]
        done, total = self.progress
        if last <= first or total is None:
            return None
        spent = time.monotonic() - until  # the step under way has had this much already
        return max(0.0, (until - since) / (last - first) * (total - done) - spent)

    @property
    def progress(self) -> tuple[int, int | None]:
        """Steps done and to be done, of the phase under way."""
        if self.phase == "warm start" and self.warm is not None:
            of = number(self.warm.get("of"))
            return int(number(self.warm.get("step")) or 0), None if of is None else int(of)
        return self.step, self.total


# Texts


def clock(seconds: float | None) -> str:
    """
    >>> clock(75), clock(3725), clock(None)
    ('1:15', '1:02:05', '-')
    """
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def reward_text(event: Event | None) -> str:
    """
    >>> reward_text({"reward": 0.51234, "low": 0.47, "high": 0.55}), reward_text(None)
    ('0.512 [0.470, 0.550]', '-')
    """
    if event is None or (reward := number(event.get("reward"))) is None:
        return "-"
    low, high = number(event.get("low")), number(event.get("high"))
    chosen = number(event.get("best_value"))
    by = "" if chosen is None or not event.get("best_by") else f", {event['best_by']} {chosen:.3f}"
    return (f"{reward:.3f}" if low is None or high is None else f"{reward:.3f} [{low:.3f}, {high:.3f}]") + by


def kinds_text(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} {count:,}" for kind, count in sorted(kinds.items(), key=lambda pair: -pair[1]))


def items_text(start: Event) -> str:
    """What a run works on, from its `start` event, in a line."""
    items, parameters = start.get("items"), number(start.get("parameters"))
    parts = [f"{count:,} {split}" for split, count in items.items()] if isinstance(items, dict) else []
    if parameters is not None:
        parts.append(f"{_amount(parameters)} parameters")
        if (trained := number(start.get("trained"))) is not None:
            lora = start.get("lora") or {}
            adapter = f" (LoRA rank {lora.get('rank')}, alpha {lora.get('alpha')})"
            parts[-1] = f"{_amount(trained)} of {parts[-1]} trained{adapter}"
    return ", ".join([*parts, *(str(start[key]) for key in ("device", "grader") if start.get(key))])


def _amount(count: float) -> str:
    return f"{count / 1e6:,.2f} M" if count >= 1e5 else f"{count:,.0f}"


def speed_text(event: Event) -> str:
    """
    >>> speed_text({"tokens_per_second/sample": 152340.2, "device_share/sample": 0.061, "tokens_per_second/train": 9e4})
    'sample 152,340 (6 % of the device), train 90,000'
    """
    parts = []
    for phase in ("sample", "train"):
        if (rate := number(event.get(f"tokens_per_second/{phase}"))) is not None:
            share = number(event.get(f"device_share/{phase}"))
            parts.append(f"{phase} {rate:,.0f}" + ("" if share is None else f" ({share:.0%} of the device)"))
    return ", ".join(parts).replace("%", " %")


def advice_text(event: Event) -> str:
    return f"To change it: {event.get('remedy')}"


def end_text(figures: Figures) -> str:
    end = figures.end or {}
    seconds, memory = number(end.get("seconds")), number(end.get("peak_rss_mb"))
    words = "finished" if seconds is None else f"finished in {clock(seconds)}"
    if figures.best is not None:
        words += f": best validation {reward_text(figures.best)} at step {figures.best.get('step')}"
    return words + (f"; peak memory {memory:,.0f} MB" if memory is not None else "")


def sparkline(values: Sequence[float], width: int = SPARKS) -> str:
    """The values from first to last in at most `width` characters, each the mean of its share of them.

    >>> sparkline([0.1, 0.2, 0.3]), sparkline([0, 2, 8, 10], width=2), sparkline([0.5]), sparkline([])
    ('▁▅█', '▁█', '▄', '')
    """
    if not values:
        return ""
    count = min(width, len(values))
    edges = [round(index * len(values) / count) for index in range(count + 1)]
    means = [sum(values[start:end]) / (end - start) for start, end in pairwise(edges)]
    low, high = min(means), max(means)
    if high <= low:
        return BLOCKS[3] * count
    return "".join(BLOCKS[round((mean - low) / (high - low) * (len(BLOCKS) - 1))] for mean in means)


# The two views


class PlainLines:
    """A line for each validation and for about every tenth step: what a log file keeps."""

    def __init__(self, figures: Figures, name: str, console: Console) -> None:
        self.figures, self.name, self.console = figures, name, console
        self._last_line = time.monotonic()

    def __call__(self, event: Event) -> None:
        figures = self.figures
        known = set(figures.kinds)
        figures.take(event)
        match event.get("event"):
            case "start":
                self._print(f"{self.name}: {items_text(event)}")
            case "warm_start":
                done, total = figures.progress
                if self._is_due(done, total or 0, every=max(10, (total or 0) // 10)):
                    loss = number(event.get("loss"))
                    self._print(
                        f"warm start {_of(done, total)}  loss {'-' if loss is None else f'{loss:.3f}'}"
                        f"  left {clock(figures.seconds_left)}"
                    )
            case "step":
                if self._is_due(figures.step, figures.total, every=max(10, figures.total // 100)):
                    self._step(event)
            case "validation":
                mark = "  best so far" if figures.best is event and event.get("step") else ""
                n = number(event.get("n"))
                words = f"validation step {event.get('step')}  reward {reward_text(event)}"
                self._print(words + ("" if n is None else f"  n {n:.0f}") + mark)
            case "resume":
                self._print(f"resumed at {event.get('phase', 'step').replace('_', ' ')} {event.get('step')}")
            case "advice":
                self._print(f"look at step {event.get('step')}: {event.get('cause')}. {advice_text(event)}")
            case "stop":
                self._print(f"stopped at step {event.get('step', figures.step)}: {figures.stopped}")
            case "pause":
                self._print(f"paused after {event.get('phase', 'step').replace('_', ' ')} {event.get('step')}")
            case "end":
                if figures.speed:
                    self._print(f"tokens a second in the last step: {figures.speed}")
                self._print(end_text(figures))
        if new := {kind: count for kind, count in figures.kinds.items() if kind not in known}:
            self._print(f"first undecided grades, at {event.get('event')} {event.get('step')}: {kinds_text(new)}")

    def _step(self, event: Event) -> None:
        figures, reward = self.figures, number(event.get("reward"))
        mean, share = figures.mean_reward, figures.mean_zero_spread
        told = f"reward {'-' if reward is None else f'{reward:.3f}'}" + ("" if mean is None else f" (mean {mean:.3f})")
        parts = [
            f"step {_of(figures.step, figures.total)}",
            told if figures.loss is None else f"loss {figures.loss:.3f}",
            "" if share is None else f"zero spread {share:.0%}",
            "" if figures.length is None else f"length {figures.length:.1f}",
            f"undecided {figures.undecided:,}" if figures.undecided else "",
            f"left {clock(figures.seconds_left)}",
        ]
        self._print("  ".join(filter(None, parts)))

    def _is_due(self, done: int, total: int, every: int) -> bool:
        return done == 1 or done == total or done % every == 0 or time.monotonic() - self._last_line > QUIET

    def _print(self, line: str) -> None:
        self._last_line = time.monotonic()
        printable = "".join(character if character.isprintable() else " " for character in line)
        self.console.print(printable, markup=False, emoji=False, highlight=False, soft_wrap=True)


def _of(done: int, total: int | None) -> str:
    return f"{done}" if total is None else f"{done:>{len(str(total))}}/{total}"


def panel(figures: Figures, name: str) -> RenderableType:
    """The live view: the bar, and under it what a watcher looks for, a line each."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    done, total = figures.progress
    colour = {"stopped": "red", "paused": "yellow", "finished": "green"}.get(figures.phase, "cyan")
    head = Table.grid(padding=(0, 2), expand=False)
    elapsed = number((figures.end or {}).get("seconds")) or time.monotonic() - figures.began
    times = f"{clock(elapsed)}"
    if figures.seconds_left is not None:
        times += f", {clock(figures.seconds_left)} left"
    phase = figures.phase + ("" if figures.phase == "preparing" else f" {_of(done, total)}")
    head.add_row(
        Text(name, style="bold"),
        Text(phase, style=colour),
        ProgressBar(total=total, completed=done, width=32, complete_style=colour, finished_style=colour),
        Text(times, style="dim"),
    )
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", justify="right", min_width=14)
    rows.add_column()
    if figures.phase in ("preparing", "warm start") and figures.start:
        rows.add_row("items", Text(items_text(figures.start)))
    if figures.warm is not None and figures.phase == "warm start":
        loss = number(figures.warm.get("loss"))
        rows.add_row("loss", "-" if loss is None else f"{loss:.3f}")
    if (mean := figures.mean_reward) is not None:
        line = Text(f"{mean:.3f}")
        line.append(f"  over {min(WINDOW, len(figures.rewards))} steps  ", style="dim")
        line.append(sparkline(figures.rewards), style="cyan")
        rows.add_row("train reward", line)
    elif figures.loss is not None:
        rows.add_row("loss", f"{figures.loss:.3f}")
    elif figures.phase == "training":
        rows.add_row("train reward", Text("no reward is decided yet", style="yellow"))
    if figures.validation is not None:
        line = Text(reward_text(figures.validation))
        line.append(f"  step {figures.validation.get('step')}", style="dim")
        rows.add_row("validation", line)
        if figures.best is not None:
            line = Text(reward_text(figures.best), style="bold")
            line.append(f"  step {figures.best.get('step')}", style="not bold dim")
            rows.add_row("best", line)
    if (share := figures.mean_zero_spread) is not None:
        line = Text(f"{share:.0%}", style="yellow" if share > 0.5 else "")
        line.append(" of groups taught nothing", style="dim")
        rows.add_row("zero spread", line)
    if figures.length is not None:
        rows.add_row("mean length", f"{figures.length:.1f} tokens")
    if figures.speed:
        rows.add_row("tokens a second", Text(figures.speed, style="dim"))
    if figures.undecided:
        rows.add_row("undecided", Text(f"{figures.undecided:,}: {kinds_text(figures.kinds)}", style="bold yellow"))
    if figures.advice is not None:
        line = Text(f"{figures.advice.get('cause')}. ", style="yellow")
        line.append(advice_text(figures.advice), style="not bold dim")
        rows.add_row(f"step {figures.advice.get('step')}", line)
    lines: list[RenderableType] = [head, rows]
    if figures.stopped is not None and figures.phase == "stopped":
        lines.append(Text(f"stopped: {figures.stopped}", style="bold red"))
    if figures.end is not None:
        lines.append(Text(end_text(figures), style="green"))
    return Group(*lines)
