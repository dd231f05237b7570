"""Graders are taken out of OpenAI's jobs and evals, and what stays behind is listed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from graders import load
from graders.convert import convert
from graders.convert.converted import Converted, Remark, file_stem
from graders.convert.openai_wire import from_eval, from_job
from rft_loop.cli import app

STRING: dict[str, Any] = {
    "type": "string_check",
    "name": "exact",
    "input": "{{sample.output_text}}",
    "reference": "{{item.gene}}",
    "operation": "eq",
}
SIMILAR: dict[str, Any] = {
    "type": "text_similarity",
    "name": "close",
    "input": "{{sample.output_text}}",
    "reference": "{{item.gene}}",
    "evaluation_metric": "fuzzy_match",
    "pass_threshold": 0.8,
}
MULTI: dict[str, Any] = {
    "type": "multi",
    "graders": {"exact": STRING, "close": SIMILAR},
    "calculate_output": "0.5*exact + 0.5*close",
}
JOB: dict[str, Any] = {
    "model": "o4-mini-2025-04-16",
    "training_file": "file-1",
    "validation_file": "file-2",
    "suffix": None,
    "method": {
        "type": "reinforcement",
        "reinforcement": {
            "grader": MULTI,
            "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}},
            "hyperparameters": {"reasoning_effort": "medium"},
        },
    },
}
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"gene": {"type": "string"}}, "required": ["gene"]}
EVAL: dict[str, Any] = {
    "name": "genes",
    "data_source_config": {"type": "custom", "item_schema": SCHEMA, "include_sample_schema": True},
    "testing_criteria": [STRING, SIMILAR],
}


def places(remarks: list[Remark]) -> list[str]:
    return [remark.place for remark in remarks]


def test_a_job_gives_its_grader_and_lists_what_stays_behind() -> None:
    converted = from_job(JOB)
    assert list(converted.graders) == ["multi"]
    assert converted.graders["multi"] == load(MULTI)
    assert sorted(places(converted.not_carried)) == [
        "method.reinforcement.hyperparameters",
        "method.reinforcement.response_format",
        "model",
        "training_file",
        "validation_file",
    ]


def test_the_job_the_service_returns_gives_the_same_grader() -> None:
    returned = {
        "object": "fine_tuning.job",
        "id": "ftjob-1",
        "created_at": 1,
        "status": "succeeded",
        "organization_id": "org-1",
        "result_files": [],
        "trained_tokens": None,
        "fine_tuned_model": "ft:1",
        **JOB,
    }
    assert from_job(returned).graders == from_job(JOB).graders
    assert places(from_job(returned).not_carried) == places(from_job(JOB).not_carried)


@pytest.mark.parametrize(
    "request_body", [{"grader": STRING}, {"grader": STRING, "model_sample": "x", "item": {"gene": "x"}}]
)
def test_a_request_to_run_or_validate_a_grader_gives_it_too(request_body: dict[str, Any]) -> None:
    converted = from_job(request_body)
    assert converted.graders == {"exact": load(STRING)}
    assert converted.not_carried == []


def test_a_key_no_job_has_is_listed_too() -> None:
    converted = from_job({**JOB, "test_file": "file-3"})
    assert Remark("test_file", "'file-3'", "no such key of a fine-tuning job is known") in [
        Remark(r.place, f"'{r.what}'", r.why) for r in converted.not_carried
    ]


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ({"method": {"type": "supervised", "supervised": {}}}, "only reinforcement fine-tuning has a grader"),
        (
            {"method": {"type": "reinforcement", "reinforcement": {}}},
            "method.reinforcement.grader: a grader is an object",
        ),
        ({"grader": {**STRING, "operation": "lik"}}, "grader: grader 'exact': operation: "),
        ({"grader": {**STRING, "type": "string_chek"}}, "did you mean 'string_check'?"),
    ],
)
def test_a_job_without_a_usable_grader_is_refused(job: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"grader") as caught:
        from_job(job)
    assert message in str(caught.value)


def test_an_eval_gives_a_grader_for_each_criterion_and_one_for_its_pass_rule() -> None:
    converted = from_eval(EVAL)
    assert list(converted.graders) == ["exact", "close", "passes"]
    assert converted.schema == SCHEMA
    assert converted.not_carried == []
    item = {"gene": "fibrillin 1"}
    scores = {
        output: converted.graders["passes"](output, item).score for output in ("fibrillin 1", "fibrillin one", "x")
    }
    assert scores == {"fibrillin 1": 1.0, "fibrillin one": 0.0, "x": 0.0}


def test_a_threshold_alone_is_the_pass_rule() -> None:
    converted = from_eval({**EVAL, "testing_criteria": [SIMILAR]})
    assert list(converted.graders) == ["close", "passes"]
    assert converted.graders["passes"]("fibrillin one", {"gene": "fibrillin 1"}).score == 1.0
    assert converted.graders["passes"]("x", {"gene": "fibrillin 1"}).score == 0.0


def test_a_string_check_alone_is_its_own_pass_rule() -> None:
    assert list(from_eval({**EVAL, "testing_criteria": [STRING]}).graders) == ["exact"]


def test_a_criterion_without_a_threshold_leaves_the_pass_rule_open_and_says_so() -> None:
    judge = {"type": "score_model", "name": "judge", "model": "m", "input": [{"role": "user", "content": "x"}]}
    converted = from_eval({**EVAL, "testing_criteria": [STRING, judge]})
    assert list(converted.graders) == ["exact", "judge"]
    assert "OpenAI does not publish the default" in str(converted.not_carried[0])


def test_the_eval_the_service_returns_gives_the_same_graders_and_schema() -> None:
    returned = {
        "object": "eval",
        "id": "eval_1",
        "created_at": 1,
        "name": "genes",
        "metadata": {},
        "data_source_config": {
            "type": "custom",
            "schema": {"type": "object", "properties": {"item": SCHEMA, "sample": {}}, "required": ["item"]},
        },
        "testing_criteria": [{**STRING, "id": "exact-1"}, {**SIMILAR, "id": "close-2"}],
    }
    assert from_eval(returned).graders == from_eval(EVAL).graders
    assert from_eval(returned).schema == SCHEMA


def test_two_criteria_of_one_name_keep_their_own_files() -> None:
    converted = from_eval({**EVAL, "testing_criteria": [STRING, {**STRING, "operation": "like"}]})
    assert list(converted.graders) == ["exact", "exact-2", "passes"]


def test_a_variable_that_the_schema_does_not_name_is_reported() -> None:
    converted = from_eval({**EVAL, "testing_criteria": [{**STRING, "reference": "{{item.gen}}"}]})
    assert str(converted.differs[0]) == (
        "testing_criteria.0.reference: {{ item.gen }}: the schema of item has no 'gen'; "
        "did you mean 'gene'? known: gene"
    )


@pytest.mark.parametrize("kind", ["logs", "stored_completions"])
def test_rows_that_the_service_chose_are_listed(kind: str) -> None:
    config = {"type": kind, "metadata": {"usecase": "chatbot"}}
    converted = from_eval({**EVAL, "data_source_config": config})
    assert places(converted.not_carried) == ["data_source_config.type", "data_source_config.metadata"]
    assert converted.schema is None


def test_requests_made_of_the_clients_types_are_read() -> None:
    types = pytest.importorskip("openai.types.fine_tuning")
    graders = pytest.importorskip("openai.types.graders")
    method = types.ReinforcementMethod(grader=graders.StringCheckGrader(**STRING))
    assert from_job({"method": {"type": "reinforcement", "reinforcement": method.model_dump()}}).graders == {
        "exact": load(STRING)
    }


@pytest.mark.parametrize("dump", ["model_dump", "to_dict"])
def test_an_eval_that_the_client_parsed_is_read(dump: str) -> None:
    types = pytest.importorskip("openai.types")
    wrapped = {"type": "object", "properties": {"item": SCHEMA}, "required": ["item"]}
    parsed = types.EvalCreateResponse.model_validate(
        {
            "object": "eval",
            "id": "eval_1",
            "created_at": 1,
            "name": "genes",
            "metadata": None,
            "data_source_config": {"type": "custom", "schema": wrapped},
            "testing_criteria": [STRING, SIMILAR],
        }
    )
    converted = from_eval(getattr(parsed, dump)())
    assert converted.graders == from_eval(EVAL).graders
    assert converted.schema == SCHEMA


# The command


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["convert", *map(str, arguments)])


def test_the_command_writes_graders_that_load_and_lists_what_is_not_carried(tmp_path: Path) -> None:
    source = tmp_path / "eval.json"
    source.write_text(json.dumps({**EVAL, "metadata": {"team": "a"}}))
    done = run(source, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["close.json", "exact.json", "item-schema.json", "not-carried.json", "passes.json"]
    assert load(tmp_path / "out" / "exact.json") == load(STRING)
    assert json.loads((tmp_path / "out" / "item-schema.json").read_text()) == SCHEMA
    remarks = json.loads((tmp_path / "out" / "not-carried.json").read_text())
    assert [remark["place"] for remark in remarks["not_carried"]] == ["metadata"]
    assert "not carried: metadata: {'team': 'a'}: a grader file has no place for notes" in done.output
    assert "3 graders; 1 thing not carried" in done.output


def test_a_file_that_is_there_already_is_never_written_over(tmp_path: Path) -> None:
    source = tmp_path / "job.json"
    source.write_text(json.dumps(JOB))
    assert run(source, "-o", tmp_path / "out").exit_code == 0
    again = run(source, "-o", tmp_path / "out")
    assert "is there already; name another folder with --out" in str(again.exception)


def test_a_folder_that_would_hide_our_package_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "job.json"
    source.write_text(json.dumps(JOB))
    assert "choose another name for --out" in str(run(source, "-o", tmp_path / "graders").exception)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.json", "{", "x.json: "),
        ("x.json", "[]", "x.json: neither an OpenAI fine-tuning job (method)"),
        ("x.json", "{}", "neither an OpenAI fine-tuning job"),
        ("x.json", json.dumps(STRING), "this is a grader already (type 'string_check'); use it as it is"),
        ("x.json", '{"testing_criteria": []}', "testing_criteria: a list of graders is expected, not []"),
        ("x.json", '{"testing_criterias": []}', "did you mean 'testing_criteria'?"),
        ("x.json", '{"method": 1, "method": 2}', "the key 'method' stands twice"),
        ("x.yaml", "a: [", "not YAML: "),
        ("x.yaml", "a: &a [*a]", "YAML that holds more than JSON can: Circular reference detected"),
        ("x.yaml", "a: !!set {b}", "YAML that holds more than JSON can"),
        ("x.yaml", "a: .nan", "YAML that holds more than JSON can"),
        ("x.yaml", "a: !!python/object/apply:os.getcwd []", "not YAML: "),
    ],
)
def test_a_file_that_is_none_of_these_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    source = tmp_path / name
    source.write_text(text)
    with pytest.raises(ValueError, match=r"x\.") as caught:
        convert(source)
    assert message in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file .*nowhere.json"):
        convert(tmp_path / "nowhere.json")


@pytest.mark.parametrize("holder", [EVAL, JOB])
def test_loading_such_a_file_as_a_grader_says_what_to_do(tmp_path: Path, holder: dict[str, Any]) -> None:
    source = tmp_path / "x.json"
    source.write_text(json.dumps(holder))
    with pytest.raises(ValueError, match=r"which holds graders; take them out with: assay convert .*x\.json"):
        load(source)


@pytest.mark.parametrize(
    ("name", "stem"), [("exact", "exact"), ("a b/c", "a-b-c"), ("../../etc", "etc"), ("", "grader"), ("é…", "é")]
)
def test_a_name_becomes_that_of_a_file(name: str, stem: str) -> None:
    assert file_stem(name) == stem
    converted = Converted("x")
    assert converted.add(name, load(STRING)) == stem
