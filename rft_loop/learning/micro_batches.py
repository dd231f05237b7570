"""Micro-batches: which rollouts go through the model together, within a bound on rows and one on tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rft_loop.sampling.rollout import Rollout


def micro_batches(
    rollouts: Sequence[Rollout],
    places: Sequence[int],
    most_rows: int,
    most_tokens: int | None = None,
    packed: bool = False,
) -> list[list[int]]:
    """`places` cut into parts of at most `most_rows`, each of at most `most_tokens` with its padding (or of one row).

    As they come, neighbours share a prompt; sorted by the length of their answers, little is padded. The order that
    costs fewer tokens is taken; `packed`: padding costs nothing.
    """
    by_length = sorted(places, key=lambda place: len(rollouts[place].tokens))
    cuts = [list(_cut(rollouts, order, most_rows, most_tokens)) for order in (places, by_length)]
    cost = packed_tokens if packed else padded_tokens
    return min(cuts, key=lambda parts: sum(cost([rollouts[i] for i in part]) for part in parts))


def packed_tokens(rollouts: Sequence[Rollout]) -> int:
    """Tokens that a forward pass runs in which each prompt stands once and nothing is padded."""
    return sum(map(len, {rollout.prompt for rollout in rollouts})) + sum(len(rollout.tokens) for rollout in rollouts)


def padded_tokens(rollouts: Sequence[Rollout]) -> int:
    """Tokens that a forward pass over these rollouts runs: each prompt once, all padded to the longest."""
    prompts = {rollout.prompt for rollout in rollouts}
    answers = len(rollouts) * max(len(rollout.tokens) for rollout in rollouts)
    return len(prompts) * max(map(len, prompts)) + answers


def _cut(
    rollouts: Sequence[Rollout], order: Sequence[int], most_rows: int, most_tokens: int | None
) -> Iterator[list[int]]:
    part: list[int] = []
    prompts: set[tuple[int, ...]] = set()
    widest = longest = 0
    for place in order:
        rollout = rollouts[place]
        wider, longer = max(widest, len(rollout.prompt)), max(longest, len(rollout.tokens))
        tokens = (
            (len(prompts) + (rollout.prompt not in prompts)) * wider + (len(part) + 1) * longer
            if most_tokens is not None
            else 0
        )
        if part and (len(part) == most_rows or tokens > (most_tokens or 0)):
            yield part
            part, prompts, wider, longer = [], set(), len(rollout.prompt), len(rollout.tokens)
        part.append(place)
        prompts.add(rollout.prompt)
        widest, longest = wider, longer
    if part:
        yield part


def shares(rollouts: Sequence[Rollout], places: Sequence[int], count: int) -> list[list[int]]:
    """`places` cut into `count` runs of neighbours that cost about equally many tokens; some may be empty.

    Neighbours share a prompt, which each run that holds one of its answers goes through once.
    """
    costs, before = [], None
    for place in places:
        prompt = rollouts[place].prompt
        costs.append(len(rollouts[place].tokens) + (len(prompt) if prompt != before else 0))
        before = prompt
    parts: list[list[int]] = [[] for _ in range(count)]
    total, spent = sum(costs), 0
    for place, cost in zip(places, costs, strict=True):
        parts[min(count - 1, (2 * spent + cost) * count // (2 * total))].append(place)  # by where its middle lies
        spent += cost
    return parts
