"""Units: what the table holds, what is read as made of it, and that nothing else is."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders.math.reading.units import AMBIGUOUS, UNITS, Unit, compatible, per, power, read_unit, times, unit_named

WORDS = sorted(UNITS)
PIECES = [
    *WORDS,
    "/",
    "per",
    "^",
    "^2",
    "{",
    "}",
    "(",
    ")",
    "\\frac",
    "\\text",
    "\\",
    " ",
    "square",
    "squared",
    "²",
    "-1",
]


def unit(text: str) -> Unit:
    found = read_unit(text)
    assert found is not None, text
    return found


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("cm", "cm"), ("inches", "in"), ("feet", "ft"), ("Meter", "m"), ("metres", "m"), ("kilomètres", "km"),
        ("centímetros", "cm"), ("chilometri", "km"), ("quilômetros", "km"),
        ("метров", "m"), ("厘米", "cm"), ("公里", "km"),
        ("公斤", "kg"), ("grams", "g"), ("pounds", "lb"), ("tonnes", "tonne"), ("tons", "ton"), ("Stunden", "h"),
        ("heures", "h"), ("小时", "h"), ("分钟", "min"), ("минут", "min"), ("MONTHS", "month"), ("years", "year"),
        ("litres", "L"), ("mL", "mL"), ("gallons", "gal"), ("mph", "mph"),
        ("kWh", "kWh"), ("kJ", "kJ"), ("kilojoules", "kJ"),
        ("kPa", "kPa"), ("MHz", "MHz"), ("ohms", "Ω"), ("kcal", "kcal"), ("MeV", "MeV"), ("$", "$"), ("\\$", "$"),
        ("dollars", "$"), ("cents", "cent"), ("€", "€"), ("美元", "$"), ("元", "yuan"), ("₹", "₹"), ("рублей", "ruble"),
        ("°", "deg"), ("度", "deg"), ("градусов", "deg"), ("°C", "°C"), ("℉", "°F"), ("rad", "rad"), ("''", "arcsec"),
    ],
)  # fmt: skip
def test_a_spelling_names_its_unit(spelling: str, name: str) -> None:
    found = unit_named(spelling)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize(
    "word", ["apples", "x", "KM", "CM", "units", "个", "people", "", "t", "d", "ab", "once", "pies"]
)
def test_no_unit_is_invented(word: str) -> None:
    assert unit_named(word) is None
    assert read_unit(word) is None


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("km/h", "kph"), ("ft/sec", "feet per second"), ("N·m", "J"),
        ("N \\cdot m", "J"), ("cm^2", "square centimeters"),
        ("cm^{2}", "cm²"), ("cm2", "sq. cm"), ("square miles per hour", "mi^2/h"),
        ("m s^{-1}", "m/s"), ("m s-1", "m/s"),
        ("m·s⁻¹", "m/s"), ("\\text{ m/s}^2", "meters per second squared"), ("m/s/s", "m s^{-2}"), ("W", "J/s"),
        ("\\frac{\\text{km}}{\\text{h}}", "km/h"), ("\\mathrm{~cm}^{3}", "mL"), ("J/(kg K)", "J kg^{-1} K^{-1}"),
        ("kg·m²/s²", "J"), ("kilowatt-hours", "kWh"), ("light-years", "ly"),
        ("metric tons", "tonne"), ("cubic feet", "ft^3"),
        ("Quadratmeter", "m^2"), ("Kubikzentimeter", "mL"), ("mètres carrés", "m^2"), ("metros cuadrados", "m^2"),
        ("metri quadrati", "m^2"), ("кв. см", "cm^2"), ("км в час", "km/h"), ("平方厘米", "cm^2"), ("立方米", "m^3"),
        ("千米每小时", "km/h"), ("米/秒", "m/s"), ("^\\circ", "°"),
        ("^{\\circ}\\text{C}", "°C"), ("degrees Celsius", "°C"),
        ("\\$", "$"), ("\\$/hour", "dollars per hour"), ("US dollars", "USD"), ("s^{-1}", "Hz"), ("\\Omega", "ohm"),
        ("Meter pro Sekunde", "m/s"), ("Pa", "N/m^2"), ("C", "A s"), ("V", "J/C"), ("Ω", "V/A"), ("F", "C/V"),
    ],
)  # fmt: skip
def test_two_texts_spell_the_same_unit(text: str, same: str) -> None:
    assert unit(text)[1:] == unit(same)[1:]


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "5", "5 cm", "cm cm2x", "cm^", "cm^x", "cm^{99}", "m/", "/", "m**s",
        "(m", "m)", "()", "{m", "m}", "square",
        "per", "\\min", "\\sec", "\\alpha", "cm^2^3^4", "\\frac{m}{", "\\frac{m}",
        "cm " * 50, "(" * 60 + "m" + ")" * 60,
        "square units", "m = 3", "m+s", "%",
    ],
)  # fmt: skip
def test_a_text_that_is_no_unit_through_and_through_is_none(text: str) -> None:
    assert read_unit(text) is None


@pytest.mark.parametrize(
    ("large", "small", "ratio"),
    [
        ("m", "cm", 100), ("mile", "ft", 5280), ("ft", "in", 12), ("yd", "ft", 3), ("kg", "g", 1000), ("lb", "oz", 16),
        ("ton", "lb", 2000), ("tonne", "kg", 1000), ("hour", "s", 3600), ("week", "day", 7), ("year", "month", 12),
        ("L", "cm^3", 1000), ("gallon", "quart", 4), ("gallon", "fl oz", 128), ("gallon", "cubic inches", 231),
        ("dollar", "cents", 100), ("acre", "square feet", 43560),
        ("hectare", "m^2", 10000), ("m/s", "km/h", Fraction(18, 5)),
        ("square meter", "cm^2", 10000), ("degree", "'", 60), ("'", "''", 60),
        ("revolution", "°", 360), ("kWh", "J", 3600000),
        ("mph", "ft/s", Fraction(22, 15)), ("psi", "lbf/in^2", 1), ("hp", "ft lbf/s", 550), ("kcal", "J", 4184),
    ],
)  # fmt: skip
def test_units_of_one_quantity_convert_exactly(large: str, small: str, ratio: Fraction | int) -> None:
    assert compatible(unit(large), unit(small))
    assert unit(large).factor / unit(small).factor == ratio


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("cm^2", "cm^3"), ("m", "s"), ("$", "€"), ("°C", "°F"), ("°C", "K"),
        ("°C", "°"), ("rad", "°"), ("days", "months"),
        ("pounds", "£"), ("yuan", "yen"), ("km", "km/h"), ("N", "J"), ("mol", "g"),
    ],
)  # fmt: skip
def test_units_of_two_quantities_are_not_compatible(a: str, b: str) -> None:
    assert not compatible(unit(a), unit(b))


def test_single_letters_that_are_symbols_are_marked_ambiguous_and_still_in_the_table() -> None:
    letters = {word for word in UNITS if len(word) == 1 and word.isascii() and word.isalpha()}
    assert letters == set("msghlLNJVACFKWT")
    assert letters < AMBIGUOUS <= set(UNITS)
    assert "cm" not in AMBIGUOUS


def test_both_micro_signs_and_both_ohm_signs_are_read() -> None:
    assert UNITS["\u00b5m"] is UNITS["\u03bcm"]
    assert UNITS["k\u2126"] is UNITS["k\u03a9"]


def test_products_quotients_and_powers_are_named_and_cancel() -> None:
    m, s = UNITS["m"], UNITS["s"]
    assert per(m, times(s, s)) == Unit("m/(s*s)", (("length", 1), ("time", -2)), Fraction(1))
    assert per(m, m).dims == ()
    assert power(UNITS["cm"], 2) == Unit("cm^2", (("length", 2),), Fraction(1, 10000))


def test_an_absurd_power_is_refused() -> None:
    with pytest.raises(ValueError, match="power 999999999"):
        power(UNITS["km"], 999999999)


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_error(text: str) -> None:
    read_unit(text)


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_any_pieces_of_units_are_read_without_an_error(text: str) -> None:
    read_unit(text)


@given(st.sampled_from(WORDS), st.sampled_from(WORDS))
def test_a_quotient_of_any_two_units_is_read_back(a: str, b: str) -> None:
    found = read_unit(f"{a} / {b}")
    assert found is None or found == per(UNITS[a], UNITS[b])
