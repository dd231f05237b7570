import pytest

from graders import load


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="limit: Input should be greater than or equal to 1"):
        load({"type": "word_limit", "limit": 0})


def test_the_definition_survives_being_written_and_read() -> None:
    grader = load({"type": "word_limit", "limit": 3})
    assert load(grader.to_wire()).identity == grader.identity
