"""Expectation: the mean of the whole numbers a judge might have written, by the probabilities of their tokens.

G-Eval (Liu et al. 2023, arXiv 2303.16634, section 3): finer than the one number that was written. Read from the token
that holds the value of the judge's own field, and from no other; where that cannot be done there is no mean.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from graders.grade import GradingError
from graders.model.verdict import span_of
from graders.service.question import Answer
from graders.template import short

TOP = 20  # alternatives of a token: as many as OpenAI's service tells
MOST = 21  # whole numbers of a range: more would not be among the alternatives
LEAST_SHARE = 0.5  # of the probability, that must be on numbers of the range
_WHOLE = re.compile(r"0|[1-9][0-9]*")


class Spread(NamedTuple):
    """How a judge's answer is spread over the whole numbers of a range."""

    mean: float
    probabilities: Mapping[int, float]  # of those that had any; they add to 1
    share: float  # of the whole probability that lay on numbers of the range


def spread_of(answer: Answer, name: str, low: int, high: int) -> Spread:
    """The spread over `low` to `high` at the token that holds the field `name` of an answer that `object_in` has read.

    Raises ValueError where the field holds no whole number as one writes it, which asking again may mend. Raises
    GradingError: `model_grader_server_error` without log-probabilities that can be used, `model_grader_parse_error`
    where no single token holds the number, where digits cannot be told from the beginning of a longer number, and
    where less than half of the probability lies on numbers of the range.
    """
    start, end = span_of(answer.text, name)
    written = answer.text[start:end]
    if not _WHOLE.fullmatch(written):
        raise ValueError(f"{name!r} must be a whole number from {low} to {high} in digits, not {short(written)}")
    alternatives = _alternatives(_token_at(answer, start, written))
    found: dict[int, float] = {}
    for token, probability in alternatives.items():
        digits = token.strip()
        if _WHOLE.fullmatch(digits) and len(digits) <= len(str(high)) and low <= int(digits) <= high:
            found[int(digits)] = found.get(int(digits), 0.0) + probability
    _check_digits(alternatives, low, high)
    share = math.fsum(found.values())
    if share < LEAST_SHARE:
        raise _no_mean(f"only {share:.0%} of the probability lay on whole numbers from {low} to {high}")
    mean = math.fsum(number * probability for number, probability in found.items()) / share
    shares = {number: found[number] / share for number in sorted(found) if found[number]}
    return Spread(min(max(mean, low), high), shares, min(share, 1.0))


def tells_chances(answer: Answer) -> bool:
    """Whether an answer came with log-probabilities of what might have stood in the place of a token."""
    entries = answer.logprobs if isinstance(answer.logprobs, list) else []
    listed = (entry.get("top_logprobs") for entry in entries if isinstance(entry, Mapping))
    return any(isinstance(one, list) and len(one) > 1 for one in listed)


def _token_at(answer: Answer, start: int, written: str) -> Mapping[str, Any]:
    """The entry of the one token that holds what is written at `start` of the answer."""
    entries = answer.logprobs
    if not isinstance(entries, list) or not entries:
        raise _no_logprobs("gave no log-probabilities")
    tokens = [_bytes_of(entry) for entry in entries]
    # The last place: a service may tell the tokens of the thoughts before the answer, and of its end, too.
    at = b"".join(tokens).rfind(answer.text.encode("utf-8", "surrogatepass"))
    if at < 0:
        raise _no_logprobs("gave log-probabilities of tokens that do not spell its answer")
    place = at + len(answer.text[:start].encode("utf-8", "surrogatepass"))
    passed = 0
    for entry, token in zip(entries, tokens, strict=True):
        passed += len(token)
        if passed > place:
            if token.strip() != written.encode():
                raise _no_mean(f"no single token of the model's holds {written}")
            return entry  # type: ignore[no-any-return]
    raise AssertionError


def _bytes_of(entry: Any) -> bytes:
    """The bytes of a token; its text need not be whole characters."""
    if isinstance(entry, Mapping):
        raw, token = entry.get("bytes"), entry.get("token")
        if isinstance(raw, list):
            try:
                return bytes(raw)
            except (TypeError, ValueError):
                pass
        elif isinstance(token, str):
            return token.encode("utf-8", "surrogatepass")
    raise _no_logprobs("gave log-probabilities in a form that cannot be read")


def _alternatives(entry: Mapping[str, Any]) -> dict[str, float]:
    """The probability of each text that might have stood in a token's place."""
    listed = entry.get("top_logprobs")
    if not isinstance(listed, list) or len(listed) < 2:
        raise _no_logprobs("gave no alternatives to the token that holds the result")
    found: dict[str, float] = {}
    for one in listed:
        token, probability = _chance(one)
        found[token] = found.get(token, 0.0) + probability
    token, probability = _chance(entry)
    found.setdefault(token, probability)
    if math.fsum(found.values()) > 1.01:
        raise _no_logprobs("gave probabilities that add to more than 1")
    return found


def _chance(entry: Any) -> tuple[str, float]:
    token, logprob = (entry.get("token"), entry.get("logprob")) if isinstance(entry, Mapping) else (None, None)
    if isinstance(logprob, bool) or not isinstance(logprob, int | float) or not isinstance(token, str):
        raise _no_logprobs("gave log-probabilities in a form that cannot be read")
    if logprob > 1e-3:
        raise _no_logprobs(f"gave {logprob:g} for a log-probability, which is above 0")
    return token, math.exp(min(logprob, 0.0))


def _check_digits(tokens: Iterable[str], low: int, high: int) -> None:
    """A model whose tokens hold one digit begins 10 with the 1 of 1; then their probabilities cannot be told apart."""
    written = {token.strip() for token in tokens if _WHOLE.fullmatch(token.strip())}
    if any(len(digits) >= len(str(high)) for digits in written):
        return  # its tokens hold as many digits as a number of the range may have
    for number in map(str, range(low, high + 1)):
        for first in sorted(written):
            if number != first and number.startswith(first):
                raise _no_mean(f"{first} could not be told from the beginning of {number}")


def _no_mean(reason: str) -> GradingError:
    hint = "use a range within 0 to 9, ask for the number alone in `result`, or leave 'expectation' out"
    return GradingError("model_grader_parse_error", f"no expectation: {reason}; {hint}")


def _no_logprobs(reason: str) -> GradingError:
    hint = "ask a model whose service gives log-probabilities and 20 top_logprobs, or leave 'expectation' out"
    return GradingError("model_grader_server_error", f"no expectation: the judge's service {reason}; {hint}")
