from __future__ import annotations

import json
import math
from typing import Any

import pytest

from graders import Sample, load
from graders.model.endpoint import Endpoint


def endpoint(url: str = "https://grader.example.com/grade", **options: Any) -> Endpoint:
    grader = load({"type": "endpoint", "url": url, **options})
    assert isinstance(grader, Endpoint)
    return grader


def test_what_it_sends_is_the_sample_the_row_and_the_trace() -> None:
    payload = endpoint().payload(Sample('{"a": 1}'), {"gene": "FBN1"}, "trace_7")
    assert sorted(payload) == ["item", "sample", "trace_id"]
    assert payload["item"] == {"gene": "FBN1"}
    assert payload["trace_id"] == "trace_7"
    assert (payload["sample"]["output_json"], payload["sample"]["output_tools"]) == ({"a": 1}, [])
    json.dumps(payload, allow_nan=False)


def test_a_rollout_without_a_trace_gets_one_of_its_own() -> None:
    first, second = (endpoint().payload(Sample("x"), {})["trace_id"] for _ in range(2))
    assert first.startswith("trace_")
    assert first != second


def test_the_grade_says_that_nothing_was_sent() -> None:
    grade = endpoint(name="web")("x", {})
    assert grade.score is None
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("not_installed", "infra")
    assert grade.why == (
        "web asks https://grader.example.com/grade, and no client for endpoints is installed; nothing was sent"
    )
    assert endpoint().range == (-math.inf, math.inf)


@pytest.mark.parametrize(
    "url",
    ["http://localhost:8000/grade", "https://grader.example.com", "https://[::1]:8443/x?key=1", "https://ü.example"],
)
def test_web_addresses_are_accepted(url: str) -> None:
    assert endpoint(url).url == url


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "ftp://x.example/y"}, "the address must begin with https:// or http://, not ftp"),
        ({"url": "grader.example.com/grade"}, "must begin with https:// or http://, not nothing"),
        ({"url": "file:///etc/passwd"}, "not file"),
        ({"url": ""}, "not nothing"),
        ({"url": "https://"}, "it needs a host"),
        ({"url": "https://x.example/a b"}, "no spaces"),
        ({"url": "https://x.example/\u200b"}, "no spaces"),
        ({"url": "https://x.example:99999/"}, "not a web address"),
        ({"url": "https://[::1/"}, "not a web address"),
        ({"headers": {"a b": "x"}}, "'a b' is no name of a header"),
        ({"headers": {"": "x"}}, "'' is no name of a header"),
        ({"headers": {"X-Key": "a\r\nX-Other: b"}}, "the value of header 'X-Key' holds a line break"),
        ({"headers": {"X-Key": 5}}, "headers.X-Key: Input should be a valid string"),
        ({"rate_limit": 0}, "rate_limit: Input should be greater than or equal to 1"),
        ({"rate_limit": 1.5}, "rate_limit: "),
        ({"rate_limit": True}, "rate_limit: "),
        ({"pass_threshold": math.inf}, "pass_threshold: Input should be a finite number"),
    ],
)
def test_a_bad_definition_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"^grader 'endpoint': ") as caught:
        endpoint(**options)
    assert message in str(caught.value)
