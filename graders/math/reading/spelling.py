# ruff: noqa: SIM905 - tables of words read best as words
"""Spelling: the names that LaTeX and plain text have for functions, signs and words. Tables only."""

from __future__ import annotations

GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi "
    "omega"
).split()

SYMBOLS: dict[str, str] = {
    **{name: name for name in GREEK if name != "pi"},
    **{name.capitalize(): name.capitalize() for name in GREEK},
    **{f"var{name}": name for name in ("epsilon", "theta", "phi", "rho", "sigma", "kappa")},
    **{"ell": "l", "hbar": "hbar", "partial": "partial", "nabla": "nabla", "aleph": "aleph", "triangle": "triangle"},
    **{"angle": "angle", "star": "star", "ast": "*", "Box": "Box", "square": "square", "imath": "i", "jmath": "j"},
}
CONSTANTS = {"pi": "pi", "infty": "inf", "infinity": "inf", "inf": "inf", "oo": "inf", "Infinity": "inf"}
DOMAINS = {"R": "R", "N": "N", "Z": "Z", "Q": "Q", "C": "C", "emptyset": "empty", "varnothing": "empty"}

FUNCTION_NAMES: dict[str, str] = {
    **{
        name: name
        for name in "sin cos tan cot sec csc sinh cosh tanh coth sech csch exp ln log arg det gcd lcm".split()
    },
    **{f"arc{name}": f"arc{name}" for name in "sin cos tan cot sec csc".split()},
    **{f"a{name}": f"arc{name}" for name in "sin cos tan".split()},
    **{f"ar{name}h": f"ar{name}h" for name in "sin cos tan".split()},
    **{f"a{name}h": f"ar{name}h" for name in "sin cos tan".split()},
    **{f"arc{name}h": f"ar{name}h" for name in "sin cos tan".split()},
    **{"tg": "tan", "ctg": "cot", "cotg": "cot", "arctg": "arctan", "arcctg": "arccot", "cosec": "csc", "cotan": "cot"},
    **{"sh": "sinh", "ch": "cosh", "th": "tanh", "lg": "lg", "lb": "lb", "Re": "re", "Im": "im", "sgn": "sgn"},
    **{
        "cis": "cis",
        "sign": "sgn",
        "abs": "abs",
        "floor": "floor",
        "ceil": "ceil",
        "ceiling": "ceil",
        "max": "max",
        "min": "min",
    },
    **{"tr": "tr", "Tr": "tr", "rank": "rank", "rk": "rank", "dim": "dim", "erf": "erf", "factorial": "factorial"},
    **{"LCM": "lcm", "GCD": "gcd", "HCF": "gcd", "hcf": "gcd"},
    **{"arcsinh": "arsinh", "arccosh": "arcosh", "arctanh": "artanh"},
}
RELATION_SIGNS: dict[str, str] = {
    **{"=": "=", "eq": "=", "!=": "!=", "ne": "!=", "neq": "!=", "<": "<", "lt": "<", ">": ">", "gt": ">"},
    **dict.fromkeys(("<=", "le", "leq", "leqslant", "leqq"), "<="),
    **dict.fromkeys((">=", "ge", "geq", "geqslant", "geqq"), ">="),
    **dict.fromkeys(("approx", "simeq", "sim", "cong", "doteq", "approxeq", "thickapprox"), "~"),
    **{"in": "in", "notin": "notin", "subset": "subset", "subseteq": "subset", "propto": "proportional"},
    **{"equiv": "equiv", "coloneqq": "=", "triangleq": "=", "coloneq": "=", "subsetneq": "subset", "eqsim": "~"},
    **{"to": "to", "rightarrow": "to", "longrightarrow": "to", "parallel": "parallel", "perp": "perp"},
}
THEN = frozenset(  # what stands behind them is what is stated
    "Rightarrow implies Longrightarrow iff Leftrightarrow Longleftrightarrow therefore".split()
)
SET_SIGNS = {"cup": "union", "cap": "intersection", "setminus": "minus", "backslash": "minus", "smallsetminus": "minus"}
PRODUCT_SIGNS = frozenset(("*", "cdot", "times", "ast", "bullet", "cdotp", "circ"))
BIG = {"sum": "sum", "prod": "product", "int": "integral", "lim": "limit", "bigcup": "union", "bigcap": "union"}
DECORATIONS = {
    **{name: name for name in "bar hat tilde dot ddot vec overline underline widehat widetilde".split()},
    **{"overrightarrow": "vec", "overleftrightarrow": "line", "overarc": "arc", "wideparen": "arc", "mathring": "ring"},
}
FRACTIONS = frozenset(("frac", "dfrac", "tfrac", "cfrac", "sfrac", "nicefrac"))
OPERATORS = frozenset(("sqrt", "cbrt", "binom", "dbinom", "tbinom", "choose", "mod", "bmod", "pmod", "pm", "mp", "div"))
PAIRED = {"lfloor": "rfloor", "lceil": "rceil", "langle": "rangle", "lvert": "rvert", "lVert": "rVert"}
OTHERS = frozenset(
    """degree prime ldots cdots dots dotsc dotsb vdots mid vert Vert boxed fbox quad qquad lbrace rbrace lbrack rbrack
    over not circ top intercal underbrace overbrace""".split()
)
NAMES = frozenset[str]().union(
    *(SYMBOLS, CONSTANTS, DOMAINS, FUNCTION_NAMES, RELATION_SIGNS, SET_SIGNS, PRODUCT_SIGNS, BIG, DECORATIONS),
    *(FRACTIONS, OPERATORS, PAIRED, PAIRED.values(), OTHERS, THEN),
) - {"="}
PLAIN_NAMES = frozenset[str]().union(  # read without a backslash too
    *(GREEK, map(str.capitalize, GREEK), CONSTANTS, FRACTIONS, OPERATORS, FUNCTION_NAMES),
    "cdot times leq geq neq le ge ne in notin infty emptyset cup cap sum prod degree angle triangle boxed".split(),
) - frozenset("lb th ch sh tr Tr rk Re Im div pm mp choose le ne".split())

TEXTS = frozenset("text textbf textit textrm textnormal mbox textsf texttt textup emph hbox".split())
CONTENT = frozenset(
    """mathrm operatorname mathit mathsf mathtt rm bf boldsymbol mathbf bm mathcal mathscr mathfrak mathbb mathop
    mathnormal pmb symbf Bbb mathds""".split()
)
SPACES = frozenset(
    "thinspace medspace thickspace enspace space hfill negthinspace smallskip allowbreak nobreak".split()
)
DROPPED = frozenset(
    """displaystyle textstyle scriptstyle limits nolimits big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr
    middle mathstrut strut hline because scriptscriptstyle nonumber notag large Large small it sl noindent""".split()
)
DROPPED_WITH_GROUP = frozenset(
    "hspace vspace label tag phantom hphantom vphantom color textcolor rule mspace cline require class".split()
)

TEXT_FUNCTIONS = frozenset(  # in \\text{} they are functions, whatever stands behind them
    """sin cos tan cot sec csc cosec arcsin arccos arctan sinh cosh tanh ln log exp lcm gcd LCM GCD HCF det cis Re
    Im""".split()
)

JOINERS = {
    **dict.fromkeys(("and", "&", "und", "et", "и", "和", "及", "与", "且"), "and"),
    **dict.fromkeys(("or", "oder", "ou", "или", "或", "或者", "または", "또는"), "or"),
}
LEADING = frozenset(
    "共 一共 总共 答 答案 答案是 答案为 答え 答えは 所以 因此 故 解 是 为 约 正解は 정답 정답은 답은 답".split()
)
IDEOGRAPHS = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
"""Ranges of Chinese, Japanese and Korean writing: never symbols."""
MODULES = frozenset("math cmath np numpy sp sympy".split())  # of code, as in math.sqrt
ORDINALS = frozenset(("st", "nd", "rd", "th"))
PERCENT = frozenset("percent pct percentage procent prozent процент процента процентов pourcent".split())
MULTIPLIERS = {
    **{"hundred": 100, "thousand": 1_000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12},
    **{"millions": 10**6, "billions": 10**9, "万": 10**4, "亿": 10**8, "千": 1_000, "百万": 10**6},
}
NO_LABEL = frozenset(  # words that say more than what was counted
    """and or more less least most not than minus plus times over mod modulo base to from between infinitely infinite
    for when as at given since because provided with such that which who is are was were but else otherwise versus vs
    no nor either neither only except without if where unless percent about approximately perhaps maybe possibly
    probably likely roughly alternatively instead wrong false incorrect never cannot isn't isnt can't nicht pas
    squared cubed factorial doubled tripled halved below above beyond under
    reciprocal inverse power exponent divided multiplied choose increased decreased pi binary hex
    hexadecimal octal ternary upper lower bound upwards downwards greater fewer exclusive
    inclusive exceeding half halves third thirds quarter quarters fourth fourths fifth fifths sixth sixths seventh
    sevenths eighth eighths ninth ninths tenth tenths hundredth hundredths thousandth thousandths
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred hundreds thousand thousands million
    millions billion billions trillion lakh crore dozen dozens score tausend millionen milliarden mille mil
    oder ou o ouí aber mais pero ma eins zwei drei vier fünf sechs sieben acht neun zehn un deux trois quatre cinq
    sept huit neuf dix seize uno dos tres cuatro cinco seis siete ocho nueve diez due tre quattro sei sette otto
    nove dieci alpha beta gamma theta lambda sigma omega""".split()
)
NO_LABEL_AT_END = frozenset(
    "negative positive imaginary maximum minimum exclusive inclusive square cubic decimal point".split()
)
NO_LABEL_PARTS = (
    "以上",
    "以下",
    "以内",
    "不",
    "非",
    "没",
    "未",
    "左右",
    "以外",
    "이상",
    "이하",
    "미만",
    "초과",
    "아니",
    "ない",
)
NUMBER_WORDS = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split()
    )
}
UNKNOWN_FUNCTIONS = frozenset("fghFGH")  # before a parenthesis they are applied, not multiplied
SHORT_WORDS = frozenset(  # words of three letters or fewer that are no product of variables
    """the is are was so no yes not if all for none one two six ten in on at it we be by as an of to do has had but any
    let its can may odd""".split()
)
