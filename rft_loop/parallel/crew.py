"""Crew: what the other ranks do in a run of several. The first runs the loop, alone, and gives them orders.

So the run's folder, its graders, their judges and the terminal know one process. An order is a function with its
arguments, mostly of orders.py; every rank calls it on what it holds, and they meet in its collectives.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import torch

from rft_loop.model.policy import Policy
from rft_loop.parallel.ranks import Ranks
from rft_loop.pause import SIGNALS
from rft_loop.recipe import Recipe

P = ParamSpec("P")
T = TypeVar("T")


class Holds(Protocol):
    """What every rank holds: the first in its `Training`, the others in a `Hand`."""

    ranks: Ranks
    recipe: Recipe
    policy: Policy
    optimizer: torch.optim.Optimizer
    reference: Policy | None


@dataclass
class Hand:
    """What a rank holds that follows."""

    ranks: Ranks
    recipe: Any = None
    policy: Any = None
    optimizer: Any = None
    reference: Policy | None = None


def follow(ranks: Ranks) -> None:
    """Carry out the first rank's orders until it has no more. It alone decides what a signal to them all means."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    hand = Hand(ranks)
    while (order := _next_order(ranks)) is not None:
        task, arguments, named = order
        task(hand, *arguments, **named)


def dismiss(ranks: Ranks) -> None:
    """Let the others end: the first calls it when its command is done."""
    ranks.from_first(lambda: None)


def _next_order(ranks: Ranks) -> Any:
    return ranks.from_first(lambda: None)


def together(held: Holds, task: Callable[Concatenate[Any, P], T], *arguments: P.args, **named: P.kwargs) -> T:
    """Carry out a task on every rank, and give back what the first makes of it."""
    if held.ranks.world > 1:
        held.ranks.from_first(lambda: (task, arguments, named))
    return task(held, *arguments, **named)
