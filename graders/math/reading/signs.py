"""Signs: Unicode's mathematical signs as LaTeX, digits of any script as ASCII. One pass, tables only."""

from __future__ import annotations

import re
import unicodedata

from graders.math.reading.spelling import CONTENT, DROPPED, GREEK, NAMES, SPACES, TEXTS

_RAISED_SIGNS, _LOWERED_SIGNS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱᵀ", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₙᵢₖₓₐ"
_SUPER = str.maketrans(_RAISED_SIGNS, "0123456789+-=()niT")
_SUB = str.maketrans(_LOWERED_SIGNS, "0123456789+-=()nikxa")
_RAISED = re.compile(f"[{_RAISED_SIGNS}]+")
_LOWERED = re.compile(f"[{_LOWERED_SIGNS}]+")
_MICRO = re.compile(r"(?<=\d) ?[µμ]([mgsAFCVWL])(?!\w)")
_METRES = re.compile(r"(?<=\d) ?m([²³])(?!\w)")
_VULGAR = re.compile("[¼-¾⅐-⅞↉]")
_COMMANDS = [
    "×",
    "times",
    "✕",
    "times",
    "⨯",
    "times",
    "·",
    "cdot",
    "⋅",
    "cdot",
    "∙",
    "cdot",
    "•",
    "cdot",
    "°",
    "degree",
    "˚",
    "degree",
    "º",
    "degree",
    "÷",
    "div",
    "√",
    "sqrt",
    "∛",
    "cbrt",
    "∞",
    "infty",
    "±",
    "pm",
    "∓",
    "mp",
    "≤",
    "le",
    "≥",
    "ge",
    "⩽",
    "le",
    "⩾",
    "ge",
    "≦",
    "le",
    "≧",
    "ge",
    "≠",
    "ne",
    "≈",
    "approx",
    "≡",
    "equiv",
    "≅",
    "cong",
    "∪",
    "cup",
    "∩",
    "cap",
    "∈",
    "in",
    "∉",
    "notin",
    "∅",
    "emptyset",
    "⊂",
    "subset",
    "⊆",
    "subset",
    "ℝ",
    "R",
    "ℕ",
    "N",
    "ℤ",
    "Z",
    "ℚ",
    "Q",
    "ℂ",
    "C",
    "∖",
    "setminus",
    "∝",
    "propto",
    "∑",
    "sum",
    "∏",
    "prod",
    "∫",
    "int",
    "∂",
    "partial",
    "∆",
    "Delta",
    "…",
    "ldots",
    "⋯",
    "cdots",
    "⌊",
    "lfloor",
    "⌋",
    "rfloor",
    "⌈",
    "lceil",
    "⌉",
    "rceil",
    "⟨",
    "langle",
    "⟩",
    "rangle",
    "〈",
    "langle",
    "〉",
    "rangle",
    "∼",
    "sim",
    "→",
    "to",
    "⇒",
    "Rightarrow",
    "⟹",
    "Rightarrow",
    "⇔",
    "Leftrightarrow",
    "∠",
    "angle",
    "△",
    "triangle",
    "∥",
    "parallel",
    "⊥",
    "perp",
    "∧",
    "wedge",
    "∨",
    "vee",
    "‖",
    "Vert",
    "Γ",
    "Gamma",
    "Δ",
    "Delta",
    "Θ",
    "Theta",
    "Λ",
    "Lambda",
    "Ξ",
    "Xi",
    "Π",
    "Pi",
    "Σ",
    "Sigma",
    "Φ",
    "Phi",
    "Ψ",
    "Psi",
    "Ω",
    "Omega",
    "ϕ",
    "phi",
    "ϵ",
    "epsilon",
    "ϑ",
    "theta",
    "µ",
    "mu",
    "ħ",
    "hbar",
    "ℓ",
    "ell",
    "￢",
    "neg",
    "¬",
    "neg",
    "∀",
    "forall",
    "∃",
    "exists",
    "⊤",
    "top",
]
_SIGNS = str.maketrans(
    {
        **{sign: f"\\{name} " for sign, name in zip(_COMMANDS[::2], _COMMANDS[1::2], strict=True)},
        **{sign: f"\\{name} " for sign, name in zip("αβγδεζηθικλμνξπρστυφχψω", GREEK, strict=True)},
        **dict.fromkeys("−–—‒﹣－‐‑➖", "-"),
        **dict.fromkeys("\u00a0\u2002\u2003\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u3000\t\r", " "),
        **dict.fromkeys("\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\ufeff\u00ad", None),
        **dict.fromkeys("′’‘ʹ", "'"),
        **dict.fromkeys("″”“", "''"),
        **dict.fromkeys("，、", ","),
        **{
            "∕": "/",
            "⁄": "/",
            "：": ":",
            "∶": ":",
            "；": ";",
            "（": "(",
            "）": ")",
            "［": "[",
            "］": "]",
            "【": "[",
            "】": "]",
        },
        **{
            "｛": "\\{",
            "｝": "\\}",
            "＜": "<",
            "＞": ">",
            "＝": "=",
            "＋": "+",
            "｜": "|",
            "∣": "|",
            "％": "%",
            "。": ".",
        },
        **{"℃": "\\degree \\text{C}", "℉": "\\degree \\text{F}", "¢": "\\text{cents}"},
        **{"．": ".", "￥": "¥", "＊": "*", "∗": "*", "＾": "^", "／": "/"},
        "\x0c": "\\f",  # what `"\\frac"` becomes where its backslash is read as an escape
    }
)
_ESCAPED = re.compile(r"\\\\(?=([A-Za-z]{2,}))")
_UPRIGHT_COMMA = re.compile(r"(?<=\d)\\text\{,\}(?=\d{3}(?!\d))")
_UPRIGHT_POWER = re.compile(r"(?<=\d)\s?\\mathrm\{[eE]\}(?:\{([-+]?\d{1,6})\}|([-+]?\d{1,6}))")
_BACKSLASHES = re.compile(r"\\++")
_KNOWN = NAMES | CONTENT | TEXTS | SPACES | DROPPED


def plain(text: str) -> str:
    """The text in the signs that `tokens` knows: Unicode signs as LaTeX, digits of any script as ASCII.

    >>> plain("√12 ≤ ２x²")
    '\\\\sqrt 12 \\\\le  2x^{2}'
    """
    if not text.isascii():
        text = _VULGAR.sub(lambda found: _vulgar(found[0]), text)
        text = _MICRO.sub(r" \\text{µ\1}", text)
        text = _METRES.sub(r" \\text{m}\1", text)
        text = _RAISED.sub(lambda found: "^{" + found[0].translate(_SUPER) + "}", text)
        text = _LOWERED.sub(lambda found: "_{" + found[0].translate(_SUB) + "}", text)
        text = text.translate(_SIGNS)
        if not text.isascii():
            text = "".join([_ascii(sign) if sign > "\x7f" else sign for sign in text])
    elif "\x0c" in text or "\t" in text or "\r" in text:
        text = text.translate(_SIGNS)
    if "\\\\" in text:
        text = _unescaped(text)
    return _upright(text) if "\\text{,}" in text or "\\mathrm{e}" in text.lower() else text


def _upright(text: str) -> str:
    """`11\\text{,}111` and `1.04\\mathrm{e}{-3}` as `11{,}111` and `1.04e-3`."""
    text = _UPRIGHT_COMMA.sub("{,}", text)
    return _UPRIGHT_POWER.sub(lambda found: "e" + (found[1] or found[2]), text)


def _vulgar(sign: str) -> str:
    over, _, under = unicodedata.normalize("NFKC", sign).partition("⁄")
    return f"\\frac{{{over}}}{{{under}}}"


def _ascii(sign: str) -> str:
    digit = unicodedata.decimal(sign, None)
    if digit is not None:
        return str(digit)
    if "\uff01" <= sign <= "\uff5e" or "\U0001d400" <= sign <= "\U0001d7ff":
        return unicodedata.normalize("NFKC", sign)
    return sign


def _unescaped(text: str) -> str:
    """Commands whose backslash was escaped twice, as in JSON inside JSON, with one."""
    escaped = [found for found in _ESCAPED.finditer(text) if found[1] in _KNOWN]
    if not escaped:
        return text
    if all(len(found[0]) % 2 == 0 for found in _BACKSLASHES.finditer(text)):
        return text.replace("\\\\", "\\")
    return _ESCAPED.sub(lambda found: "\\" if found[1] in _KNOWN else found[0], text)
