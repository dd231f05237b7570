"""Which charts a run has: its events as curves, with a sentence on how to read each."""

from __future__ import annotations

from collections.abc import Sequence

from rft_loop.display.charts import Chart, Point, Series
from rft_loop.watching.run_data import RunData, number

ABOUT = {
    "frac_reward_zero_std": "Share of groups whose rollouts all got the same reward: they teach nothing.",
    "reward_std": "Standard deviation of the rewards of a step.",
    "entropy": "Of the next token, in nats: near 0 the policy no longer explores.",
    "completions/mean_length": "Mean tokens of an output.",
    "completions/clipped_ratio": "Share of outputs that ran into the token limit.",
    "sampling/sampling_logp_difference/max": "Largest gap in one token's log-probability: near 0 when both "
    "see the same text.",
    "loss": "Near 0 by construction: its gradient is what counts.",
    "grad_norm": "As computed, before it is clipped.",
    "clip_ratio/region_mean": "Share of tokens whose probability left the clip range.",
    "supervised_loss": "Nats per token of the written answers.",
    "warm_start": "Supervised loss, nats per token, before training by reward.",
}


def moving_mean(points: Sequence[Point], window: int) -> list[Point]:
    """Mean of the last `window` values that there are, at each step; none before there are three.

    >>> [point.y for point in moving_mean([Point(x, y) for x, y in enumerate([1, None, 2, 3, 7])], window=3)]
    [None, None, None, 2.0, 4.0]
    """
    means: list[Point] = []
    recent: list[float] = []
    for point in points:
        if point.y is not None:
            recent = [*recent, point.y][-window:]
        means.append(Point(point.x, sum(recent) / len(recent) if len(recent) >= 3 else None))
    return means


def step_values(run: RunData, key: str) -> list[Point]:
    """One value of every training step, at its step."""
    return [Point(event["step"], number(event.get(key))) for event in run.steps]


def reward_chart(run: RunData) -> Chart:
    """Train reward of each step and its moving mean, validation reward with its intervals."""
    validation = [
        Point(event["step"], *(number(event.get(key)) for key in ("reward", "low", "high")))
        for event in run.validations
    ]
    train = step_values(run, "reward")
    best = run.best["step"] if run.best is not None and len(validation) > 1 else None
    return Chart(
        "reward",
        "Reward",
        [
            Series("each step", train, look="faint", labelled=False),
            Series("train", moving_mean(train, run.window)),
            Series("validation", validation, "validation", "points", best=best),
        ],
        y_label="mean reward",
        x_label="training step",
    )


def small_charts(run: RunData) -> list[Chart]:
    """The small multiples, in the order of doubt: is there a signal, is the output sane, the update sane."""

    def curves(key: str, label: str = "mean") -> list[Series]:
        each = step_values(run, key)
        return [
            Series("each step", each, look="faint", labelled=False),
            Series(label, moving_mean(each, run.window), labelled=label != "mean"),
        ]

    def chart(key: str, title: str, percent: bool = False) -> Chart:
        return Chart(key, title, curves(key), percent=percent)

    validated = [Point(event["step"], number(event.get("mean_length"))) for event in run.validations]
    length = Chart(
        "completions/mean_length",
        "Completion length",
        [
            *curves("completions/mean_length", "train"),
            Series("validation", validated, "validation", "points"),
        ],
    )
    charts = _supervised(run, length, chart("grad_norm", "Gradient norm")) or [
        chart("frac_reward_zero_std", "Groups with zero spread", percent=True),
        chart("reward_std", "Spread of rewards"),
        chart("entropy", "Entropy"),
        length,
        chart("completions/clipped_ratio", "Cut at the length limit", percent=True),
        chart("sampling/sampling_logp_difference/max", "Sampler against trainer"),
        chart("loss", "Policy loss"),
        chart("grad_norm", "Gradient norm"),
        chart("clip_ratio/region_mean", "Clipped by the policy loss", percent=True),
    ]
    warm = [Point(event["step"], number(event.get("loss"))) for event in run.warm_start]
    if warm:
        charts.append(Chart("warm_start", "Warm start", [Series("loss", warm)], x_label="warm-start step"))
    return charts


def _supervised(run: RunData, length: Chart, grad_norm: Chart) -> list[Chart]:
    """The charts of a run whose steps learn written answers; none where they learn from rewards."""
    if (run.recipe or {}).get("method") != "supervised":
        return []
    loss = [Point(event["step"], number(event.get("loss"))) for event in run.steps]
    return [Chart("supervised_loss", "Supervised loss", [Series("loss", loss)]), length, grad_norm]
