"""METEOR, as nltk's `meteor_score` computes it over lower-cased words split at white space.

Source: Lavie and Agarwal 2007; nltk's alpha 0.9, beta 3, gamma 0.5 and its way of aligning. Words are matched
first as they are, then by their Porter stems, then, where asked for, by WordNet's synonyms.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from operator import eq, sub

from graders.grade import GradingError
from graders.text.similarity.ngrams import Likeness
from graders.text.similarity.remembered import Remembered
from graders.text.similarity.stemmer import stem

ALPHA, BETA, GAMMA = 0.9, 3.0, 0.5
STEMS = Remembered(stem)

Synonyms = Callable[[str], Collection[str]]
Words = dict[int, str]  # by their places in a text


def tokens(text: str) -> list[str]:
    return text.lower().split()


def compare(output: Sequence[str], reference: Sequence[str], synonyms: Synonyms | None = None) -> Likeness:
    """A mean of precision and recall that favours recall, less for matches that lie in pieces."""
    stages = "exact, stem" if synonyms is None else "exact, stem, synonym"
    match, counts = _aligned(output, reference, synonyms)
    matched = sum(counts)
    if not matched:
        return Likeness(0.0, f"no word matched (stages: {stages})")
    pieces = matched - sum(map(eq, map((1).__add__, match), match[1:]))
    precision, recall = matched / len(output), matched / len(reference)
    mean = (precision * recall) / (ALPHA * precision + (1 - ALPHA) * recall)
    score = (1 - GAMMA * (pieces / matched) ** BETA) * mean
    return Likeness(
        score,
        f"{matched} words matched (stages: {stages}: {' + '.join(map(str, counts))}) in "
        f"{pieces} piece{'s' * (pieces > 1)}, of {len(output)} in the output and {len(reference)} in the reference",
    )


def _aligned(output: Sequence[str], reference: Sequence[str], synonyms: Synonyms | None) -> tuple[list[int], list[int]]:
    """For each word of the output its place in the reference, or -2; and how many words each stage matched."""
    match = [-2] * len(output)
    ours = dict(zip(range(len(output) - 1, -1, -1), reversed(output), strict=True))
    theirs = dict(enumerate(reference))
    unmatched = [len(ours)]
    ours, theirs = _matched(ours, theirs, match, None)
    unmatched.append(len(ours))
    if ours and theirs:
        ours = dict(zip(ours, map(STEMS.__getitem__, ours.values()), strict=True))
        theirs = dict(zip(theirs, map(STEMS.__getitem__, theirs.values()), strict=True))
        ours, theirs = _matched(ours, theirs, match, None)
    unmatched.append(len(ours))
    if synonyms is not None:
        unmatched.append(len(_matched(ours, theirs, match, synonyms)[0]))
    return match, list(map(sub, unmatched, unmatched[1:]))


def _matched(ours: Words, theirs: Words, match: list[int], synonyms: Synonyms | None) -> tuple[Words, Words]:
    """One stage: each word of ours, the last first, takes the last place that is free. Returns what is left."""
    wanted = set(ours.values() if synonyms is None else theirs.values())
    free: dict[str, list[int]] = {}
    for place, word in theirs.items():
        if word in wanted:
            if word in free:
                free[word].append(place)
            else:
                free[word] = [place]
    left: Words = {}
    for place, word in ours.items():
        places = free.get(word) if synonyms is None else _last(free, word, synonyms)
        if places:
            match[place] = places.pop()
        else:
            left[place] = word
    taken = set(match)
    return left, {place: word for place, word in theirs.items() if place not in taken}


def _last(free: dict[str, list[int]], word: str, synonyms: Synonyms) -> list[int]:
    """The places free for the word or one of its synonyms, of that which has the last one."""
    return max((free[name] for name in {word, *synonyms(word)} if free.get(name)), key=lambda p: p[-1], default=[])


def compare_with_synonyms(output: Sequence[str], reference: Sequence[str]) -> Likeness:
    return compare(output, reference, wordnet())


@lru_cache(maxsize=1)
def wordnet() -> Synonyms:
    """WordNet's synonyms of a word, by way of nltk; GradingError `not_installed` where either is missing."""
    try:
        from nltk.corpus import wordnet as reader

        reader.ensure_loaded()
    except (ImportError, LookupError):
        detail = (
            "option 'wordnet' needs nltk and its WordNet data: pip install nltk; python -m nltk.downloader wordnet; "
            "or leave the option out"
        )
        raise GradingError("not_installed", detail, "infra") from None

    def synonyms(word: str) -> frozenset[str]:
        names = (lemma.name() for synset in reader.synsets(word) for lemma in synset.lemmas())
        return frozenset(name for name in names if "_" not in name)

    return Remembered(synonyms).__getitem__
