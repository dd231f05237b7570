"""Supervised training on written answers: the warm start before step 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_

from rft_loop.items import Rows, context_of, draw
from rft_loop.policy import Policy
from rft_loop.recipe import Recipe, WarmStart
from rft_loop.update import learning_rate


def warm_start(
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    rows: Rows,
    spec: WarmStart,
    recipe: Recipe,
    after_step: Callable[[int, float, float], None],
    done: int = 0,
) -> None:
    """Steps `done + 1` to `spec.steps` of cross-entropy on the answers' tokens, the rate falling linearly to 0.

    `after_step` is told the step, its mean loss per answer token in nats, and its learning rate.
    """
    pairs = answers_of(policy, rows)
    for step in range(done + 1, spec.steps + 1):
        rate = learning_rate(spec.learning_rate, step, spec.warmup_steps, spec.steps, "linear")
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = [pairs[index] for index in draw(len(pairs), spec.batch_size, step, recipe.seed)]
        optimizer.zero_grad(set_to_none=True)
        loss = answer_loss(policy, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        clip_grad_norm_(policy.model.parameters(), recipe.max_grad_norm)
        optimizer.step()
        after_step(step, float(loss.detach()), rate)


def answers_of(policy: Policy, rows: Rows) -> list[tuple[list[int], list[int]]]:
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


def answer_loss(policy: Policy, pairs: Sequence[tuple[list[int], list[int]]]) -> torch.Tensor:
    """Mean cross-entropy in nats over the answers' tokens, the end token included; prompts are not learned."""
    width = max(len(prompt) + len(answer) for prompt, answer in pairs)
    longest = max(len(answer) for _, answer in pairs)
    ids = torch.zeros(len(pairs), width, dtype=torch.long)
    mask = torch.zeros(len(pairs), width, dtype=torch.long)
    labels = torch.full((len(pairs), longest), -100)
    for row, (prompt, answer) in enumerate(pairs):  # everything on the right edge: answers line up
        ids[row, width - len(prompt) - len(answer) :] = torch.tensor(prompt + answer)
        mask[row, width - len(prompt) - len(answer) :] = 1
        labels[row, longest - len(answer) :] = torch.tensor(answer)
    ids, mask, labels = ids.to(policy.device), mask.to(policy.device), labels.to(policy.device)
    logits = policy.model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
        use_cache=False,
        logits_to_keep=longest + 1,
    ).logits[:, :-1]
    return cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=-100)
