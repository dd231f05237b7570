"""The answer that a JSON object gives, where that is all of an output or its last fenced block."""

from __future__ import annotations

import json
import re
from typing import Any

KEYS = ("final_answer", "answer", "result", "solution")
LONGEST = 20_000  # characters of an object
FENCE = "```"
LATEX_ESCAPE = re.compile(r"(?<!\\)\\(?:(?=[bfrt][a-z])|(?![\\\"/bfnrtu]))")  # a backslash that JSON would have doubled


def record_answer(text: str) -> str:
    r"""The answer in a text that is a JSON object, or in its last fenced block; "" where there is none.

    Numbers are taken as they are written, a list as its items; LaTeX need not be escaped.

    >>> record_answer('{"steps": 3, "answer": [2, "\\frac12"]}')
    '2, \\frac12'
    """
    if text.startswith("{") and text.endswith("}"):
        return _answer_of(text)
    end = text.rfind(FENCE)
    start = text.rfind(FENCE, max(0, end - LONGEST), end) if end > 0 else -1
    if start < 0:
        return ""
    block = text[start + len(FENCE) : end].removeprefix("json").strip()
    return _answer_of(block) if block.startswith("{") and block.endswith("}") else ""


def _answer_of(text: str) -> str:
    if len(text) > LONGEST or '"' not in text:
        return ""
    try:
        record = json.loads(LATEX_ESCAPE.sub(r"\\\\", text), parse_int=str, parse_float=str, strict=False)
    except (ValueError, RecursionError):
        return ""
    values = {str(key).lower().replace(" ", "_"): value for key, value in record.items()}
    return next((_plain(values[key]) for key in KEYS if key in values), "")


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return ""
