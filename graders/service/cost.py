"""Cost: what judge models used, with what it cost, as data and in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from graders.composite import together
from graders.grade import Usage
from graders.service.settings import Price

if TYPE_CHECKING:
    from graders.service.ledger import Ledger

TOKENS = ("prompt_tokens", "completion_tokens")


def cost_of(usage: Usage, prices: Mapping[str, Price]) -> float | None:
    """Dollars for some usage; None where a model that was called has no price, or its service did not tell its usage.

    >>> prices = {"gpt-4o": Price(input=2.5, output=10)}
    >>> cost_of({"gpt-4o": {"calls": 2, "prompt_tokens": 1_000_000, "completion_tokens": 0}}, prices)
    2.5
    >>> cost_of({"gpt-4o": {"calls": 2}}, prices) is None
    True
    """
    whole = 0.0
    for model, counts in usage.items():
        price = prices.get(model)
        if price is not None and (is_told(counts) or not (price.input or price.output)):
            whole += dollars_of(counts, price)
        elif counts.get("calls"):
            return None
    return whole


def is_told(counts: Mapping[str, int]) -> bool:
    """Whether the tokens of one model's calls are known."""
    return not counts.get("calls") or all(name in counts for name in TOKENS)


def dollars_of(counts: Mapping[str, int], price: Price) -> float:
    """Dollars for the tokens that were told; cached ones are some of the prompt's, whatever a service says."""
    cached = min(counts.get("cached_tokens", 0), counts.get("prompt_tokens", 0))
    return price.of({**counts, "cached_tokens": cached})


def used(ledger: Ledger) -> Usage:
    """What was used so far, by model."""
    return together({entry.model: entry.counts} for entry in ledger.entries()) or {}


def usage_wire(usage: Usage, prices: Mapping[str, Price]) -> dict[str, dict[str, Any]]:
    """Usage by model with its `dollars`, null where no price is known."""
    return {model: {**counts, "dollars": cost_of({model: counts}, prices)} for model, counts in usage.items()}


def usage_lines(usage: Usage, prices: Mapping[str, Price]) -> list[str]:
    """A line a model: `judge gpt-4o: 788 calls, 212 kept, 1.2 M prompt + 0.1 M completion tokens, $3.42`."""
    return spent_lines({"usage": usage_wire(usage, prices)})


def spent_lines(wire: Mapping[str, Any]) -> list[str]:
    """The same of what was stored: a summary whose `usage` is that of `usage_wire`."""
    return [
        f"judge {model}: {_counted(counts)}, {paid(counts['dollars']) if is_told(counts) else 'usage not told'}"
        for model, counts in wire.get("usage", {}).items()
    ]


def _counted(counts: Mapping[str, int]) -> str:
    told = [f"{counts.get('calls', 0):,} call{'s' * (counts.get('calls', 0) != 1)}"]
    if kept := counts.get("kept", 0):
        told.append(f"{kept:,} kept")
    if is_told(counts):
        prompt, completion = (number(counts.get(name, 0)) for name in TOKENS)
        told.append(f"{prompt} prompt + {completion} completion tokens")
    return ", ".join(told)


def paid(amount: float | None) -> str:
    """What something cost, in words; None where no price is known."""
    return "no price known" if amount is None else money(amount)


def money(amount: float) -> str:
    """Dollars, with the digits that say something: `$3.42`, `$0.0042`, `$0.000012`."""
    if amount >= 1 or amount <= 0:
        return f"${amount:,.2f}"
    return f"${amount:.{max(4, 1 - math.floor(math.log10(amount)))}f}"


def number(count: int) -> str:
    """A number of tokens, short: `812`, `12.3 k`, `1.2 M`."""
    if count < 10_000:
        return f"{count:,}"
    return f"{count / 1e3:.1f} k" if count < 1_000_000 else f"{count / 1e6:,.1f} M"
