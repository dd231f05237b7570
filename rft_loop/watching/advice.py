"""Advice: why a run learns nothing, or something else than was meant, and the setting to change.

Each rule looks at the figures of the steps so far (the `step` events of a run) and names the cause that they show, if
they show it. Rules are few and coarse: a cause that is named is worth a look.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from rft_loop.recipe import Recipe

Event = Mapping[str, Any]

RECENT = 10  # steps a rule looks at
FIRST = 3  # steps that say how the run began


class Advice(NamedTuple):
    """A cause, in the run's own figures, and what to change."""

    name: str
    cause: str
    remedy: str


class Course(NamedTuple):
    """How a figure stands and how it began: means over the recent steps and over the first ones.

    NaN where no step has it, which fulfils no comparison: a rule speaks where one holds, not where one does not.
    """

    recent: Sequence[Event]
    first: Sequence[Event]
    recipe: Recipe

    def now(self, figure: str) -> float:
        return _mean(self.recent, figure)

    def began(self, figure: str) -> float:
        return _mean(self.first, figure)

    def told(self, figure: str) -> bool:
        """Whether both are known."""
        return not math.isnan(self.now(figure) + self.began(figure))


def advice_due(step: int, recipe: Recipe) -> bool:
    """Whether a run looks at its figures after this step: in its first steps, and as often as it validates."""
    return step <= FIRST or step % recipe.eval_every == 0


def advise(steps: Sequence[Event], recipe: Recipe) -> list[Advice]:
    """What the steps so far show, most urgent first; [] where nothing is amiss."""
    if not steps:
        return []
    course = Course(steps[-RECENT:], steps[:FIRST], recipe)
    found = []
    for rule in RULES:
        if said := rule(course):
            name = rule.__name__.lstrip("_")
            found.append(Advice(name, *said))
    names = {advice.name for advice in found}
    return [advice for advice in found if not (EXPLAINED_BY.get(advice.name, set()) & names)]


def through_generate(model_type: str, known: Iterable[str]) -> Advice:
    """What a run is told whose rollouts the decoder cannot draw."""
    return Advice(
        "through_generate",
        f"rollouts of the model type {model_type!r} are decoded by transformers' generate",
        f"it costs some times as long; the decoder knows {', '.join(known)}",
    )


Said = tuple[str, str] | None


def _grader_errors(course: Course) -> Said:
    kinds: dict[str, int] = {}
    for event in course.recent:
        for kind, count in (event.get("errors") or {}).items():
            kinds[kind] = kinds.get(kind, 0) + count
    if not kinds:
        return None
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    return (
        f"grades that could not be decided in the last {len(course.recent)} steps: {told}",
        "their rollouts teach nothing; the run's samples hold each with its reason (`why`)",
    )


def _never_ends(course: Course) -> Said:
    if not course.now("completions/clipped_ratio") >= 1:
        return None
    return (
        f"no answer has ended by itself within max_new_tokens={course.recipe.max_new_tokens}",
        "raise max_new_tokens; if longer answers do not end either, the model's end token is not the one that its chat "
        "template writes, or the model needs a warm_start",
    )


def _truncated(course: Course) -> Said:
    share = course.now("completions/clipped_ratio")
    if not share >= 0.5:
        return None
    return (
        f"{share:.0%} of the answers are cut at max_new_tokens={course.recipe.max_new_tokens}",
        "raise max_new_tokens; overlong=mask keeps cut answers out of the update",
    )


def _only_thinks(course: Course) -> Said:
    share = course.now("completions/thinking_only_ratio")
    if not share >= 0.5:
        return None
    return (
        f"{share:.0%} of the answers hold nothing but thinking, so that graders see an empty output",
        f"raise max_new_tokens (now {course.recipe.max_new_tokens}); a model that does not close its thinking needs a "
        "warm_start; with thinking=null graders see the whole output",
    )


def _not_of_the_form(course: Course) -> Said:
    share = course.now("completions/schema_ratio")
    if not share <= 0.5:
        return None
    return (
        f"{1 - share:.0%} of the answers are not of the response_format, and get the lowest score unread",
        "ask for the form in the messages, with an example; a warm_start on answers of that form; the run's samples "
        "say what is wrong with each (`why`)",
    )


def _same_reward_for_every_text(course: Course) -> Said:
    reward = course.now("reward")
    alike = course.now("reward_std") <= 0 and not math.isnan(reward)
    if not (alike and course.now("completions/duplicate_ratio") <= 0.9):
        return None
    return (
        f"every answer is rewarded {reward:g}, however it differs from the others",
        "look at what the grader reads: grade some of the run's samples with assay grade and read `why`",
    )


def _duplicates(course: Course) -> Said:
    share = course.now("completions/duplicate_ratio")
    if not share >= 0.5:
        return None
    return (
        f"{share:.0%} of the answers of a group repeat another one, letter by letter",
        "raise temperature; if it came in training: entropy_bonus, or a lower learning_rate",
    )


def _no_spread(course: Course) -> Said:
    share, reward = course.now("frac_reward_zero_std"), course.now("reward")
    if not share >= 0.7 or math.isnan(reward):
        return None
    hard = "easier items, partial credit in the grader, a warm_start, or a larger group_size"
    return (
        f"in {share:.0%} of the groups all rewards are equal, so they teach nothing (mean reward {reward:.3g})",
        hard if reward < 0.5 else "harder items: the policy solves these; or a grader that tells good from better",
    )


GAP = "sampling/sampling_logp_difference/max"


def _weights_do_not_arrive(course: Course) -> Said:
    server, began = course.recipe.sampler, course.first[0].get(GAP) or 0.0
    now = max(event.get(GAP) or 0.0 for event in course.recent)
    if server is None or now < max(0.3, 3 * began):
        return None
    return (
        f"the server's log-probs were off the trainer's by {began:.2g} at most and are now by {now:.2g}: it samples "
        "with other weights than those it was handed",
        f"look at what it answers to a hand-over ({server.kind}), that it can read {server.weights}, and that "
        f"{server.model!r} is the model it loads them into"
        + (f"; or lower sync_every={server.sync_every}" if server.sync_every > 1 else ""),
    )


def _sampler_and_trainer_apart(course: Course) -> Said:
    gap = course.now(GAP)
    server = course.recipe.sampler
    expected = server is not None or course.recipe.precision == "bfloat16"
    if not gap >= 1e-2 or (expected and course.recipe.importance_correction != "none"):
        return None
    if server is not None:
        return (
            f"the server's log-probs and the trainer's differ by up to {gap:.2g}, and nothing weighs the difference",
            "importance_correction=token; serve the model in the precision it is trained in (--dtype)",
        )
    return (
        f"the sampler's log-probs and the trainer's differ by up to {gap:.2g} for the same weights",
        "importance_correction=token weighs the difference; in float32 on one device it should be below 1e-4, so look "
        "for another dtype, dropout, or a model whose cache is not exact",
    )


def _watched_grader_falls(course: Course) -> Said:
    rise = course.now("reward") - course.began("reward")
    for name in course.recipe.watch:
        figure = f"rewards/{name}/mean"
        fall = course.began(figure) - course.now(figure)
        if rise > 0.05 and fall > 0.05:
            return (
                f"the reward has risen by {rise:.2g} while {name!r}, which is only watched, has fallen by {fall:.2g}",
                "the policy may have found a weakness of the grader: read the samples with the highest rewards",
            )
    return None


def _length_drift(course: Course) -> Said:
    now, began = course.now("completions/mean_length"), course.began("completions/mean_length")
    doubled_or_halved = not 0.5 < now / max(began, 1) < 2
    if not (abs(now - began) >= 10 and doubled_or_halved):
        return None
    return (
        f"answers have gone from {began:.0f} to {now:.0f} tokens",
        "reward.length charges for tokens; a grader that pays for length, or for saying little, is the usual cause",
    )


def _entropy_collapsed(course: Course) -> Said:
    now, began = course.now("entropy"), course.began("entropy")
    fallen = course.told("entropy") and now < max(0.02, 0.05 * began)
    if not (fallen and course.now("frac_reward_zero_std") >= 0.5):
        return None
    return (
        f"entropy has fallen from {began:.2g} to {now:.2g} nats a token: the policy hardly tries anything else",
        "entropy_bonus, kl.weight, a higher temperature, or a lower learning_rate; go on from an earlier checkpoint",
    )


def _weights_stand_still(course: Course) -> Said:
    key, rate = "learning_rate", course.recipe.learning_rate
    taught = course.recipe.supervised if course.recipe.method == "supervised" else None
    if taught is not None and taught.learning_rate is not None:
        key, rate = "supervised.learning_rate", taught.learning_rate
    change = rate / max(course.now("weight_rms"), 1e-12)  # not the rate of a warm-up's steps, or of a schedule's end
    if not change <= 3e-6:
        return None
    return (
        f"a step changes a weight by about {change:.0e} of its size, which teaches nothing in any number of steps",
        f"raise {key} (now {rate:g})",
    )


def _spread_without_gradient(course: Course) -> Said:
    if not (course.now("reward_std") > 0 and course.now("frac_reward_zero_std") < 1 and course.now("grad_norm") == 0):
        return None
    return (
        f"rewards have spread, and the gradient is 0 (advantage={course.recipe.advantage})",
        "advantage=maxrl needs rewards whose mean is above 0; with overlong=mask all answers may be cut; else look at "
        "the advantages in the run's samples",
    )


RULES: tuple[Callable[[Course], Said], ...] = (
    _grader_errors,
    _never_ends,
    _truncated,
    _only_thinks,
    _not_of_the_form,
    _same_reward_for_every_text,
    _duplicates,
    _no_spread,
    _weights_do_not_arrive,
    _sampler_and_trainer_apart,
    _watched_grader_falls,
    _length_drift,
    _entropy_collapsed,
    _weights_stand_still,
    _spread_without_gradient,
)

EXPLAINED_BY: Mapping[str, set[str]] = {
    "truncated": {"never_ends", "only_thinks"},
    "only_thinks": {"never_ends"},
    "not_of_the_form": {"never_ends", "only_thinks"},
    "no_spread": {"never_ends", "only_thinks", "not_of_the_form", "same_reward_for_every_text", "duplicates"},
    "same_reward_for_every_text": {"never_ends", "only_thinks", "not_of_the_form"},
    "sampler_and_trainer_apart": {"weights_do_not_arrive"},
}


def _mean(events: Sequence[Event], figure: str) -> float:
    values = [float(event[figure]) for event in events if event.get(figure) is not None]
    return statistics.fmean(values) if values else math.nan
