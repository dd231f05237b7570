"""Ranks: the processes that train one run together, as `torchrun` starts them; in a single process, just itself.

Small things (rollouts, grades, figures) go between processes by gloo, gradients on a GPU by nccl. A rank that fails
ends the run: the first tells why, the others end without a word when its connection closes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")
PATIENCE = timedelta(days=7)  # the others wait while the first rank's graders do; a rank that dies ends them sooner


class OtherRankEndedError(RuntimeError):
    """Another rank has ended, which says itself why."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """Which of how many processes this is. With a `world` of 1 nothing is sent, and nothing need be started."""

    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process grades, writes the run's folder and speaks."""
        return self.rank == 0

    def share(self, dealt: Sequence[T]) -> list[T]:
        """This rank's part of what all ranks hold, dealt out like cards."""
        return list(dealt[self.rank :: self.world])

    def gather(self, mine: Sequence[T]) -> list[T]:
        """What all ranks made of their shares, on every rank, in the order it had before it was dealt out."""
        if self.world == 1:
            return list(mine)
        hands: list[list[T]] = [[] for _ in range(self.world)]
        with _other_ranks_alive():
            dist.all_gather_object(hands, list(mine))
        return [hands[place % self.world][place // self.world] for place in range(sum(map(len, hands)))]

    def from_first(self, make: Callable[[], T]) -> T:
        """What the first rank makes, on every rank; the others do not call `make`, and wait."""
        if self.world == 1:
            return make()
        sent: list[Any] = [make() if self.is_first else None]
        with _other_ranks_alive():
            dist.broadcast_object_list(sent, src=0)
        found: T = sent[0]
        return found

    def add_up(self, *numbers: float) -> list[float]:
        """Sums over the ranks, on every rank."""
        return list(numbers) if self.world == 1 else _reduced(numbers, dist.ReduceOp.SUM)

    def largest(self, number: float) -> float:
        """The largest over the ranks, on every rank."""
        return number if self.world == 1 else _reduced([number], dist.ReduceOp.MAX)[0]

    def add_up_gradients(self, weights: Iterable[torch.Tensor]) -> None:
        """Give every rank the sum of all ranks' gradients; those of sharded weights are summed where they are made."""
        if self.world == 1:
            return
        works = []
        for weight in weights:
            if weight.requires_grad and not hasattr(weight, "full_tensor"):
                weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
                works.append(dist.all_reduce(weight.grad, async_op=True))
        with _other_ranks_alive():
            for work in works:
                work.wait()


ALONE = Ranks()


def _reduced(numbers: Sequence[float], how: Any) -> list[float]:
    sums = torch.tensor(numbers, dtype=torch.float64)
    with _other_ranks_alive():
        dist.all_reduce(sums, how)
    return [float(number) for number in sums]


@contextmanager
def _other_ranks_alive() -> Iterator[None]:
    try:
        yield
    except RuntimeError as problem:  # gloo's for a connection that closed
        raise OtherRankEndedError(str(problem)) from problem


_joined = ALONE


def joined() -> Ranks:
    """The ranks that this process trains among; just itself outside of `joined_ranks`."""
    return _joined


@contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """The ranks that a launcher such as `torchrun` started this process among, else just itself.

    A GPU is the one of the process's place on its machine. Raises ValueError where there are fewer GPUs than processes.
    """
    global _joined
    if several():
        _joined = _join()
    try:
        yield _joined
        if _joined.world > 1:
            dist.destroy_process_group()
    except OtherRankEndedError as problem:
        said = str(problem).strip().partition("\n")[0]
        # 0 for the others: a launcher is to blame the process that failed, and where the first paused none did.
        raise SystemExit(f"assay: another process of this run has ended: {said}" if _joined.is_first else 0) from None
    finally:
        _joined = ALONE


def several() -> bool:
    """Whether a launcher started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def _join() -> Ranks:
    backend = "gloo"
    if torch.cuda.is_available():
        place, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if place >= count:
            raise ValueError(f"--nproc-per-node is above the {count} GPUs of this machine; start as many processes")
        torch.cuda.set_device(place)
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, timeout=PATIENCE)
    return Ranks(dist.get_rank(), dist.get_world_size())
