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
    *("ans", "【答案】", "故选", "因此选", "所以选", "应选", "答案选"),
    *("correct option", "correct choice", "right option", "right choice"),
    *("câu trả lời", "cevap", "yanıt", "odpowiedź", "antwoord", "svar", "jawaban"),
    *("απάντηση", "відповідь", "תשובה", "คำตอบ", "উত্তর", "పరిష్కారం", "జవాబు", "jibu"),
)
_IS = (
    r"is|are|was|equals?|should be|would be|must be|will be|comes out to be|comes to|est|sont|serait|vaut"
    r"|lautet|ist|sind|beträgt"
    r"|es|son|sería|é|são|è|sono|равен|равна|равно|составляет|هي|هو|है|là|jest|wynosi|είναι|adalah|ni|är|er"
)
_CJK_IS = "是|为|為|はです|は|는|은|等于|选"
# Up to the verb or colon that must stand before an answer: few words, no formula, no number, no end of a sentence.
LINK = re.compile(
    rf"(?:[^\W\d]{{0,12}}[*_\"”’')\] ]{{0,4}}(?:[:：=]|\b(?:{_IS})\b|{_CJK_IS})"
    rf"|[^\n.:：=$\\\d。，；！？!?]{{0,80}}?(?:[:：=]|\b(?:{_IS})\b(?!\s+(?:that|not)\b)|{_CJK_IS})"
    r"|(?<=】)|(?<=选)(?=\s?[A-H](?![A-Za-z]))"
    r"|[*_\s]{1,4}(?=[$\\\d\-]))[*_\s]{0,6}"
)
FINAL_COPULA = re.compile(r"[*_ ]*(?:です|である|だ|입니다|이다|예요|이에요)[。. ]*$")
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
    ve veya i lub och eller dan atau perhaps maybe possibly versus vs
    """.split()  # noqa: SIM905
)
OR = re.compile(
    r"[\s,$)\\\]]{0,6}"
    r"(?:\b(?:or|maybe|perhaps|possibly|oder|ou|или|hoặc|veya|lub|atau|أو|या)\b|或|または|또는)[^\d$\\\n.]{0,24}",
    re.IGNORECASE,
)
UNSURE = frozenset(("about", "also", "approximately", "even", "maybe", "perhaps", "possibly", "probably"))
_UNIT = (
    r"(?:(?:square|cubic|sq\.?)\s)?(?:[kcdm]?m(?:\^?[23]|[²³])?|ft|feet|inches|miles?|[km]?g|mph|m/s|km/h|units?|degrees?"
    r"|radians?|dollars|cents|seconds?|minutes?|hours?|days?|years?|met(?:er|re)s?|lit(?:er|re)s?|percent)\b"
)
_ABOUT = r"approximately|approx\.?|about|roughly|around|nearly|almost|environ|etwa|ungefähr|circa|约|大约"
APPROXIMATELY = re.compile(rf"\b(?:{_ABOUT})")
# What stands between a value and the same value said again.
REMARK = re.compile(
    rf"(?<=[\d$)}}\]π%°*])[\s*]{{0,3}}(?P<unit>{_UNIT})?[\s$)*]{{0,3}}(?P<apart>[,;(—–]\s?)(?:(?:which|that) is,? )?"
    rf"(?:{_ABOUT}|≈|\\approx|(?(unit)i\.\s?e\.,?|(?!)))[\s$:]{{0,3}}"
)
CONDITION = re.compile(
    r"[\s,，;；(（]{0,4}(?:此时|当|其中|when|where|if|with|for|for (?:all|any|every|each)|at"
    r"|(?:attained|achieved|reached|occurring) (?:at|when|for|if))[\s:：]{0,3}"
)
WITHIN = re.compile(r"\b(?:in|of|from|among|for|with|on|at|by|after|within|over)\s(?:all )?(?:the|these|those)\s$")
# Words that part two boxes: the second follows from the first, corrects it or says it again.
APART = frozenset(
    """
    then so thus therefore but hence wait actually not no instead rather correction sorry oops however which is
    equals equal i.e namely simply equivalently approximately about because since if when yields gives becomes
    giving means donc alors mais also dann aber entonces luego pero quindi ma portanto mas então
    """.split()  # noqa: SIM905
)
JOINED = str.maketrans(dict.fromkeys(" \t\n\r$,;:、，；&\"'“”()[]*", None))
