from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from graders import Grader, grader_class, known_types, load
from graders.registry import BUILT_IN

EXACT: dict[str, Any] = {
    "type": "string_check",
    "input": "{{sample.output_text}}",
    "reference": "FBN1",
    "operation": "eq",
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_name_leads_to_a_grader_of_that_type(name: str) -> None:
    cls = grader_class(name)
    assert issubclass(cls, Grader)
    assert cls.model_fields["type"].default == name
    assert name in known_types()


@pytest.mark.parametrize("suffix", ["", "\n"])
def test_a_grader_loads_from_wire_data_from_a_file_and_from_itself(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / "exact.json"
    file.write_text(json.dumps(EXACT) + suffix)
    assert load(file) == load(str(file)) == load(EXACT) == load(load(EXACT))


def test_json_is_read_as_utf_8(tmp_path: Path) -> None:
    file = tmp_path / "exact.json"
    file.write_bytes(json.dumps({**EXACT, "reference": "ü"}, ensure_ascii=False).encode())
    assert load(file)("ü").score == 1.0


@pytest.mark.parametrize(
    ("definition", "error", "message"),
    [
        (
            {**EXACT, "type": "string_chek"},
            LookupError,
            "no grader type 'string_chek'; did you mean 'string_check'?",
        ),
        (
            {**EXACT, "type": "zzz"},
            LookupError,
            "no grader type 'zzz'; known: cascade, choice, classification, clip, code, endpoint, ",
        ),
        ({"operation": "eq"}, ValueError, "a grader needs a 'type'; known: "),
        ({**EXACT, "type": 5}, ValueError, "a grader needs a 'type'"),
        (
            {**EXACT, "inputt": "x"},
            ValueError,
            "grader 'string_check': unknown key 'inputt'; did you mean 'input'?",
        ),
        ({**EXACT, "name": "mine", "x": 1}, ValueError, "grader 'mine': unknown key 'x'; known: extract, input, name"),
        (
            {"type": "string_check", "input": "a"},
            ValueError,
            "key 'reference' is missing; key 'operation' is missing",
        ),
        ({**EXACT, "input": 5}, ValueError, "input: Input should be a valid string (given: 5)"),
        ({**EXACT, "operation": "x" * 500}, ValueError, "...)"),  # a long value is cut
        ({**EXACT, "operation": "ilikes"}, ValueError, "did you mean 'ilike'? (given: 'ilikes')"),
        ({**EXACT, "type": "string-check-grader"}, LookupError, "did you mean 'string_check'?"),
        ({**EXACT, "type": "multi-grader"}, LookupError, "did you mean 'multi'?"),
        ({**EXACT, "id": 5}, ValueError, "unknown key 'id'"),
        ({"type": "rank", "reference": "x", "id": "rank-1"}, ValueError, "unknown key 'id'"),
        (
            {"type": "score_model", "model": "m", "input": [{"role": "user", "content": "x"}], "score_range": [0, 1]},
            ValueError,
            "unknown key 'score_range'; did you mean 'range'?",
        ),
        ({"type": "function"}, ValueError, "key 'source' is missing"),
        ({"type": "function", "source": "nowhere.py:f"}, FileNotFoundError, "no file 'nowhere.py'"),
        ({"type": "nowhere.py:Mine"}, FileNotFoundError, "no file 'nowhere.py'"),
    ],
)
def test_a_bad_definition_is_refused_with_value_reason_and_remedy(
    definition: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        load(definition)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("{", ValueError, "not JSON: "),
        ("", ValueError, "not JSON: "),
        ("[" * 100_000, ValueError, "not JSON: "),
        ("[]", ValueError, "a grader is a JSON object with a 'type', not list"),
        ('{"type": "string_chek"}', LookupError, "no grader type 'string_chek'"),
        (json.dumps({**EXACT, "inputt": 1}), ValueError, "unknown key 'inputt'"),
    ],
)
def test_a_bad_file_is_named_in_the_message(tmp_path: Path, text: str, error: type[Exception], message: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(error) as caught:
        load(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert message in str(caught.value)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not JSON"):
        load(file)


def test_a_missing_file_or_name_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no grader file 'nowhere.json'; give a .json file or"):
        load("nowhere.json")
    file = tmp_path / "mine.py"
    file.write_text("def score(sample, item):\n    return 1.0\nfive = 5\n")
    with pytest.raises(LookupError, match="has no 'scoer'; did you mean 'score'"):
        load(f"{file}:scoer")
    with pytest.raises(ValueError, match="is 5, which is neither a Grader nor a function"):
        load(f"{file}:five")
    with pytest.raises(ValueError, match="is 5, which is neither a Grader nor a function"):
        load({"type": "function", "source": f"{file}:five"})
    with pytest.raises(ValueError, match=r"names 5, which is not a Grader class$"):
        load({"type": f"{file}:five"})
    with pytest.raises(ValueError, match=r'not a Grader class; of a function write \{"type": "function", "source": '):
        load({"type": f"{file}:score"})
    with pytest.raises(ValueError, match=r"may hold several graders; name one of them: .*mine.py:name"):
        load(file)


def test_a_file_that_fails_to_run_can_be_corrected_and_loaded_again(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("1/0\n")
    with pytest.raises(ValueError, match=r"mine.py:1: ZeroDivisionError: division by zero"):
        load(f"{file}:score")
    file.write_text("def score(sample, item):\n    return 1.0\n")
    assert load(f"{file}:score")("x").score == 1.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n\ndef f(:\n", ":3: SyntaxError: "),
        ("\nimport no_such_module_anywhere\n", ":2: ModuleNotFoundError: No module named 'no_such_module_anywhere'; "),
        ("from graders import Graderr\n", ":1: ImportError: cannot import name 'Graderr'"),
        ("import json\n\n\ndef f():\n    json.loads('{')\n\nf()\n", ":5: JSONDecodeError: "),
        ("raise SystemExit('bye')\n", ":1: SystemExit: bye"),
        ("x = 1\x00\n", "null byte"),
    ],
)
@pytest.mark.parametrize("form", ["path", "type", "function"])
def test_what_stops_a_users_file_from_loading_is_a_value_error_with_its_place(
    tmp_path: Path, text: str, message: str, form: str
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    source: Any = f"{file}:f"
    if form != "path":
        source = {"type": source} if form == "type" else {"type": "function", "source": source}
    with pytest.raises(ValueError, match=r"mine\.py") as caught:
        load(source)
    assert type(caught.value) is ValueError
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_id_that_the_service_adds_to_a_criterion_is_dropped() -> None:
    assert load({**EXACT, "id": "exact-63a7"}) == load(EXACT)
    assert load({**EXACT, "id": "exact-63a7"}).identity == load(EXACT).identity


@pytest.mark.parametrize(
    ("holder", "what"),
    [
        ({"testing_criteria": [EXACT]}, "an OpenAI eval"),
        ({"method": {"type": "reinforcement", "reinforcement": {"grader": EXACT}}}, "an OpenAI fine-tuning job"),
    ],
)
def test_a_file_that_holds_graders_is_no_grader_and_says_what_to_do(
    tmp_path: Path, holder: dict[str, Any], what: str
) -> None:
    file = tmp_path / "x.json"
    file.write_text(json.dumps(holder))
    with pytest.raises(ValueError, match="assay convert") as caught:
        load(file)
    assert str(caught.value) == f"{file}: this is {what}, which holds graders; take them out with: assay convert {file}"
