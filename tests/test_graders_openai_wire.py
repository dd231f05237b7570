"""OpenAI's JSON in every shape that its service, client and guides use loads, and is written in the canonical one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from graders import Grader, grader_class, load

ASK: list[dict[str, Any]] = [{"role": "user", "content": "Rate: {{sample.output_text}}"}]
SOURCE = "def grade(sample, item):\n    return 1.0\n"
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
}
SCORE: dict[str, Any] = {"type": "score_model", "name": "judge", "model": "gpt-4.1-2025-04-14", "input": ASK}
LABEL: dict[str, Any] = {
    "type": "label_model",
    "name": "tone",
    "model": "gpt-4.1-2025-04-14",
    "input": ASK,
    "labels": ["good", "bad"],
    "passing_labels": ["good"],
}
PYTHON: dict[str, Any] = {"type": "python", "name": "code", "source": SOURCE}
ENDPOINT: dict[str, Any] = {"type": "endpoint", "name": "web", "url": "https://grader.example.com/grade"}
MULTI: dict[str, Any] = {
    "type": "multi",
    "name": "both",
    "graders": {"exact": STRING, "tone": LABEL},
    "calculate_output": "(exact + tone) / 2",
}
EVERY = [STRING, SIMILAR, SCORE, LABEL, PYTHON, ENDPOINT, MULTI]


def of_type(definition: Mapping[str, Any]) -> str:
    return str(definition["type"])


@pytest.mark.parametrize("definition", EVERY, ids=of_type)
def test_a_canonical_definition_is_written_back_as_it_was_read(definition: dict[str, Any]) -> None:
    grader = load(definition)
    assert grader.to_openai() == definition
    assert load(json.loads(json.dumps(grader.to_wire()))) == grader
    assert load(grader.to_openai()).identity == grader.identity


IMAGE = {"type": "input_image", "image_url": "{{item.url}}"}
AUDIO = {"type": "input_audio", "input_audio": {"data": "{{item.clip}}", "format": "wav"}}


@pytest.mark.parametrize(
    ("definition", "given", "canonical"),
    [
        # the guide's prose and its schema
        (STRING, {"operation": "neq"}, {"operation": "ne"}),
        (STRING, {"operation": "ilike"}, {"operation": "ilike"}),
        # names: left out in the guides, in their place stands the type
        (STRING, {"name": None}, {"name": "string_check"}),
        (PYTHON, {"name": None}, {"name": "python"}),
        # what the service adds to criteria that it returns
        (STRING, {"id": "exact-63a7a4d1"}, {}),
        (LABEL, {"id": "tone-63a7a4d1"}, {}),
        # thresholds, where eval types and guides have them
        (SIMILAR, {"pass_threshold": 0.8}, {"pass_threshold": 0.8}),
        (SCORE, {"pass_threshold": 5, "range": [0, 5]}, {"pass_threshold": 5.0, "range": [0.0, 5.0]}),
        (PYTHON, {"pass_threshold": 0.5}, {"pass_threshold": 0.5}),
        (ENDPOINT, {"pass_threshold": 0.5}, {"pass_threshold": 0.5}),
        (PYTHON, {"image_tag": "2025-05-08"}, {"image_tag": "2025-05-08"}),
        (PYTHON, {"image_tag": None, "pass_threshold": None}, {}),
        (ENDPOINT, {"headers": {"X-Key": "k"}, "rate_limit": 50}, {"headers": {"X-Key": "k"}, "rate_limit": 50}),
        # the default range, and both spellings of the token limit
        (SCORE, {"range": [0, 1]}, {}),
        (SCORE, {"range": None}, {}),
        (SCORE, {"sampling_params": {"max_completions_tokens": 9}}, {"sampling_params": {"max_completions_tokens": 9}}),
        (SCORE, {"sampling_params": {"max_completion_tokens": 9}}, {"sampling_params": {"max_completions_tokens": 9}}),
        (
            SCORE,
            {"sampling_params": {"max_completion_tokens": 9, "max_completions_tokens": None}},
            {"sampling_params": {"max_completions_tokens": 9}},
        ),
        (
            SCORE,
            {"sampling_params": {"temperature": None, "top_p": 1, "seed": 7, "reasoning_effort": "max"}},
            {"sampling_params": {"top_p": 1.0, "seed": 7, "reasoning_effort": "max"}},
        ),
        (SCORE, {"sampling_params": {}}, {}),
        (SCORE, {"sampling_params": None}, {}),
        (SCORE, {"sampling_params": {"temperature": None, "seed": None}}, {}),
        # messages
        (SCORE, {"input": [{"type": "message", **ASK[0]}]}, {}),
        (SCORE, {"input": [{"type": None, **ASK[0]}]}, {}),
        (LABEL, {"input": [{"role": "system", "content": "x"}]}, {"input": [{"role": "system", "content": "x"}]}),
        (
            SCORE,
            {"input": [{"role": "developer", "content": {"type": "input_text", "text": "x"}}]},
            {"input": [{"role": "developer", "content": {"type": "input_text", "text": "x"}}]},
        ),
        (
            SCORE,
            {
                "input": [
                    {"role": "user", "content": ["a {{item.x}}", {**IMAGE, "detail": "auto", "file_id": None}, AUDIO]}
                ]
            },
            {"input": [{"role": "user", "content": ["a {{item.x}}", IMAGE, AUDIO]}]},
        ),
        (
            SCORE,
            {"input": [{"role": "user", "content": [{**IMAGE, "detail": "high"}]}]},
            {"input": [{"role": "user", "content": [{**IMAGE, "detail": "high"}]}]},
        ),
        (
            LABEL,
            {
                "input": [
                    {"role": "assistant", "content": {"type": "output_text", "text": "y"}},
                    {
                        "role": "user",
                        "content": [
                            {"type": "input_text", "text": "z", "prompt_cache_breakpoint": {"mode": "explicit"}}
                        ],
                    },
                ]
            },
            {
                "input": [
                    {"role": "assistant", "content": {"type": "output_text", "text": "y"}},
                    {
                        "role": "user",
                        "content": [
                            {"type": "input_text", "text": "z", "prompt_cache_breakpoint": {"mode": "explicit"}}
                        ],
                    },
                ]
            },
        ),
        # multi: the dict of the service, one grader and a list as the client's types and the schema have it
        (MULTI, {"graders": {"exact": {k: v for k, v in STRING.items() if k != "name"}, "tone": LABEL}}, {}),
        (MULTI, {"graders": [STRING, LABEL]}, {}),
        (
            MULTI,
            {"graders": STRING, "calculate_output": "exact"},
            {"graders": {"exact": STRING}, "calculate_output": "exact"},
        ),
        (MULTI, {"graders": {"exact": {**STRING, "id": "exact-1"}, "tone": LABEL}}, {}),
        (MULTI, {"name": None}, {"name": "multi"}),
    ],
)
def test_every_known_shape_loads_and_is_written_in_the_canonical_one(
    definition: dict[str, Any], given: dict[str, Any], canonical: dict[str, Any]
) -> None:
    wire = {key: value for key, value in (definition | given).items() if key != "name" or value is not None}
    grader = load(wire)
    assert grader.to_openai() == definition | canonical
    assert load(grader.to_openai()) == grader


BARE = {"type": "multi", "graders": {"exact": STRING}, "calculate_output": "exact"}


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ({**STRING, "type": "string_chek"}, "no grader type 'string_chek'; did you mean 'string_check'?"),
        (
            {**STRING, "type": "string-check-grader"},
            "no grader type 'string-check-grader'; did you mean 'string_check'?",
        ),
        ({**LABEL, "type": "label-model-grader"}, "did you mean 'label_model'?"),
        ({**BARE, "type": "multi-grader"}, "did you mean 'multi'?"),
        ({**STRING, "refrence": "x"}, "unknown key 'refrence'; did you mean 'reference'?"),
        ({**STRING, "id": 5}, "unknown key 'id'"),
        ({**STRING, "pass_threshold": 1}, "unknown key 'pass_threshold'"),
        (
            {**STRING, "operation": "lik"},
            "operation: Input should be 'eq', 'ne', 'like' or 'ilike'; did you mean 'like'?",
        ),
        ({**SCORE, "rnage": [0, 1]}, "unknown key 'rnage'; did you mean 'range'?"),
        ({**SCORE, "score_range": [0, 1]}, "unknown key 'score_range'; did you mean 'range'?"),
        ({**LABEL, "range": [0, 1]}, "unknown key 'range'"),
        ({**SCORE, "sampling_params": {"temprature": 1}}, "unknown key 'temprature'; did you mean 'temperature'?"),
        ({**PYTHON, "image": "x"}, "unknown key 'image'; did you mean 'image_tag'?"),
        ({**ENDPOINT, "header": {}}, "unknown key 'header'; did you mean 'headers'?"),
        ({**SIMILAR, "evaluation_metric": "rouge_6"}, "evaluation_metric: "),
        ({**MULTI, "calculate_output": "exact + ton"}, "unknown name 'ton'"),
    ],
)
def test_what_is_unknown_is_refused_by_name_with_the_nearest_known(definition: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, LookupError)) as caught:
        load(definition)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("grader", "message"),
    [
        (load({"type": "rank", "reference": "x"}), "'rank': type 'rank' is Assay's own"),
        (load({**STRING, "extract": "final_line"}), "'exact': 'extract' is Assay's own"),
        (load({**SCORE, "extract": "final_line"}), "'judge': 'extract' is Assay's own"),
        (load({**BARE, "graders": {"exact": {**STRING, "extract": "final_line"}}}), "'extract' is Assay's own"),
        (
            load({**BARE, "graders": {"exact": {"type": "rank", "reference": "x"}}}),
            "'exact': type 'rank' is Assay's own",
        ),
    ],
    ids=["type", "extract", "extract of a judge", "extract of a part", "type of a part"],
)
def test_what_openai_has_no_word_for_is_not_written_in_its_json(grader: Grader, message: str) -> None:
    with pytest.raises(ValueError, match="Assay's own") as caught:
        grader.to_openai()
    assert message in str(caught.value)


# The real client's types


def client_type(name: str) -> Any:
    graders = pytest.importorskip("openai.types.graders")
    return {
        "string_check": graders.StringCheckGrader,
        "text_similarity": graders.TextSimilarityGrader,
        "score_model": graders.ScoreModelGrader,
        "label_model": graders.LabelModelGrader,
        "python": graders.PythonGrader,
    }[name]


RICH_SCORE = {
    **SCORE,
    "range": [0, 5],
    "sampling_params": {"temperature": 0.5, "max_completion_tokens": 100, "reasoning_effort": "low"},
    "input": [
        {"role": "system", "content": {"type": "input_text", "text": "Judge."}},
        {"role": "user", "content": ["a", {"type": "input_text", "text": "b"}, IMAGE, AUDIO]},
    ],
}


@pytest.mark.parametrize("definition", [STRING, SIMILAR, SCORE, RICH_SCORE, LABEL, PYTHON], ids=of_type)
def test_what_is_written_satisfies_the_clients_types_and_they_are_read_back(definition: dict[str, Any]) -> None:
    grader = load(definition)
    typed = client_type(definition["type"]).model_validate(grader.to_openai())
    assert load(typed.model_dump()) == grader
    assert load(typed.model_dump(exclude_unset=True)) == grader
    assert load(json.loads(typed.model_dump_json())) == grader


def test_a_multi_of_the_clients_types_loads() -> None:
    graders = pytest.importorskip("openai.types.graders")
    part = graders.StringCheckGrader.model_validate(STRING)
    typed = graders.MultiGrader(type="multi", name="both", graders=part, calculate_output="exact")
    assert load(typed.model_dump()).to_openai() == {
        "type": "multi",
        "name": "both",
        "graders": {"exact": STRING},
        "calculate_output": "exact",
    }


def test_every_type_of_openai_is_known_to_be_openais() -> None:
    assert all(grader_class(of_type(definition)).in_openai for definition in EVERY)


def test_a_job_s_multi_as_the_client_parsed_it_loads() -> None:
    """The client takes a returned multi for a string_check, and its dump holds that one's keys as nulls."""
    from openai._models import construct_type
    from openai.types.fine_tuning import FineTuningJob

    part = {"type": "string_check", "name": "a", "input": "x", "reference": "{{item.g}}", "operation": "eq"}
    multi = {"type": "multi", "name": "both", "graders": {"a": part}, "calculate_output": "a"}
    job: Any = construct_type(
        value={"id": "ftjob-1", "method": {"type": "reinforcement", "reinforcement": {"grader": multi}}},
        type_=FineTuningJob,
    )
    parsed = job.method.reinforcement.grader
    assert load(parsed) == load(parsed.model_dump()) == load(multi)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"type": "text", "text": "x"}], "input.0.content.0: content is a text, an object with a 'type'"),
        ({"type": "list"}, "known: input_audio, input_image, input_text, output_text"),
        ([{"type": "input_image", "image_url": "x", "file_id": "f"}], "content.0.file_id: an image is given by its"),
    ],
)
def test_content_of_no_known_shape_is_refused_at_its_place(content: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        load({"type": "score_model", "model": "m", "input": [{"role": "user", "content": content}]})


def test_a_null_name_is_no_name() -> None:
    assert load({"type": "regex", "pattern": "a", "name": None}).label == "regex"
