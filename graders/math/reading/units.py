"""Units: one table from spelling to unit, and a reader for what is made of them, such as "km/h" or "square feet".

A unit is a size and the dimensions it has, so that 100 cm is 1 m while cm^2 is no cm^3. Factors are exact. What the
table decides where usage does not:

- `deg` is the one unit of angle that others are measured in, since pi is irrational; `rad` has a dimension of its own,
  and what compares the two multiplies degrees by pi/180.
- Kelvin, Celsius and Fahrenheit are three dimensions: they do not differ by a factor.
- Months and years (12 months) have a dimension of their own: they are no fixed number of days.
- "pounds" are a mass, £ a currency; "ton" is 2000 pounds, "tonne" 1000 kg; ¥ is the yuan; "cents" are of the dollar;
  "gallon", "pint" and "fluid ounce" are those of the USA; C is the coulomb, F the farad; kB is 1000 bytes.

Sources: BIPM, The International System of Units, 9th edition (2019); NIST Handbook 44, appendix C.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import NamedTuple


class Unit(NamedTuple):
    """Its name, its dimensions in alphabetical order with exponents, its size in metres, kilograms, seconds ..."""

    name: str
    dims: tuple[tuple[str, int], ...]
    factor: Fraction


# name, size, dimensions: spellings, lower-case where they have three letters or more; _ for a space
_TABLE = """
m 1 length: m meter meters metre metres mètre mètres metern metro metros metri м метр метра метров метры 米 公尺
mm 1/1000 length: mm millimeter millimeters millimetre millimetres millimètre millimètres millimetern milímetro \
    milímetros millimetro millimetri мм миллиметр миллиметра миллиметров 毫米
cm 1/100 length: cm centimeter centimeters centimetre centimetres centimètre centimètres zentimeter zentimetern \
    centímetro centímetros centimetro centimetri см сантиметр сантиметра сантиметров 厘米 公分
dm 1/10 length: dm decimeter decimeters decimetre decimetres décimètre décimètres dezimeter decímetro decímetros \
    decimetro decimetri дм дециметр дециметра дециметров 分米
km 1000 length: km kilometer kilometers kilometre kilometres kilomètre kilomètres kilometern kilómetro kilómetros \
    quilômetro quilômetros quilómetro quilómetros chilometro chilometri км километр километра километров 千米 公里
µm 1/1000000 length: µm micrometer micrometers micrometre micrometres micron microns 微米
nm 1/1000000000 length: nm nanometer nanometers nanometre nanometres 纳米
angstrom 1/10000000000 length: Å Å angstrom angstroms ångström
in 0.0254 length: in inch inches pouce pouces zoll pulgada pulgadas pollice pollici polegada polegadas дюйм 英寸
ft 0.3048 length: ft foot feet pied pieds fuß piede piedi фут футов 英尺
yd 0.9144 length: yd yds yard yards ярд ярдов 码
mi 1609.344 length: mi mile miles meile meilen milla millas miglio miglia milha milhas миля мили миль 英里
nmi 1852 length: nmi nautical_mile nautical_miles 海里
au 149597870700 length: AU astronomical_unit astronomical_units
ly 9460730472580800 length: ly light_year light_years lightyear lightyears année_lumière 光年
acre 4046.8564224 length2: acre acres
ha 10000 length2: ha hectare hectares hektar hectárea hectáreas ettaro ettari га гектар гектара гектаров 公顷
mu 2000/3 length2: 亩
kg 1 mass: kg kgs kilogram kilograms kilogramme kilogrammes kilo kilos kilogramm kilogramo kilogramos chilogrammo \
    chilogrammi quilograma quilogramas кг килограмм килограмма килограммов 千克 公斤
g 1/1000 mass: g gram grams gramme grammes gramm gramo gramos grammo grammi grama gramas г грамм грамма граммов 克
mg 1/1000000 mass: mg milligram milligrams milligramme milligrammes milligramm miligramo miligramos мг миллиграмм 毫克
µg 1/1000000000 mass: µg mcg microgram micrograms
tonne 1000 mass: tonne tonnes metric_ton metric_tons metric_tonne metric_tonnes tonnen tonelada toneladas tonnellata \
    tonnellate тонна тонны тонн 吨
lb 0.45359237 mass: lb lbs pound pounds livre livres libra libras libbra libbre фунт фунта фунтов 磅
oz 0.028349523125 mass: oz ounce ounces unze unzen onza onzas oncia унция унций 盎司
ton 907.18474 mass: ton tons short_ton short_tons
s 1 time: s sec secs second seconds seconde secondes sekunde sekunden segundo segundos secondo secondi \
    с сек секунда секунды секунд 秒 秒钟
ms 1/1000 time: ms millisecond milliseconds мс миллисекунд 毫秒
µs 1/1000000 time: µs microsecond microseconds 微秒
ns 1/1000000000 time: ns nanosecond nanoseconds 纳秒
min 60 time: min mins minute minutes minuten minuto minutos minuti мин минута минуты минут 分钟
h 3600 time: h hr hrs hour hours heure heures stunde stunden std hora horas ora ore ч час часа часов 小时 时 個小時 \
    个小时
day 86400 time: day days jour jours tag tage tagen día días dia dias giorno giorni день дня дней сутки суток 天 日
week 604800 time: week weeks semaine semaines woche wochen semana semanas settimana settimane неделя недели недель \
    周 星期 个星期
month 1 month: month months mois monat monate monaten mes meses mese mesi mês месяц месяца месяцев 月 个月
year 12 month: year years yr yrs année années ans jahr jahre jahren año años anno anni ano anos год года лет 年
decade 120 month: decade decades
century 1200 month: century centuries
L 1/1000 length3: L l liter liters litre litres litern litro litros litri л литр литра литров 升
mL 1/1000000 length3: mL ml milliliter milliliters millilitre millilitres mililitro mililitros millilitro millilitri \
    мл миллилитр миллилитра миллилитров 毫升
cL 1/100000 length3: cL cl centiliter centiliters centilitre centilitres centilitro centilitros
dL 1/10000 length3: dL dl deciliter deciliters decilitre decilitres
cc 1/1000000 length3: cc ccm
gal 0.003785411784 length3: gal gallon gallons galón galones galão галлон 加仑
qt 0.000946352946 length3: qt quart quarts
pint 0.000473176473 length3: pint pints
cup 0.0002365882365 length3: cup cups
floz 0.0000295735295625 length3: fl_oz fluid_ounce fluid_ounces
km/h 5/18 length time-1: kph kmh kmph
mph 0.44704 length time-1: mph
knot 463/900 length time-1: kn knot knots
rpm 6 angle time-1: rpm
dyne 1/100000 length mass time-2: dyn dyne dynes
lbf 4.4482216152605 length mass time-2: lbf
erg 1/10000000 length2 mass time-2: erg ergs
Wh 3600 length2 mass time-2: Wh
kWh 3600000 length2 mass time-2: kWh kwh
hp 745.69987158227022 length2 mass time-3: hp horsepower
atm 101325 length-1 mass time-2: atm atmosphere atmospheres
psi 44482216152605/6451600000 length-1 mass time-2: psi
bar 100000 length-1 mass time-2: bar bars
T 1 current-1 mass time-2: T tesla teslas
gauss 1/10000 current-1 mass time-2: gauss
Wb 1 current-1 length2 mass time-2: Wb weber webers
henry 1 current-2 length2 mass time-2: henry henries henrys
K 1 temperature: K kelvin kelvins
°C 1 celsius: °C ºC ℃ celsius degrees_celsius degree_celsius 摄氏度
°F 1 fahrenheit: °F ºF ℉ fahrenheit degrees_fahrenheit degree_fahrenheit 华氏度
deg 1 angle: ° º ^\\circ ^{\\circ} \\degree deg degree degrees degré degrés grad grado grados gradi grau graus градус \
    градуса градусов 度
arcmin 1/60 angle: ' ′ ’ arcmin arcminute arcminutes
arcsec 1/3600 angle: '' ″ ′′ ’’ " arcsec arcsecond arcseconds
turn 360 angle: turn turns revolution revolutions rev revs
rad 1 radian: rad rads radian radians radianti radianes radiant radiano radianos радиан радиана радианов 弧度
bit 1 information: bit bits
byte 8 information: byte bytes
kB 8000 information: kB KB kilobyte kilobytes
MB 8000000 information: MB megabyte megabytes
GB 8000000000 information: GB gigabyte gigabytes
TB 8000000000000 information: TB terabyte terabytes
$ 1 dollar: $ \\$ ＄ US$ US\\$ USD usd dollar dollars us_dollar us_dollars dólar dólares dollaro dollari доллар \
    доллара долларов 美元
cent 1/100 dollar: ¢ cent cents penny pennies 美分
€ 1 euro: € \\euro \\texteuro EUR eur euro euros евро 欧元
£ 1 sterling: £ \\pounds GBP gbp pounds_sterling фунтов_стерлингов 英镑
pence 1/100 sterling: pence
yuan 1 yuan: ¥ ￥ CNY cny RMB rmb yuan yuans yuán 元 块 块钱 人民币
jiao 1/10 yuan: 角
yen 1 yen: JPY jpy yen 円 日元
₹ 1 rupee: ₹ Rs rs INR inr rupee rupees 卢比
paise 1/100 rupee: paise paisa
ruble 1 ruble: ₽ RUB rub ruble rubles rouble roubles руб рубль рубля рублей 卢布
kopeck 1/100 ruble: коп копейка копейки копеек kopeck kopecks
won 1 won: ₩ KRW krw won
real 1 real: R$ R\\$ BRL brl reais
peso 1 peso: peso pesos
franc 1 franc: CHF chf franc francs franken
"""

# symbol, size, dimensions: SI prefixes in use, then names, which take the prefixes' names
_PREFIXED = """
W 1 length2 mass time-3: m k M G T watt watts ватт 瓦 瓦特
J 1 length2 mass time-2: m k M G joule joules джоуль джоулей 焦 焦耳
N 1 length mass time-2: m k M newton newtons ньютон 牛 牛顿
Pa 1 length-1 mass time-2: h k M G pascal pascals паскаль 帕
V 1 current-1 length2 mass time-3: µ m k M volt volts вольт 伏 伏特
A 1 current: n µ m k ampere amperes amp amps ампер 安 安培
Hz 1 time-1: k M G T hertz герц 赫兹
eV 1.602176634e-19 length2 mass time-2: k M G T electronvolt electronvolts
mol 1 amount: µ m k mole moles моль 摩尔
Ω 1 current-2 length2 mass time-3: m k M ohm ohms ом 欧 欧姆
F 1 current2 length-2 mass-1 time4: p n µ m farad farads
C 1 current time: n µ m coulomb coulombs
cal 4.184 length2 mass time-2: k calorie calories
Bq 1 time-1: k M G becquerel becquerels
"""

_MONEY = frozenset("dollar euro sterling yuan yen rupee ruble won real peso franc".split())  # noqa: SIM905

_PREFIXES = {
    "p": ("pico", Fraction(1, 10**12)),
    "n": ("nano", Fraction(1, 10**9)),
    "µ": ("micro", Fraction(1, 10**6)),
    "m": ("milli", Fraction(1, 1000)),
    "h": ("hecto", Fraction(100)),
    "k": ("kilo", Fraction(1000)),
    "M": ("mega", Fraction(10**6)),
    "G": ("giga", Fraction(10**9)),
    "T": ("tera", Fraction(10**12)),
}

_SYMBOLS = """m s g h l L N J V A C F K W T Ω ' ′ ’ '' ″ ′′ ’’ " in mi ms ns nm ha hp kn AU kB KB MB GB TB min sec"""
AMBIGUOUS = frozenset(_SYMBOLS.split())
"""Spellings that are usual symbols, functions or marks too: units only inside `\\text{}` or behind a plain number."""


def _rows(table: str) -> Iterator[tuple[Unit, list[str]]]:
    for line in table.strip().splitlines():
        head, _, spellings = line.partition(":")
        name, size, *dims = head.split()
        yield Unit(name, tuple(map(_dimension, dims)), Fraction(size)), spellings.split()


def _dimension(text: str) -> tuple[str, int]:
    base = text.rstrip("-0123456789")
    return base, int(text[len(base) :] or 1)


def _table() -> dict[str, Unit]:
    table: dict[str, Unit] = {}
    for unit, spellings in _rows(_TABLE):
        for spelling in spellings:
            table[spelling.replace("_", " ")] = unit
    for unit, words in _rows(_PREFIXED):
        prefixes = [word for word in words if word in _PREFIXES]
        names = [word for word in words if word not in _PREFIXES]
        table.update(dict.fromkeys([unit.name, *names], unit))
        for prefix in prefixes:
            word, size = _PREFIXES[prefix]
            larger = Unit(prefix + unit.name, unit.dims, size * unit.factor)
            table.update(dict.fromkeys([larger.name, *(word + name for name in names if name.isascii())], larger))
    for spelling in [spelling for spelling in table if "\u00b5" in spelling or "\u03a9" in spelling]:
        table[spelling.replace("\u00b5", "\u03bc").replace("\u03a9", "\u2126")] = table[spelling]
    return table


UNITS: Mapping[str, Unit] = MappingProxyType(_table())
"""From spelling to unit: symbols in their own case, words in lower case (`unit_named` folds it)."""

MONEY = frozenset("dollar euro sterling yuan yen rupee ruble won real peso franc".split())  # noqa: SIM905 - a table
"""Dimensions that are currencies."""
_NONE = Unit("", (), Fraction(1))
_LONGEST = 120
_DEPTH = 4
_POWER = 12


def _powers(square: str, cubic: str) -> dict[str, int]:
    return dict.fromkeys(square.split(), 2) | dict.fromkeys(cubic.split(), 3)


_PER = frozenset(["per", "par", "pro", "por", "в", "每"])
_BEFORE = _powers(
    "square sq кв квадратный квадратных квадратные квадратного квадратная",
    "cubic cu куб кубический кубических кубические кубического",
)
_BEHIND = _powers(
    "squared carré carrés carre cuadrado cuadrados quadrato quadrati quadro quadri quadrado quadrados квадратных",
    "cubed cube cubes cúbico cúbicos cubo cubi cubico cubici кубических",
)
_JOINED = _powers("quadrat sq 平方", "kubik 立方")
_TEMPERATURES = {"c": "°C", "f": "°F", "celsius": "°C", "fahrenheit": "°F"}
_COMMANDS = {
    "cdot": "*",
    "times": "*",
    "circ": "°",
    "degree": "°",
    "Omega": "Ω",
    "AA": "Å",
    "mu": "µ",
    "euro": "€",
    "pounds": "£",
    "$": "$",
}
_FACES = "text mathrm rm textrm mbox hbox operatorname mathit textit textbf mathbf mathsf"
_NOTHING = frozenset([",", ";", ":", "!", " ", "quad", "thinspace", "space", *_FACES.split()])
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻−", "0123456789--")
_TOKEN = (
    r"(?P<degree>\^ ?\{? ?(?:\\circ|[∘o])(?![A-Za-z]) ?\}?)"
    r"|\^ ?\{? ?(?P<power>[-−]?[0-9]{1,2}) ?\}?|(?P<raised>[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]{1,3})"
    r"|(?<=[^\W\d_])(?P<digit>[23])(?!\w)|(?P<negative>[-−][0-9])(?!\w)"
    r"|\\(?P<command>[A-Za-z]+|.)|(?P<word>[^\W\d_⁰¹²³⁴⁵⁶⁷⁸⁹]+)"
    r"|(?P<blank>[\s~]|(?<=\w)\.|(?<=[^\W\d_])-(?=[^\W\d_]))|(?P<sign>.)"
)


def unit_named(word: str) -> Unit | None:
    """The unit of that spelling, exact case first; words of three letters and more in any case. None: no unit."""
    unit = UNITS.get(word)
    return UNITS.get(word.lower()) if unit is None and len(word) > 2 else unit


def power(unit: Unit, n: int) -> Unit:
    """The unit to the n-th power, such as cm to cm^2. Raises ValueError beyond the 12th: no quantity has it."""
    if abs(n) > _POWER:
        raise ValueError(f"the power {n} of a unit")
    if n == 1:
        return unit
    dims = tuple((base, n * exponent) for base, exponent in unit.dims) if n else ()
    return Unit(f"{_bracketed(unit.name)}^{n}", dims, unit.factor**n)


def times(a: Unit, b: Unit) -> Unit:
    """The product, such as N and m to N*m."""
    dims = dict(a.dims)
    for base, exponent in b.dims:
        dims[base] = dims.get(base, 0) + exponent
    name = f"{a.name}*{b.name}" if a.name and b.name else a.name or b.name
    return Unit(name, tuple(sorted((base, n) for base, n in dims.items() if n)), a.factor * b.factor)


def per(a: Unit, b: Unit) -> Unit:
    """The quotient, such as km and h to km/h."""
    return times(a, power(b, -1))._replace(name=f"{a.name}/{_bracketed(b.name)}")


def _bracketed(name: str) -> str:
    return f"({name})" if "*" in name or "/" in name else name


def is_money(unit: Unit) -> bool:
    """Whether it is a currency."""
    return len(unit.dims) == 1 and unit.dims[0][0] in _MONEY


def compatible(a: Unit, b: Unit) -> bool:
    """Whether both measure the same; `a.factor / b.factor` then takes a number of `a` to one of `b`."""
    return a.dims == b.dims


def read_unit(text: str) -> Unit | None:
    """The unit that the whole text spells, plain or LaTeX: "km/h", "N·m", "cm^2", "square feet". None: it spells none.

    `/` and "per" hold for the one factor behind them, so J/kg K is (J/kg) K, and J/(kg K) needs its brackets.
    """
    if len(text) > _LONGEST:
        return None
    unit = unit_named(text.strip())
    if unit is not None:
        return unit
    try:
        tokens = _tokens(text)
        unit, at = _product(tokens, 0, 0)
    except ValueError:
        return None
    return unit if at == len(tokens) and unit.name else None


def _tokens(text: str) -> list[str]:
    """Words and signs of units, ( ) * / and powers as ^2; \\frac{a}{b} is ((a)/(b)). Raises ValueError for all else."""
    tokens: list[str] = []
    braces: list[str] = []
    fraction = ""
    for match in re.finditer(_TOKEN, text):
        kind, token = match.lastgroup, match[match.lastgroup or 0]
        if kind == "word":
            tokens += token.replace("每", " 每 ").split()
        elif kind == "degree":
            tokens.append("°")
        elif kind == "command" and token in ("frac", "dfrac", "tfrac"):
            tokens.append("(")
            fraction = "first"
        elif kind == "command" and token not in _NOTHING:
            tokens.append(_sign(_COMMANDS.get(token, "")))
        elif kind in ("power", "raised", "digit", "negative"):
            tokens.append("^" + token.translate(_SUPERSCRIPTS))
        elif token == "{":
            braces.append(fraction)
            tokens += ["("] if fraction else []
            fraction = ""
        elif token == "}":
            fraction = _closed(tokens, braces)
        elif kind == "sign":
            tokens.append(_sign(token))
    if braces:
        raise ValueError("an open brace")
    return tokens


def _closed(tokens: list[str], braces: list[str]) -> str:
    """Closes a brace; those of a fraction are brackets, others mean nothing. Returns which of a fraction comes next."""
    if not braces:
        raise ValueError("a stray brace")
    kind = braces.pop()
    if kind:
        tokens += [")", "/"] if kind == "first" else [")", ")"]
    return "second" if kind == "first" else ""


def _sign(sign: str) -> str:
    if sign and sign in "·⋅∙•*×":
        return "*"
    if sign in ("(", ")", "/", "µ") or sign in UNITS:
        return sign
    raise ValueError(f"no unit: {sign}")


def _product(tokens: list[str], at: int, depth: int) -> tuple[Unit, int]:
    """Factors up to the end or a closing bracket, and where they end."""
    unit, first = _NONE, True
    while at < len(tokens) and tokens[at] != ")":
        sign = tokens[at]
        below = sign == "/" or sign in _PER
        if below or (sign == "*" and not first):
            at += 1
        factor, at = _factor(tokens, at, depth)
        unit = per(unit, factor) if below else times(unit, factor)
        first = False
    return unit, at


def _factor(tokens: list[str], at: int, depth: int) -> tuple[Unit, int]:
    """One unit with its powers: "(", a word, or two words; "square" before it, "squared" or an exponent behind."""
    if at >= len(tokens) or depth > _DEPTH:
        raise ValueError("a unit is missing")
    token = tokens[at]
    before = _BEFORE.get(token.lower())
    if before:
        factor, at = _factor(tokens, at + 1, depth + 1)
        return power(factor, before), at
    if token == "(":
        factor, at = _product(tokens, at + 1, depth + 1)
        if at >= len(tokens) or not factor.name:
            raise ValueError("an open bracket")
        at += 1
    else:
        factor, at = _word(tokens, at)
    if at < len(tokens):
        exponent = int(tokens[at][1:]) if tokens[at][0] == "^" else _BEHIND.get(tokens[at].lower())
        if exponent is not None:
            return power(factor, exponent), at + 1
    return factor, at


def _word(tokens: list[str], at: int) -> tuple[Unit, int]:
    word, following = tokens[at], tokens[at + 1] if at + 1 < len(tokens) else ""
    pair = unit_named(f"{word} {following}" if following.isalpha() else word + following) if following else None
    if pair is not None:
        return pair, at + 2
    unit = unit_named(word) or _joined(word)
    if unit.name == "deg" and following.lower() in _TEMPERATURES:
        return UNITS[_TEMPERATURES[following.lower()]], at + 2
    return unit, at + 1


def _joined(word: str) -> Unit:
    """The square or cube of a unit in one word, such as Quadratmeter."""
    for prefix, n in _JOINED.items():
        unit = unit_named(word[len(prefix) :]) if word.lower().startswith(prefix) else None
        if unit is not None:
            return power(unit, n)
    raise ValueError(f"no unit: {word}")
