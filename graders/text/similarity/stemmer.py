"""Porter's stemmer with nltk's extensions: what nltk's `PorterStemmer()` gives, which its METEOR uses.

Source: Porter 1980, "An algorithm for suffix stripping"; nltk's mode NLTK_EXTENSIONS adds irregular words and
rules for short words. The measure of a stem is the number of its changes from vowels to consonants.
"""

from __future__ import annotations

IRREGULAR = {
    "skies": "sky",
    "dying": "die",
    "lying": "lie",
    "tying": "tie",
    "innings": "inning",
    "outings": "outing",
    "cannings": "canning",
} | {word: word for word in ("sky", "news", "inning", "outing", "canning", "howe", "proceed", "exceed", "succeed")}

LONG_SUFFIXES = {  # step 2: where the measure is above 0
    "ational": "ate",
    "tional": "tion",
    "enci": "ence",
    "anci": "ance",
    "izer": "ize",
    "bli": "ble",
    "alli": "al",
    "entli": "ent",
    "eli": "e",
    "ousli": "ous",
    "ization": "ize",
    "ation": "ate",
    "ator": "ate",
    "alism": "al",
    "iveness": "ive",
    "fulness": "ful",
    "ousness": "ous",
    "aliti": "al",
    "iviti": "ive",
    "biliti": "ble",
    "fulli": "ful",
    "logi": "log",
}
SHORTER_SUFFIXES = {  # step 3: where the measure is above 0
    "icate": "ic",
    "ative": "",
    "alize": "al",
    "iciti": "ic",
    "ical": "ic",
    "ful": "",
    "ness": "",
}
LAST_SUFFIXES = (  # step 4: where the measure is above 1
    "al",
    "ance",
    "ence",
    "er",
    "ic",
    "able",
    "ible",
    "ant",
    "ement",
    "ment",
    "ent",
    "ion",
    "ou",
    "ism",
    "ate",
    "iti",
    "ous",
    "ive",
    "ize",
)


def stem(word: str) -> str:
    """The stem of a word, in lower case.

    >>> [stem(word) for word in ("Relational", "flies", "dying", "hopping", "geology")]
    ['relat', 'fli', 'die', 'hop', 'geolog']
    """
    lowered = word.lower()
    if lowered in IRREGULAR:
        return IRREGULAR[lowered]
    if len(word) <= 2:
        return lowered
    lowered = _without_past_or_ing(_without_plural(lowered))
    if lowered[-1:] == "y" and len(lowered) > 2 and _shape(lowered[:-1])[-1] == "c":
        lowered = lowered[:-1] + "i"
    lowered = _replaced(_without_alli(lowered), LONG_SUFFIXES)
    lowered = _replaced(lowered, SHORTER_SUFFIXES)
    return _tidied(_without_last_suffix(lowered))


def _shape(word: str) -> str:
    """Each letter as `c` for a consonant or `v` for a vowel; a y is a vowel after a consonant."""
    shape, before = "", "v"
    for letter in word:
        before = "v" if letter in "aeiou" or (letter == "y" and before == "c") else "c"
        shape += before
    return shape


def _measure(word: str) -> int:
    return _shape(word).count("vc")


def _without_plural(word: str) -> str:
    """Step 1a."""
    if not word.endswith("s") or word.endswith("ss"):
        return word
    if word.endswith("ies"):
        return word[:-1] if len(word) == 4 else word[:-2]
    return word[:-2] if word.endswith("sses") else word[:-1]


def _without_past_or_ing(word: str) -> str:
    """Step 1b."""
    if word.endswith("ied"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) else word
    start = word[:-2] if word.endswith("ed") else word[:-3] if word.endswith("ing") else ""
    shape = _shape(start)
    if "v" not in shape:
        return word
    if start.endswith(("at", "bl", "iz")):
        return start + "e"
    if shape[-1] == "c" and start[-1] == start[-2]:
        return start if start[-1] in "lsz" else start[:-1]
    if start.endswith("*d"):  # nltk reads the name of its double-consonant rule as a suffix too
        return start[:-2] + "d"
    return start + "e" if shape.count("vc") == 1 and _ends_short(start, shape) else start


def _ends_short(word: str, shape: str) -> bool:
    """Whether it ends consonant, vowel, consonant (not w, x or y), or is a vowel and a consonant."""
    return (shape[-3:] == "cvc" and word[-1] not in "wxy") or shape == "vc"


def _without_alli(word: str) -> str:
    """Step 2, its first part: `rationalli` is read as `rational`."""
    return word[:-2] if word.endswith("alli") and _measure(word[:-4]) else word


def _replaced(word: str, suffixes: dict[str, str]) -> str:
    """Steps 2 and 3: the first suffix of the table that the word has is replaced, or none."""
    if word.endswith(tuple(suffixes)):
        suffix = next(suffix for suffix in suffixes if word.endswith(suffix))
        start = word[: -len(suffix)]
        counted = start + "l" if suffix == "logi" else start  # so that `geologi` is long enough
        return start + suffixes[suffix] if _measure(counted) else word
    return word


def _without_last_suffix(word: str) -> str:
    """Step 4."""
    if word.endswith(LAST_SUFFIXES):
        suffix = next(suffix for suffix in LAST_SUFFIXES if word.endswith(suffix))
        start = word[: -len(suffix)]
        if _measure(start) > 1 and (suffix != "ion" or start[-1] in "st"):
            return start
    return word


def _tidied(word: str) -> str:
    """Steps 5a and 5b: a final e, and a final double l."""
    if word.endswith("e"):
        shape = _shape(word[:-1])
        measure = shape.count("vc")
        if measure > 1 or (measure == 1 and not _ends_short(word[:-1], shape)):
            word = word[:-1]
    return word[:-1] if word.endswith("ll") and _measure(word[:-1]) > 1 else word
