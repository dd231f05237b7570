"""Graders, rows and grades are taken out of OpenAI's jobs, evals and runs, and what stays behind is listed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from graders import load
from graders.convert import convert
from graders.convert.converted import Converted, Remark, file_stem
from graders.convert.openai_wire import from_eval, from_job
from graders.convert.output_items import from_output_items
from graders.grade import Grade
from graders.offline.compare import compare_grades
from graders.offline.read import read_grading_rows
from graders.sample import SAMPLE_FIELDS
from graders.score import grade_file_with_all
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
    ("request_body", "what", "rows"),
    [
        ({"grader": STRING}, "a request to validate a grader of OpenAI's", {}),
        (
            {"grader": STRING, "model_sample": "x", "item": {"gene": "x"}},
            "a request to run a grader of OpenAI's",
            {"rows": [{"item": {"gene": "x"}, "sample": {"output_text": "x"}}]},
        ),
        (
            {"grader": STRING, "model_sample": "x"},
            "a request to run a grader of OpenAI's",
            {"rows": [{"item": {}, "sample": {"output_text": "x"}}]},
        ),
    ],
)
def test_a_request_to_run_or_validate_a_grader_gives_it_and_its_row(
    request_body: dict[str, Any], what: str, rows: dict[str, Any]
) -> None:
    converted = from_job(request_body)
    assert converted.source == what
    assert converted.graders == {"exact": load(STRING)}
    assert converted.rows == rows
    assert converted.not_carried == []


@pytest.mark.parametrize(
    ("more", "lost"),
    [
        ({"item": {"gene": "x"}}, {"item": "a row needs an output beside it, a text in `model_sample`"}),
        ({"model_sample": ["x"]}, {"model_sample": "the output of a row is a text"}),
        ({"model_sample": "x", "item": "y"}, {"item": "an item is an object; the row has an empty one"}),
        ({"model_sample": "x", "trace": 1}, {"trace": "no such key of a request to run a grader of OpenAI's is known"}),
    ],
)
def test_what_a_request_to_run_a_grader_holds_and_no_row_can_is_listed(more: Any, lost: dict[str, str]) -> None:
    assert {remark.place: remark.why for remark in from_job({"grader": STRING, **more}).not_carried} == lost


def test_the_row_of_a_request_to_run_a_grader_can_be_graded(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"grader": STRING, "model_sample": "x", "item": {"gene": "x"}}))
    done = CliRunner().invoke(app, ["convert", str(tmp_path / "run.json"), "-o", str(tmp_path / "out")])
    assert "run.json is a request to run a grader of OpenAI's" in done.stdout
    done = CliRunner().invoke(
        app,
        [
            *("grade", str(tmp_path / "out" / "exact.json"), str(tmp_path / "out" / "rows.jsonl")),
            *("-o", str(tmp_path / "grades.jsonl")),
        ],
    )
    assert done.exit_code == 0, done.output


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


# The output items of a run

UUIDS = ("-a2486074-d803-4445-b431-ad2262e85d47", "-0E2F5C1B-9d55-4b37-8b61-5a8f5d1c7e90")


def result(score: Any = 1.0, name: str = "exact", **more: Any) -> dict[str, Any]:
    return {"name": f"{name}{UUIDS[0]}", "type": "string-check-grader", "score": score, "passed": score == 1, **more}


def output_item(number: int = 1, text: Any = "FBN1", **more: Any) -> dict[str, Any]:
    """As `to_dict` of the client has it, less the keys that nothing here reads."""
    return {
        "id": f"outputitem_{number}",
        "object": "eval.run.output_item",
        "created_at": 1,
        "eval_id": "eval_1",
        "run_id": "evalrun_1",
        "datasource_item_id": number,
        "datasource_item": {"gene": "FBN1"},
        "results": [result()],
        "sample": {"output": [{"role": "assistant", "content": text}], "error": None},
        "status": "pass",
    } | more


def messages(*output: dict[str, Any]) -> dict[str, Any]:
    return {"output": list(output), "error": None}


PAGE = {"object": "list", "data": [output_item(1), output_item(2)], "has_more": False}
LAST = {"object": "list", "data": [output_item(3)], "has_more": False}


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("x.json", json.dumps(PAGE), 2),
        ("x.json", json.dumps([output_item(1), output_item(2)]), 2),
        ("x.json", json.dumps([PAGE, LAST]), 3),
        ("x.json", json.dumps(output_item(1)), 1),
        ("x.json", f"{json.dumps(output_item(1))}\n{json.dumps(output_item(2))}\n", 2),
        ("x.jsonl", f"{json.dumps(output_item(1))}\n\n{json.dumps(output_item(2))}", 2),
        ("x.jsonl", f"{json.dumps({**PAGE, 'has_more': True})}\n{json.dumps(LAST)}\n", 3),
        ("x.jsonl", "\ufeff" + json.dumps(output_item(1)), 1),
    ],
)
def test_output_items_are_read_in_every_form_they_are_saved_in(
    tmp_path: Path, name: str, text: str, found: int
) -> None:
    source = tmp_path / name
    source.write_text(text, encoding="utf-8")
    converted = convert(source)
    assert list(converted.rows) == ["rows", "openai-exact", "openai-passes"]
    assert [row["id"] for row in converted.rows["rows"]] == [f"outputitem_{n}" for n in range(1, found + 1)]
    assert converted.rows["rows"][0] == {
        "id": "outputitem_1",
        "item": {"gene": "FBN1"},
        "sample": {"output_text": "FBN1"},
    }
    assert converted.not_carried == converted.differs == []


def test_a_list_that_goes_on_is_not_taken_for_the_whole_run() -> None:
    assert places(from_output_items({**PAGE, "has_more": True}).not_carried) == ["has_more"]


@pytest.mark.parametrize("dump", ["model_dump", "to_dict"])
def test_output_items_that_the_client_parsed_are_read(dump: str) -> None:
    types = pytest.importorskip("openai.types.evals.runs")
    whole = output_item()
    whole["sample"] |= {"input": [{"role": "user", "content": "?"}], "seed": None, "usage": {"total_tokens": 1}}
    whole["results"] = [result(sample={"steps": []}, threshold=1)]
    parsed = types.OutputItemListResponse.construct(**whole)
    dumped = parsed.model_dump(warnings=False) if dump == "model_dump" else parsed.to_dict(warnings=False)
    converted = from_output_items([json.loads(json.dumps(dumped))])
    assert converted.rows["rows"][0]["sample"] == {"output_text": "FBN1"}
    assert converted.rows["openai-exact"][0]["why"] == "OpenAI scored 1, passed"
    assert [(remark.place, remark.what) for remark in converted.not_carried] == [
        ("sample", "input, usage"),
        ("results", "sample, threshold"),
    ]


SAMPLE = {"output_text": "stored", "output_json": None, "choices": [{"message": {"content": "stored"}}]}
CALL = {"id": "c", "type": "function", "function": {"name": "find", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (messages({"role": "assistant", "content": "a"}), {"output_text": "a"}),
        (messages({"role": None, "content": "a"}), {"output_text": "a"}),
        (messages({"role": "assistant", "content": ""}), {"output_text": ""}),
        (messages({"role": "assistant", "content": None}), {"output_text": ""}),
        (messages({"content": [{"type": "output_text", "text": "a"}, {"text": "b"}, "c"]}), {"output_text": "abc"}),
        (messages({"content": {"type": "text", "text": "a"}}), {"output_text": "a"}),
        (messages({"content": None, "refusal": "No."}), {"output_text": "No."}),
        (messages({"content": [{"type": "refusal", "refusal": "No."}]}), {"output_text": "No."}),
        (messages({"content": "first"}, {"content": "last"}, {"content": None}), {"output_text": "last"}),
        (messages({"content": None, "tool_calls": [CALL]}), {"output_tools": [CALL], "output_text": ""}),
        (
            messages({"type": "function_call", "call_id": "c", "name": "find", "arguments": "{}", "id": "fc"}),
            {"output_tools": [CALL], "output_text": ""},
        ),
        ({"output": "a"}, {"output_text": "a"}),
        ({"output_text": "a", "output": [{"content": "b"}]}, {"output_text": "a"}),
        (
            {"choices": [{"message": {"content": "a", "tool_calls": [CALL]}}], "output_tools": [CALL]},
            {
                "output_text": "a",
                "output_tools": [CALL],
                "choices": [{"message": {"content": "a", "tool_calls": [CALL]}}],
            },
        ),
    ],
)
def test_the_output_is_what_the_assistant_said(sample: dict[str, Any], expected: dict[str, Any]) -> None:
    converted = from_output_items([output_item(sample=sample)])
    assert converted.rows["rows"][0]["sample"] == expected
    assert converted.not_carried == []


@pytest.mark.parametrize("sample", [None, {}, messages(), messages({"role": "assistant", "content": ""})])
@pytest.mark.parametrize(
    ("data", "item"),
    [
        ({"item": {"gene": "FBN1"}, "sample": SAMPLE}, {"gene": "FBN1"}),
        ({"gene": "FBN1", "sample": SAMPLE}, {"gene": "FBN1"}),
    ],
)
def test_a_sample_stored_with_the_item_is_the_output_where_none_was_sampled(
    data: dict[str, Any], item: dict[str, Any], sample: Any
) -> None:
    row = from_output_items([output_item(datasource_item=data, sample=sample)]).rows["rows"][0]
    assert row["item"] == item
    assert row["sample"] == {key: value for key, value in SAMPLE.items() if value is not None}


def test_what_was_sampled_comes_before_what_was_stored() -> None:
    data = {"item": {"gene": "FBN1"}, "sample": SAMPLE}
    assert from_output_items([output_item(datasource_item=data)]).rows["rows"][0]["sample"] == {"output_text": "FBN1"}


@pytest.mark.parametrize(
    ("data", "item"),
    [
        ({"item": {"gene": "FBN1"}}, {"gene": "FBN1"}),
        ({"item": {"gene": "FBN1"}, "sample": None}, {"gene": "FBN1"}),
        ({"item": {"gene": "x"}, "gene": "FBN1"}, {"item": {"gene": "x"}, "gene": "FBN1"}),
        ({"item": "x"}, {"item": "x"}),
        ({"sample": "blood", "gene": "x"}, {"sample": "blood", "gene": "x"}),
        ({"sample": {"tissue": "blood"}, "gene": "x"}, {"sample": {"tissue": "blood"}, "gene": "x"}),
        ({}, {}),
    ],
)
def test_keys_of_a_row_that_are_called_item_and_sample_stay(data: dict[str, Any], item: dict[str, Any]) -> None:
    assert from_output_items([output_item(datasource_item=data)]).rows["rows"][0]["item"] == item


def test_a_run_that_grades_items_alone_keeps_its_rows_and_says_so() -> None:
    converted = from_output_items([output_item(sample=None), output_item(2)])
    assert [row["sample"]["output_text"] for row in converted.rows["rows"]] == ["", "FBN1"]
    assert [remark.what for remark in converted.differs] == ["none in 1 of 2 output items"]


@pytest.mark.parametrize(
    ("message", "lost"),
    [
        ({"content": None, "audio": {"data": "AAAA"}}, "audio of the output"),
        ({"content": [{"type": "output_image", "image_url": "x"}]}, "a part of type 'output_image' of the output"),
        ({"type": "reasoning", "summary": []}, "reasoning of the output"),
        ({"role": "tool", "content": "x"}, "a message of the role 'tool' of the output"),
        ({"content": 3}, "a part of type 'int' of the output"),
    ],
)
def test_what_a_row_cannot_hold_is_listed_and_alone_leaves_the_row_out(message: dict[str, Any], lost: str) -> None:
    items = [output_item(1, sample=messages(message)), output_item(2, sample=messages({"content": "a"}, message))]
    converted = from_output_items(items)
    assert [(remark.place, remark.what) for remark in converted.not_carried] == [
        ("outputitem_1", lost),
        ("outputitem_1", "its row"),
        ("outputitem_2", lost),
    ]
    assert [row["id"] for row in converted.rows["rows"]] == ["outputitem_2"]
    assert [grade["score"] for grade in converted.rows["openai-exact"]] == [1.0, 1.0]


@pytest.mark.parametrize("text", ["FBN", None])
def test_an_item_whose_sampling_failed_is_undecided_and_keeps_its_row_only_with_an_output(text: str | None) -> None:
    sample = {"output": [{"content": text}], "error": {"code": "rate_limit", "message": "slow down"}}
    converted = from_output_items([output_item(1), output_item(2, sample=sample, results=[result(0.0)], status="fail")])
    for name in ("openai-exact", "openai-passes"):
        grade = converted.rows[name][1]
        assert (grade["score"], grade["status"], grade["error"]["kind"]) == (None, "error", "unresponsive_reward_error")
        assert grade["why"] == "OpenAI's sampling failed: rate_limit: slow down"
    assert len(converted.rows["rows"]) == (2 if text else 1)
    assert [remark.what for remark in converted.not_carried] == ([] if text else ["its row"])


@pytest.mark.parametrize("error", [None, "", {}, {"code": None, "message": None}, {"code": "", "message": ""}])
def test_an_error_without_content_is_none(error: Any) -> None:
    sample = {**messages({"content": "a"}), "error": error}
    assert from_output_items([output_item(sample=sample)]).rows["openai-exact"][0]["score"] == 1.0


@pytest.mark.parametrize(
    ("results", "why"),
    [
        ([], "OpenAI holds no result of this criterion"),
        (None, "OpenAI holds no result of this criterion"),
        ([result(None)], "OpenAI holds no score, but None"),
        ([result(True)], "OpenAI holds no score, but True"),
        ([result("1")], "OpenAI holds no score, but '1'"),
        ([result(0.0, sample={"error": {"code": "500", "message": "judge"}})], "OpenAI's grader failed: 500: judge"),
    ],
)
def test_what_openai_could_not_decide_is_undecided(results: Any, why: str) -> None:
    converted = from_output_items([output_item(1), output_item(2, results=results)])
    grade = converted.rows["openai-exact"][1]
    assert (grade["id"], grade["score"], grade["status"], grade["why"]) == ("outputitem_2", None, "error", why)


def test_a_score_beyond_a_float_is_undecided() -> None:
    assert from_output_items([output_item(results=[result(10**400)])]).rows["openai-exact"][0]["score"] is None


def test_a_reason_that_a_grader_gave_is_told() -> None:
    converted = from_output_items([output_item(results=[result(0.25, reason="half of it")])])
    assert converted.rows["openai-exact"][0]["why"] == "OpenAI scored 0.25, failed: half of it"


def test_each_criterion_has_a_file_under_its_own_name() -> None:
    results = [
        {"name": f"String check{UUIDS[0]}", "score": 1.0, "passed": True},
        {"name": f"String check{UUIDS[1]}", "score": 0.0, "passed": False},
        {"name": "passes", "score": 1, "passed": True},
        {"name": "passes", "score": 2, "passed": True},
    ]
    converted = from_output_items([output_item(results=results)])
    scores = {name: rows[0]["score"] for name, rows in converted.rows.items() if name != "rows"}
    assert scores == {
        "openai-String-check": 1.0,
        "openai-String-check-2": 0.0,
        "openai-passes": 1.0,
        "openai-passes-2": 2.0,
        "openai-passes-3": 1.0,
    }
    assert len(converted.differs) == 2


def test_items_of_another_eval_are_not_counted_as_undecided() -> None:
    other = output_item(2, eval_id="eval_2", results=[result(name="tone")])
    converted = from_output_items([output_item(1), other])
    assert [grade["id"] for grade in converted.rows["openai-exact"]] == ["outputitem_1"]
    assert [grade["id"] for grade in converted.rows["openai-tone"]] == ["outputitem_2"]


def test_an_item_saved_twice_is_carried_once() -> None:
    converted = from_output_items([output_item(1), output_item(1)])
    assert len(converted.rows["rows"]) == len(converted.rows["openai-exact"]) == 1
    assert places(converted.differs) == ["outputitem_1"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"object": "list", "data": []}, "no output item is in it; the output items of a run are client.evals"),
        ({"object": "eval.run", "id": "evalrun_1"}, "not object 'eval.run'; the output items of a run are client"),
        ({"object": "list", "data": [{"object": "eval"}]}, "not object 'eval'; the output items of a run are client"),
        ([output_item(), 3], "item 2: an output item is an object, not 3"),
        ([output_item(), output_item(text="x")], "item 2: the id 'outputitem_1' came before with other content"),
        ([output_item(id=3)], "item 1: 'id' is a text, not 3"),
        ([output_item(sample=[])], "item 1: 'sample' is an object, not []"),
        ([output_item(datasource_item="x")], "item 1: 'datasource_item' is an object, not 'x'"),
        ([output_item(results=[{"score": 1}])], "item 1: a result is an object with the 'name' of its criterion"),
        (
            [{"id": "a", "datasource_item": {}, "result": []}],
            "item 1: key 'results' is missing; did you mean 'result'?",
        ),
        ([output_item(sample={"output_text": 3})], "item 1 (outputitem_1): output_text must be a string"),
        ([{"datasource_itm": {}, "id": "a"}], "did you mean 'datasource_item'?"),
        ([{"item": {}, "sample": {}}], "these are rows that 'assay grade' reads; use them as they are"),
        ([[[[]]]], "neither an OpenAI fine-tuning job"),
    ],
)
def test_what_is_no_output_item_is_refused(tmp_path: Path, source: Any, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(source))
    with pytest.raises(ValueError, match=r"x\.json: ") as caught:
        convert(path)
    assert message in str(caught.value)


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(output_item()) + '\n{"id": NaN}\n')
    with pytest.raises(ValueError, match=r"x\.jsonl:2: not JSON \(NaN is not JSON\)"):
        convert(path)


def test_openais_grades_and_ours_of_the_same_rows_are_compared(tmp_path: Path) -> None:
    source = tmp_path / "items.jsonl"
    items = [output_item(1), output_item(2, "fbn1 \ud800"), output_item(3, "x", results=[result(0.0)], status="fail")]
    source.write_text("\n".join(map(json.dumps, items)))
    done = run(source, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "3 rows; 0 things not carried" in done.output
    rows, ours = tmp_path / "out" / "rows.jsonl", tmp_path / "ours.jsonl"
    grade_file_with_all({"exact": load(STRING)}, rows, ours, single=True)
    found = compare_grades(tmp_path / "out" / "openai-exact.jsonl", ours)
    assert found.warnings == ()
    assert dict(found.flips) == {"pass_pass": 1, "pass_fail": 1, "fail_pass": 0, "fail_fail": 1}
    assert [change.id for change in found.most_changed] == ["outputitem_2"]
    hashed = [json.loads(line)["row"] for line in ours.read_text().splitlines()]
    assert [grade["row"] for grade in from_output_items(items).rows["openai-exact"]] == hashed


def test_the_command_shows_the_first_of_many_remarks(tmp_path: Path) -> None:
    source = tmp_path / "items.json"
    failed = {"output": [], "error": {"code": "x", "message": "y"}}
    source.write_text(json.dumps([output_item(n, sample=failed) for n in range(60)]))
    done = run(source, "-o", tmp_path / "out")
    assert done.output.count("not carried: outputitem_") == 50
    assert "not carried: 10 more, listed in" in done.output
    assert len(json.loads((tmp_path / "out" / "not-carried.json").read_text())["not_carried"]) == 60


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["content", "role", "type", "text", "message", "error", "output", "score", "name", "x"])
            | st.sampled_from(SAMPLE_FIELDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(sample=JSON_VALUES, data=JSON_VALUES, results=JSON_VALUES | st.just([result()]), error=JSON_VALUES)
def test_whatever_an_item_holds_it_is_refused_or_its_row_can_be_graded(
    sample: Any, data: Any, results: Any, error: Any
) -> None:
    inner = {**sample, "error": error} if isinstance(sample, dict) else sample
    stored = {"item": {"gene": "FBN1"}, "sample": data}
    items = [output_item(1, sample=inner, results=results), output_item(2, datasource_item=stored, sample=inner)]
    try:
        converted = from_output_items(items)
    except ValueError:
        return
    rows = converted.rows["rows"]
    assert [row.id for row in read_grading_rows(rows)] == [row["id"] for row in rows]
    left_out = {remark.place for remark in converted.not_carried if remark.what == "its row"}
    assert {row["id"] for row in rows} == {"outputitem_1", "outputitem_2"} - left_out
    for name, grades in converted.rows.items():
        assert name == "rows" or all(Grade.from_wire(grade).status == grade["status"] for grade in grades)
