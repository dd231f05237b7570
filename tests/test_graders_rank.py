from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders import Grade, Grader, Sample, load

GENE = {"gene": "FBN1"}
TABLE = {"rule": "table", "credits": [1, 0.7, 0.5]}


def rank(**options: Any) -> Grader:
    return load({"type": "rank", "reference": "{{item.gene}}", **options})


def decided(grade: Grade) -> float:
    assert grade.score is not None, grade.why
    return grade.score


# Reading the list


@pytest.mark.parametrize(
    ("read", "output", "names"),
    [
        ("auto", '["TGFBR2", "FBN1"]', ["TGFBR2", "FBN1"]),
        ("auto", '```json\n["TGFBR2", "FBN1"]\n```', ["TGFBR2", "FBN1"]),
        ("auto", "TGFBR2, FBN1", ["TGFBR2", "FBN1"]),
        ("auto", "1. TGFBR2\n2. FBN1\n", ["TGFBR2", "FBN1"]),
        ("auto", '"TGFBR2, FBN1"', ["TGFBR2", "FBN1"]),  # a JSON string holding the list
        ("auto", "[7, 1.5]", ["7", "1.5"]),
        ("auto", "FBN1", ["FBN1"]),
        ("lines", "1) a\n2: b\n#3 c\n#4. d\n- e\n* f\n• g\n\n  h", list("abcdefgh")),
        ("lines", '1. **a**\n2. `b`\n**3. c**\n4. **`d`**\n5. "e"', list("abcde")),
        ("lines", "- a,\n- b;", ["a", "b"]),
        ("lines", "3.14\n-x\n#hash", ["3.14", "-x", "#hash"]),  # names, not markers
        ("lines", "Marfan syndrome, type 1\nStickler", ["Marfan syndrome, type 1", "Stickler"]),
        ("lines", "1.\n-\n2. b", ["b"]),
        ("comma", "a,\nb, ,c", ["a", "b", "c"]),
        ("comma", "1. a, 2. b", ["a", "b"]),
        ("json", '["a", " b ", ""]', ["a", "b"]),
        ("json", "[]", []),
    ],
)
def test_lists_are_read_as_their_author_meant(read: str, output: str, names: list[str]) -> None:
    assert rank(read=read)(output, GENE).extracted == names


@pytest.mark.parametrize(
    ("path", "output"),
    [
        ("genes", '{"genes": ["FBN1"]}'),
        ("answer.genes", '{"answer": {"genes": ["FBN1"]}}'),
        ("[0].genes", '[{"genes": ["FBN1"]}]'),
        ("[-1][0]", '[1, [["FBN1"]]]'),
    ],
)
def test_a_path_leads_to_the_list_inside_json(path: str, output: str) -> None:
    assert rank(read="json", path=path)(output, GENE).score == 1.0


def test_a_template_that_gives_a_list_is_used_as_it_is() -> None:
    grader = rank(input="{{sample.output_json.genes}}", read="lines")
    assert grader('{"genes": ["1. TGFBR2", "FBN1"]}', GENE).extracted == ["1. TGFBR2", "FBN1"]


@pytest.mark.parametrize(
    ("options", "output", "why"),
    [
        ({"read": "json"}, "FBN1, TGFBR2", "the output is not JSON: 'FBN1, TGFBR2'"),
        ({"read": "json"}, "", "the output is not JSON"),
        ({"read": "json"}, "[NaN]", "the output is not JSON"),
        ({"read": "json"}, '"FBN1"', "a list of names was expected, not 'FBN1'"),
        ({"read": "json"}, '{"genes": ["FBN1"]}', "a list of names was expected"),
        ({"read": "json"}, '[{"gene": "FBN1"}]', "element 1 of the list is not a name"),
        ({"read": "json"}, '["a", null]', "element 2 of the list is not a name: None"),
        ({"read": "json"}, "[[]]", "element 1 of the list is not a name: []"),
        ({"read": "json", "path": "genes"}, '{"gens": ["FBN1"]}', "nothing at 'genes' of the path"),
        ({"read": "json", "path": "[3]"}, "[[]]", "nothing at 3 of the path"),
        ({"read": "json"}, "[" * 10_000 + "]" * 10_000, "the output is not JSON"),
        ({}, '{"genes": ["FBN1"]}', "the output is a JSON object, not a list"),
        ({"input": "{{sample.output_json.genes}}"}, "no JSON", "the output is not valid JSON"),
        ({"input": "{{sample.output_json}}"}, "[" * 900 + "]" * 900, "element 1 of the list is not a name"),
    ],
)
def test_an_output_that_is_no_list_is_the_candidates_fault_and_scores_zero(
    options: dict[str, Any], output: str, why: str
) -> None:
    grade = rank(**options)(output, GENE)
    assert grade.score == 0.0
    assert why in grade.why
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("sample_parse_error", "candidate")


# Comparing names


@pytest.mark.parametrize(
    ("output", "options", "score"),
    [
        ("fbn1", {}, 1.0),
        ("fbn1", {"case_sensitive": True}, 0.0),
        ("FBN\uff11", {}, 1.0),  # full-width digit
        ("\u202bFBN1\u202c", {}, 1.0),  # direction marks
        ("\ufeffFBN1", {}, 1.0),
        ("fibrillin  1", {"aliases": {"Fibrillin 1": "FBN1"}}, 1.0),
        ("FBN", {}, 0.0),  # no guessing
        ("FBN1 (fibrillin)", {}, 0.0),
    ],
)
def test_names_are_the_same_after_normalisation_and_not_by_guess(
    output: str, options: dict[str, Any], score: float
) -> None:
    assert rank(**options)(output, GENE).score == score


@pytest.mark.parametrize("name", ["Straße", "ΣΊΣΥΦΟΣ", "متلازمة مارفان", "תסמונת מרפן", "ﬁbrillin", "İstanbul"])
def test_names_of_any_script_match_in_any_case(name: str) -> None:
    grader = rank()
    assert grader(json.dumps([name.upper()]), {"gene": name}).score == 1.0
    assert grader(json.dumps([name.lower()]), {"gene": name}).score == 1.0


def test_an_alias_and_its_name_are_one_name() -> None:
    grade = rank(aliases={"MFS1": "FBN1"})("TGFBR2, MFS1, FBN1", {"gene": "mfs1"})
    assert grade.score == 0.5
    assert grade.why == "'mfs1' is number 2 of 2: credit 0.5; 1 duplicate dropped"


# Credit


@pytest.mark.parametrize(
    ("credit", "credits"),
    [
        (TABLE, [1, 0.7, 0.5, 0, 0]),
        ("reciprocal", [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]),
        ({"rule": "dcg"}, [1, 1 / math.log2(3), 1 / 2, 1 / math.log2(5), 1 / math.log2(6)]),
        ({"rule": "rbp", "p": 0.5}, [1, 1 / 2, 1 / 4, 1 / 8, 1 / 16]),
        ({"rule": "top_k", "k": 2}, [1, 1, 0, 0, 0]),
    ],
)
def test_credit_falls_with_the_place(credit: Any, credits: list[float]) -> None:
    grader = rank(credit=credit)
    for place, expected in enumerate(credits):
        names = ["A", "B", "C", "D"]
        names.insert(place, "FBN1")
        grade = grader(", ".join(names), GENE)
        assert grade.score == pytest.approx(expected)
        assert grade.why.startswith(f"'FBN1' is number {place + 1} of 5: credit ")


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("TGFBR2, FBN1, COL3A1", "'FBN1' is number 2 of 3: credit 0.7"),
        ("TGFBR2, COL3A1", "'FBN1' is not among the 2 names given"),
        ("TGFBR2", "'FBN1' is not the one name given"),
        ("", "no names given"),
        ("1.", "no names given"),
        ("A, a, B, FBN1, b", "'FBN1' is number 3 of 3: credit 0.5; 2 duplicates dropped"),
    ],
)
def test_why_says_where_the_reference_stands(output: str, why: str) -> None:
    assert rank(credit=TABLE)(output, GENE).why == why


def test_the_best_placed_of_several_references_counts() -> None:
    grade = rank()("A, B, C, D", {"gene": ["D", "B"]})
    assert grade.score == 0.5
    assert grade.why == "'B' is number 2 of 4, 2 of 2 references found: credit 0.5"
    assert rank()("A, C", {"gene": ["D", "B"]}).why == "none of the 2 references is among the 2 names given"
    assert load({"type": "rank", "reference": ["{{item.gene}}", "Z"]})("Z", GENE).score == 1.0


def test_graded_references_are_scored_by_ndcg() -> None:
    dcg, ideal = 1 + 3 / math.log2(3), 3 + 1 / math.log2(3)
    for grader in (rank(), rank(credit="dcg")):
        assert grader("low, high, zero", {"gene": {"high": 3, "low": 1, "zero": 0}}).score == pytest.approx(dcg / ideal)
    literal = load({"type": "rank", "reference": {"high": 3, "low": 1}})
    assert literal("high, low").score == 1.0


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e308])
def test_ndcg_does_not_change_with_the_scale_of_relevances(scale: float) -> None:
    score = rank()("b, a", {"gene": {"a": scale, "b": scale / 2}}).score
    assert score == pytest.approx(rank()("b, a", {"gene": {"a": 2, "b": 1}}).score)


def test_a_longer_list_is_cut_with_a_note_or_refused() -> None:
    output = "A, B, C, FBN1"
    assert rank(max_length=4)(output, GENE).score == 0.25
    cut = rank(max_length=3)(output, GENE)
    assert (cut.score, cut.why) == (0.0, "'FBN1' is not among the 3 names given; cut from 4 to 3 names")
    refused = rank(max_length=3, longer="refuse")("FBN1, " + output, GENE)
    assert (refused.score, refused.why) == (0.0, "4 names given, at most 3 allowed: refused")
    assert refused.error is not None
    assert refused.error.fault == "candidate"
    assert rank(max_length=3, longer="refuse")("FBN1, A, a, B, b", GENE).score == 1.0  # repeats are not counted


def test_a_perfect_list_of_max_length_scores_one() -> None:
    for credit in ("dcg", {"rule": "rbp", "p": 0.9}):
        assert rank(credit=credit, max_length=2)("A, B", {"gene": ["A", "B", "C", "D"]}).score == 1.0


def test_too_few_names_are_charged_once_and_invented_ones_each() -> None:
    grader = rank(allowed=["FBN1", "A", "B", "C"], invented=0.5, min_length=3, too_few=0.8)
    assert grader("FBN1, A, B", GENE).score == 1.0
    few = grader("A, FBN1, fbn1", GENE)
    assert few.score == pytest.approx(0.5 * 0.8)
    assert few.why == "'FBN1' is number 2 of 2: credit 0.5; 1 duplicate dropped; fewer than 3 names: x0.8; score 0.4"
    invented = grader("X, FBN1, Y", GENE)
    assert invented.score == pytest.approx(0.5 * 0.25)  # X keeps its place
    assert "not an allowed name: 'x, y': x0.5^2; score 0.125" in invented.why


def test_allowed_names_may_come_from_the_item() -> None:
    grader = rank(allowed="{{item.candidates}}", invented=0.5)
    item = {"gene": "FBN1", "candidates": ["FBN1", "A", "B"]}
    assert grader("X, FBN1", item).score == 0.25
    assert grader("X, FBN1", {**item, "candidates": "FBN1, A, B"}).score == 0.25
    broken = grader("X, FBN1", {**item, "candidates": {"FBN1": 1}})
    assert broken.score is None
    assert broken.error is not None
    assert (broken.error.kind, broken.error.fault) == ("other_error", "grader")


# References that cannot be used


@pytest.mark.parametrize(
    ("item", "options", "reason"),
    [
        ({"gene": " "}, {}, "reference ' ': it is blank; give the row its answer, or leave the row out"),
        ({"gene": []}, {}, "reference []: it is empty"),
        ({"gene": ["FBN1", ""]}, {}, "it is blank"),
        ({"gene": {}}, {}, "no name has a relevance above 0"),
        ({"gene": {"FBN1": -1}}, {}, "the relevance of 'FBN1' is -1"),
        ({"gene": {"FBN1": "high"}}, {}, "the relevance of 'FBN1' is 'high'; a number"),
        ({"gene": {"FBN1": math.nan}}, {}, "the relevance of 'FBN1' is nan"),
        ({"gene": {"FBN1": 10**400}}, {}, "it must be finite and at least 0"),
        ({"gene": [None]}, {}, "a name, a list of names, or an object"),
        ({"gene": [["FBN1"]]}, {}, "a name, a list of names, or an object"),
        (GENE, {"allowed": ["TGFBR2", "A"]}, "reference 'FBN1': it is not among the 2 allowed names"),
        ({"gene": {"FBN1": 1}}, {"credit": TABLE}, "credit 'table' has no use for relevances"),
    ],
)
@pytest.mark.parametrize("output", ["FBN1", "", '{"no": "list"}'])
def test_an_unusable_reference_is_undecided_and_not_the_candidates_fault(
    item: dict[str, Any], options: dict[str, Any], reason: str, output: str
) -> None:
    grade = rank(**options)(output, item)
    assert grade.score is None
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("invalid_reference", "grader")
    assert reason in grade.why


def test_a_reference_of_relevance_zero_need_not_be_allowed() -> None:
    assert rank(allowed=["A", "B"])("A", {"gene": {"A": 1, "Z": 0}}).score == 1.0


# Refused when it loads


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"credit": "recipocal"}, "no credit rule 'recipocal'; did you mean 'reciprocal'?"),
        ({"credit": {"k": 5}}, 'key "rule" is missing'),
        ({"credit": "rbp"}, "key 'credit.p' is missing"),
        ({"credit": {"rule": "rbp", "p": 1}}, "less than 1 (given: 1)"),
        ({"credit": {"rule": "rbp", "p": 0}}, "greater than 0 (given: 0)"),
        ({"credit": {"rule": "top_k", "k": 0}}, "greater than or equal to 1 (given: 0)"),
        (
            {"credit": {"rule": "table", "credits": [0.5, 0.7]}},
            "0.7 comes after 0.5: a later place may not earn more",
        ),
        ({"credit": {"rule": "table", "credits": [2, 1]}}, "credit 2 lies outside 0 to 1"),
        ({"credit": {"rule": "table", "credits": [math.nan]}}, "credit nan lies outside 0 to 1"),
        ({"credit": {"rule": "table", "credits": []}}, "at least 1 item"),
        ({"credit": {"rule": "top_k", "k": 1, "p": 0.5}}, "credit: unknown key 'p'; known: k, rule"),
        ({"reference": {"FBN1": 1}, "credit": "reciprocal"}, "credit 'reciprocal' has no use for relevances"),
        ({"reference": {"FBN1": -1}}, "the relevance of 'FBN1' is -1"),
        ({"reference": []}, "[] is no reference; give a template"),
        ({"reference": "{{itm.gene}}"}, "the namespace must be 'item' or 'sample', not 'itm'"),
        ({"read": "yaml"}, "'json', 'lines', 'comma' or 'auto' (given: 'yaml')"),
        ({"path": "genes"}, "path 'genes' leads into JSON, but read is 'auto'; set read to 'json'"),
        ({"read": "json", "path": "a b"}, "'a b' is not a path into JSON; write it as"),
        ({"max_length": 0}, "greater than or equal to 1 (given: 0)"),
        ({"longer": "refuse"}, "longer 'refuse' has no effect without max_length"),
        ({"min_length": 5, "too_few": 0.5, "max_length": 3}, "min_length 5 is above max_length 3"),
        ({"min_length": 5}, "min_length 5 with too_few 1 has no effect; set both"),
        ({"too_few": 0.5}, "min_length 0 with too_few 0.5 has no effect; set both"),
        ({"too_few": 1.5, "min_length": 1}, "less than or equal to 1 (given: 1.5)"),
        ({"invented": 0.5}, "invented 0.5 has no effect without allowed; set allowed"),
        ({"allowed": []}, "allowed is empty"),
        (
            {"allowed": ["a", "A", "b"], "min_length": 2, "too_few": 0.5},
            "min_length 2 asks for all 2 allowed names",
        ),
        ({"aliases": {"a": "b", "b": "c"}}, "alias 'a' leads to 'b', itself an alias; write the last name"),
        ({"aliases": {"a": "b", "A": "c"}}, "alias 'A' stands for two names"),
        ({"aliases": {" ": "b"}}, "alias ' ' of 'b': a name is blank"),
        ({"referense": "x"}, "unknown key 'referense'; did you mean 'reference'?"),
    ],
)
def test_nonsense_is_refused_with_value_reason_and_remedy(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"^grader 'rank': ") as caught:
        rank(**options)
    assert message in str(caught.value)


# Hostile outputs

CANDIDATES = [f"GENE{number}" for number in range(49)] + ["FBN1"]


@pytest.mark.parametrize(
    "output",
    [
        "",
        " \n ",
        "1.",
        "Rank these genes by how likely they cause the disease: " + ", ".join(CANDIDATES),
        "x" * 1_000_000,
        "- " * 500_000,
        "*" * 1_000_000,
        "`" * 1_000_000,
        " " * 1_000_000,
        "9" * 1_000_000,
        "\n" * 1_000_000,
        "[" * 1_000_000,
        "\ud800, \udfff",
        "[NaN, Infinity]",
        '["' + "\\ud800" + '"]',
        "\u202e1NBF",
        "\x00, \x00",
        "{{item.gene}}",  # what was put into a template is never rendered again
    ],
)
def test_hostile_outputs_earn_little_soon_and_are_recordable(output: str) -> None:
    for read in ("auto", "json", "lines", "comma"):
        grade = rank(read=read, allowed=CANDIDATES)(output, GENE)
        assert decided(grade) <= 1 / 50
        assert json.loads(json.dumps(grade.to_wire()))["status"] == "scored"


RULES: list[Any] = ["reciprocal", "dcg", TABLE, {"rule": "rbp", "p": 0.8}, {"rule": "top_k", "k": 3}]
names = st.lists(st.sampled_from("ABCDEFGHIJ"), min_size=1, max_size=10, unique=True)


@given(names, st.data(), st.sampled_from([*RULES, "graded"]), st.booleans())
def test_listing_every_allowed_name_earns_no_more_than_the_best_answer_alone(
    allowed: list[str], data: st.DataObject, credit: Any, short_lists_cost: bool
) -> None:
    references: Any = data.draw(st.lists(st.sampled_from(allowed), min_size=1, unique=True))
    if credit == "graded":
        credit, references = "dcg", {name: data.draw(st.integers(1, 5)) for name in references}
    penalty = {"min_length": 3, "too_few": 0.5} if short_lists_cost else {}
    grader = rank(credit=credit, allowed="{{item.allowed}}", invented=0.5, **penalty)
    item = {"gene": references, "allowed": allowed}
    dump = data.draw(st.permutations([*allowed, *data.draw(st.lists(st.sampled_from("XYZ"), unique=True))]))
    best = max(references, key=references.__getitem__) if isinstance(references, dict) else references[0]
    honest = decided(grader(json.dumps([best]), item))
    assert decided(grader(json.dumps(dump), item)) <= honest


@given(names, st.data(), st.sampled_from(RULES))
def test_without_allowed_names_no_list_earns_more_than_the_answer_alone(
    listed: list[str], data: st.DataObject, credit: Any
) -> None:
    item = {"gene": data.draw(st.sampled_from(listed))}
    grader = rank(credit=credit)
    assert decided(grader(json.dumps(listed), item)) <= decided(grader(item["gene"], item)) == 1.0


@given(names, st.data(), st.sampled_from(RULES))
def test_scores_lie_between_zero_and_one_and_moving_an_answer_up_never_costs(
    listed: list[str], data: st.DataObject, credit: Any
) -> None:
    references = data.draw(st.lists(st.sampled_from("ABCDEFGHIJKL"), min_size=1, unique=True))
    grader = rank(credit=credit, max_length=data.draw(st.integers(1, 10)))
    before = decided(grader(json.dumps(listed), {"gene": references}))
    assert 0 <= before <= 1
    for place in range(1, len(listed)):
        if listed[place] in references and listed[place - 1] not in references:
            better = [*listed]
            better[place - 1 : place + 1] = listed[place], listed[place - 1]
            assert decided(grader(json.dumps(better), {"gene": references})) >= before - 1e-12


@given(st.text(max_size=60))
def test_any_text_is_decided(output: str) -> None:
    for read in ("auto", "json", "lines", "comma"):
        assert 0 <= decided(rank(read=read)(output, GENE)) <= 1


def test_scores_agree_with_ir_measures_on_random_rankings() -> None:
    """Reciprocal rank, success at k and NDCG with binary and graded relevance, as trec_eval computes them."""
    ir_measures = pytest.importorskip("ir_measures")
    rng = random.Random(0)
    pool = [f"D{number}" for number in range(30)]
    cases = [(rng.sample(pool, rng.randint(1, 20)), rng.sample(pool, rng.randint(1, 6))) for _ in range(300)]
    relevances = [{name: rng.randint(1, 4) for name in references} for _, references in cases]
    measures = {
        ir_measures.RR: "reciprocal",
        ir_measures.nDCG: "dcg",
        ir_measures.nDCG @ 5: {"credit": "dcg", "max_length": 5},
        ir_measures.Success @ 3: {"rule": "top_k", "k": 3},
    }
    run = {
        str(query): {name: float(-place) for place, name in enumerate(listed)}
        for query, (listed, _) in enumerate(cases)
    }
    for measure, credit in measures.items():
        options = credit if isinstance(credit, dict) and "credit" in credit else {"credit": credit}
        grader = rank(**options)
        graded_too = [False, True] if options["credit"] == "dcg" else [False]
        for graded in graded_too:
            qrels = {
                str(query): relevances[query] if graded else dict.fromkeys(references, 1)
                for query, (_, references) in enumerate(cases)
            }
            expected = {row.query_id: row.value for row in ir_measures.iter_calc([measure], qrels, run)}
            for query, (listed, references) in enumerate(cases):
                score = grader(json.dumps(listed), {"gene": relevances[query] if graded else references}).score
                assert score == pytest.approx(expected[str(query)], abs=1e-9), (
                    measure,
                    graded,
                    listed,
                    references,
                )


def test_rbp_over_that_of_the_ideal_list_agrees_with_ir_measures_on_random_rankings() -> None:
    ir_measures = pytest.importorskip("ir_measures")
    pytest.importorskip("cwl", reason="ir-measures computes RBP through cwl-eval: pip install 'assay[dev]'")
    rng = random.Random(1)
    pool = [f"D{number}" for number in range(30)]
    for p in (0.2, 0.5, 0.8, 0.95):
        cases = [(rng.sample(pool, rng.randint(1, 20)), rng.sample(pool, rng.randint(1, 6))) for _ in range(75)]
        qrels = {str(query): dict.fromkeys(references, 1) for query, (_, references) in enumerate(cases)}
        run = {
            str(query): {name: float(-place) for place, name in enumerate(listed)}
            for query, (listed, _) in enumerate(cases)
        }
        measure = ir_measures.RBP(p=p, rel=1)
        found = {row.query_id: row.value for row in ir_measures.iter_calc([measure], qrels, run)}
        for query, (listed, references) in enumerate(cases):
            ideal = 1 - p ** len(references)  # all references first: (1 - p) times a geometric sum
            score = rank(credit={"rule": "rbp", "p": p})(json.dumps(listed), {"gene": references}).score
            assert score == pytest.approx(found[str(query)] / ideal, abs=1e-9), (p, listed, references)


def test_a_definition_survives_being_written_and_read() -> None:
    grader = rank(
        credit={"rule": "rbp", "p": 0.8},
        aliases={"MFS1": "FBN1"},
        allowed=["FBN1", "A", "B"],
        invented=0.5,
        max_length=2,
    )
    grader("FBN1", GENE)
    again = load(json.loads(json.dumps(grader.to_wire())))
    assert again == grader
    assert again.identity == grader.identity
    assert again(Sample("A, mfs1"), GENE).score == grader(Sample("A, mfs1"), GENE).score
