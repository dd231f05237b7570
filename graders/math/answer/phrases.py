"""Phrases in many languages: which lead to a final answer, which join several into one list, which part them."""

from __future__ import annotations

import re

# In small letters, each up to where its verb or colon follows.
FINAL_ANSWER = (
    *("final answer", "réponse finale", "endgültige antwort", "endantwort", "respuesta final", "resposta final"),
    *("risposta finale", "окончательный ответ", "итоговый ответ", "الإجابة النهائية", "الجواب النهائي", "अंतिम उत्तर"),
    *(
        "最终答案",
        "最終答案",
        "最後の答え",
        "最終的な答え",
        "최종 답",
        "đáp án cuối cùng",
        "nihai cevap",
        "ostateczna odpowiedź",
    ),
)
ANSWER = (
    *(
        "answer",
        "réponse",
        "antwort",
        "respuesta",
        "resposta",
        "risposta",
        "ответ",
        "الإجابة",
        "الجواب",
        "उत्तर",
        "答案",
    ),
    *("答え", "答", "정답", "답", "đáp án", "đáp số"),
    *("correct option", "correct choice", "right option", "right choice"),
    *("câu trả lời", "cevap", "yanıt", "odpowiedź", "antwoord", "svar", "jawaban"),
    *("απάντηση", "відповідь", "תשובה", "คำตอบ", "উত্তর", "పరిష్కారం", "జవాబు", "jibu"),
)
_IS = (
    r"is|are|was|equals?|should be|would be|must be|will be|comes out to be|comes to|est|sont|serait|vaut"
    r"|lautet|ist|sind|beträgt"
    r"|es|son|sería|é|são|è|sono|равен|равна|равно|составляет|هي|هو|है|là|jest|wynosi|είναι|adalah|ni|är|er"
)
_CJK_IS = "是|为|為|はです|は|는|은|等于"
# Up to the verb or colon that must stand before an answer: few words, no formula, no number, no end of a sentence.
LINK = re.compile(
    rf"(?:[^\W\d]{{0,12}}[*_\"”’')\] ]{{0,4}}(?:[:：=]|\b(?:{_IS})\b|{_CJK_IS})"
    rf"|[^\n.:：=$\\\d。，；！？!?]{{0,80}}?(?:[:：=]|\b(?:{_IS})\b(?!\s+(?:that|not)\b)|{_CJK_IS})"
    r"|[*_\s]{1,4}(?=[$\\\d\-]))[*_\s]{0,6}"
)
COPULA = re.compile(
    rf"(?:\b(?:{_IS}|be|has|have|gives?|get|only|about|around|approximately)\b|[:：=≈]|应该是|是|为|為|等于|得|は|约)\s*"
)
CONCLUDES = re.compile(
    r"\b(?:therefore|thus|hence|so|consequently|total|altogether|donc|ainsi|daher|folglich|insgesamt"
    r"|por lo tanto|así que|portanto"
    r"|assim|quindi|perciò|dunque|следовательно|поэтому|значит|итак|لذلك|لذا|इसलिए|अतः|vậy|dolayısıyla"
    r"|zatem|więc|dus)\b"
    r"|所以|因此|故|综上|したがって|よって|따라서|그러므로",
    re.IGNORECASE,
)
HOPE = "I hope it is correct"

JOINERS = frozenset(
    """
    and or und oder et ou y e o и или или та або و أو और या 和 或 与 及 と または 그리고 또는 và hoặc 
    ve veya i lub och eller dan atau
    """.split()  # noqa: SIM905
)
OR = re.compile(
    r"[\s,$)\\\]]{0,6}"
    r"(?:\b(?:or|oder|ou|или|hoặc|veya|lub|atau|أو|या)\b|或|または|또는)[^\d$\\\n.]{0,24}",
    re.IGNORECASE,
)
# Words that part two boxes: the second follows from the first, corrects it or says it again.
APART = frozenset(
    """
    then so thus therefore but hence wait actually not no instead rather correction sorry oops however which is
    equals equal i.e namely simply equivalently approximately about because since if when yields gives becomes
    giving means donc alors mais also dann aber entonces luego pero quindi ma portanto mas então
    """.split()  # noqa: SIM905
)
JOINED = str.maketrans(dict.fromkeys(" \t\n\r$,;:、，；&\"'“”()[]*", None))
