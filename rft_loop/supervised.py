"""Supervised training on written answers: the warm start before step 1, and the steps of `method: supervised`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import torch

from graders.grade import GradingError
from graders.sample import Sample
from graders.template import render
from rft_loop.drawing import draw
from rft_loop.items import Rows, context_of, read_items
from rft_loop.learning.micro_batches import micro_batches, shares
from rft_loop.learning.optimizer import clipped_step, learning_rate
from rft_loop.learning.update import score
from rft_loop.model.policy import Policy
from rft_loop.parallel.crew import Holds, together
from rft_loop.parallel.ranks import ALONE, Ranks
from rft_loop.parallel.sharding import ShardedPolicy
from rft_loop.recipe import Recipe, WarmStart
from rft_loop.sampling.rollout import Rollout
from rft_loop.watching.measures import Clock
from rft_loop.watching.speed import speed

if TYPE_CHECKING:
    from rft_loop.training import Training

Pair: TypeAlias = tuple[list[int], list[int]]
"""Ids of a prompt and of its answer."""


def warm_start(training: Training, rows: Rows, spec: WarmStart, after_step: Callable[[int], None]) -> None:
    """The steps that are left of `spec.steps` of cross-entropy on the answers' tokens, the rate falling to 0."""
    pairs, recipe = answers_of(training.policy, rows), training.recipe
    for step in range(training.progress.step + 1, spec.steps + 1):
        rate = learning_rate(spec.learning_rate, step, spec.warmup_steps, spec.steps, "linear")
        batch = [pairs[index] for index in draw(len(pairs), spec.batch_size, step, recipe.seed)]
        with training.pause.held():
            done = together(training, learned, batch, rate)
            training.tell("warm_start", step=step, of=spec.steps, loss=done.loss, learning_rate=rate)
            training.progress = replace(training.progress, step=step)
        after_step(step)


def supervised_step(training: Training, step: int) -> None:
    """One step on `recipe.items_per_step` answers: with a template those of the items that step would sample."""
    recipe, clock = training.recipe, Clock()
    assert recipe.supervised is not None
    peak = recipe.supervised.learning_rate or recipe.learning_rate
    rate = learning_rate(peak, step, recipe.warmup_steps, recipe.steps, recipe.schedule)
    chosen = draw(len(training.answers), recipe.items_per_step, step, recipe.seed)
    batch = [training.answers[index] for index in chosen]
    tokens = sum(len(answer) for _, answer in batch)
    with training.pause.held():
        done = together(training, learned, batch, rate)
        clock.lap("update")
        training.tell(
            "step", step=step, of=recipe.steps, learning_rate=rate, **done._asdict(), tokens=tokens,
            **speed(training.policy, clock, sampled=0, trained=tokens, devices=training.ranks.world),
            **training.size_of_weights(step), **clock.laps(),
        )  # fmt: skip
        training.progress = replace(training.progress, step=step, validation={})


class Learned(NamedTuple):
    """What one step did."""

    loss: float  # mean per answer token, in nats
    grad_norm: float  # before it is clipped


def learned(held: Holds, batch: Sequence[Pair], rate: float) -> Learned:
    """One step on a batch, by all ranks together."""
    return learn(held.policy, held.optimizer, batch, rate, held.recipe, held.ranks)


def learn(
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    batch: Sequence[Pair],
    rate: float,
    recipe: Recipe,
    ranks: Ranks = ALONE,
) -> Learned:
    """One optimiser step; every rank is given the whole batch, and runs its share of it in micro-batches."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    rollouts = [_written(pair) for pair in batch]
    mine = shares(rollouts, range(len(rollouts)), ranks.world)[ranks.rank]
    packed = policy.scorer is not None
    parts = micro_batches(rollouts, mine, recipe.micro_batch_rows, recipe.micro_batch_tokens, packed)
    # Sharded weights are run equally often by all ranks: one with fewer parts runs some of weight 0.
    missing = int(ranks.largest(len(parts))) - len(parts) if isinstance(policy, ShardedPolicy) else 0
    weights = [1 / sum(len(rollout.tokens) for rollout in rollouts)] * len(parts) + [0.0] * missing
    loss = 0.0
    for part, weight in zip([*parts, *[[0]] * missing], weights, strict=True):
        share = _surprise(policy, [rollouts[place] for place in part]) * weight
        share.backward()  # type: ignore[no-untyped-call]
        loss += float(share.detach())
    ranks.add_up_gradients(policy.trained)
    norm = clipped_step(optimizer, policy.trained, recipe.max_grad_norm)
    return Learned(ranks.add_up(loss)[0], norm)


def written_answers(recipe: Recipe, items: Rows) -> Rows:
    """The rows that the steps of `method: supervised` learn; none for other methods.

    Raises ValueError naming the row that has no answer.
    """
    spec = recipe.supervised
    if recipe.method != "supervised" or spec is None:
        return Rows([], [])
    if not spec.is_template:
        return read_items(Path(spec.answers), "assistant")
    rows = []
    for place, item in zip(items.places, items.rows, strict=True):
        try:
            answer = render(spec.answers, Sample(""), item)
        except GradingError as problem:
            raise ValueError(f"{place}: supervised.answers={spec.answers!r}: {problem}") from None
        rows.append({**item, "messages": [*item["messages"], {"role": "assistant", "content": answer}]})
    return Rows(rows, items.places)


def answers_of(policy: Policy, rows: Rows) -> list[Pair]:
    """Prompt and answer ids of every row. Raises ValueError naming the row that fits neither template nor context."""
    context = context_of(policy)
    pairs = []
    for place, row in zip(rows.places, rows.rows, strict=True):
        try:
            prompt, answer = policy.answer_ids(row["messages"])
        except ValueError as problem:
            raise ValueError(f"{place}: {problem}") from None
        if len(prompt) + len(answer) > context:
            raise ValueError(f"{place}: {len(prompt) + len(answer)} tokens exceed the model's context of {context}")
        pairs.append((prompt, answer))
    return pairs


def answer_loss(policy: Policy, pairs: Sequence[Pair]) -> torch.Tensor:
    """Mean cross-entropy in nats over the answers' tokens, the end token included; prompts are not learned."""
    return _surprise(policy, [_written(pair) for pair in pairs]) / sum(len(answer) for _, answer in pairs)


def _surprise(policy: Policy, rollouts: Sequence[Rollout]) -> torch.Tensor:
    """The sum of the cross-entropy in nats over the answers' tokens."""
    scored = score(policy, rollouts, temperature=1.0)
    return -(scored.logprobs * scored.mask).sum()


def _written(pair: Pair) -> Rollout:
    """An answer that people wrote, in the place of one that was sampled."""
    prompt, answer = pair
    return Rollout(tuple(prompt), tuple(answer), (), "stop", "")
