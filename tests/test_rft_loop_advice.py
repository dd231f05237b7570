"""Advice: each cause is named where a run's figures show it, and a healthy run hears nothing."""

from __future__ import annotations

from typing import Any

import pytest

from rft_loop.recipe import Recipe, recipe_from
from rft_loop.watching.advice import RULES, Course, advise

HEALTHY: dict[str, Any] = {
    "reward": 0.4,
    "reward_std": 0.3,
    "frac_reward_zero_std": 0.2,
    "errors": {},
    "completions/mean_length": 80.0,
    "completions/clipped_ratio": 0.05,
    "completions/duplicate_ratio": 0.1,
    "entropy": 0.6,
    "grad_norm": 0.4,
    "sampling/sampling_logp_difference/max": 2e-5,
    "learning_rate": 1e-5,
    "weight_rms": 0.02,
    "rewards/style/mean": 0.7,
}


def recipe(**options: Any) -> Recipe:
    base = {"model": "m", "train": "t", "validation": "v", "grader": "g", "watch": {"style": "style.json"}}
    return recipe_from(base | options, "test")


def run(*later: dict[str, Any]) -> list[dict[str, Any]]:
    return [HEALTHY] * 3 + [HEALTHY | figures for figures in later for _ in range(10)]


@pytest.mark.parametrize(
    ("figures", "name", "cause", "remedy"),
    [
        ({"errors": {"timeout": 3}}, "grader_errors", "30 timeout", "why"),
        ({"completions/clipped_ratio": 1.0}, "never_ends", "max_new_tokens=256", "chat template"),
        ({"completions/clipped_ratio": 0.7}, "truncated", "70% of the answers", "raise max_new_tokens"),
        ({"completions/thinking_only_ratio": 0.6}, "only_thinks", "60% of the answers", "max_new_tokens (now 256)"),
        ({"completions/schema_ratio": 0.25}, "not_of_the_form", "75% of the answers", "ask for the form"),
        ({"reward_std": 0.0, "reward": 0.0}, "same_reward_for_every_text", "rewarded 0", "assay grade"),
        ({"completions/duplicate_ratio": 0.8}, "duplicates", "80%", "temperature"),
        ({"frac_reward_zero_std": 0.9, "reward": 0.1}, "no_spread", "90% of the groups", "easier items"),
        ({"frac_reward_zero_std": 0.9, "reward": 0.9}, "no_spread", "mean reward 0.9", "harder items"),
        (
            {"sampling/sampling_logp_difference/max": 0.3}, "sampler_and_trainer_apart", "by up to 0.3",
            "importance_correction",
        ),
        ({"reward": 0.8, "rewards/style/mean": 0.3}, "watched_grader_falls", "'style'", "highest rewards"),
        ({"completions/mean_length": 240.0}, "length_drift", "from 80 to 240 tokens", "reward.length"),
        ({"completions/mean_length": 8.0}, "length_drift", "from 80 to 8 tokens", "reward.length"),
        ({"entropy": 0.005, "frac_reward_zero_std": 0.6}, "entropy_collapsed", "from 0.6 to 0.005", "entropy_bonus"),
        ({"weight_rms": 400.0}, "weights_stand_still", "3e-08", "raise learning_rate (now 1e-05)"),
        ({"grad_norm": 0.0}, "spread_without_gradient", "the gradient is 0 (advantage=grpo)", "maxrl"),
    ],
)  # fmt: skip
def test_each_cause_is_named_with_the_setting_to_change(
    figures: dict[str, Any], name: str, cause: str, remedy: str
) -> None:
    (found,) = advise(run(figures), recipe())
    assert found.name == name
    assert cause in found.cause
    assert remedy in found.remedy


def test_every_rule_has_its_case_above() -> None:
    cases = test_each_cause_is_named_with_the_setting_to_change.pytestmark[0].args[1]
    named = {case[1] for case in cases} | {"weights_do_not_arrive"}
    assert named == {rule.__name__.lstrip("_") for rule in RULES}


def test_a_server_whose_difference_grows_has_not_taken_its_weights() -> None:
    server = {"base_url": "http://there/v1", "kind": "vllm", "model": "policy", "weights": "w", "sync_every": 4}
    steps = run({"sampling/sampling_logp_difference/max": 0.4})
    for more, names in ({"sampler": server}, ["weights_do_not_arrive"]), ({}, ["sampler_and_trainer_apart"]):
        found = advise(steps, recipe(**more))
        assert [advice.name for advice in found] == names
    found = advise(steps, recipe(sampler=server))
    assert "lower sync_every=4" in found[0].remedy


def test_a_healthy_run_hears_nothing() -> None:
    assert advise(run({}), recipe()) == []
    assert advise([], recipe()) == []


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_what_shows_in_the_first_step_is_said_then(steps: int) -> None:
    (found,) = advise(
        [HEALTHY | {"completions/clipped_ratio": 1.0, "reward": 0.0, "reward_std": 0.0}] * steps, recipe()
    )
    assert found.name == "never_ends"


def test_a_cause_that_explains_others_stands_alone() -> None:
    all_alike = {"completions/duplicate_ratio": 0.99, "reward_std": 0.0, "frac_reward_zero_std": 1.0}
    assert [advice.name for advice in advise(run(all_alike), recipe())] == ["duplicates"]


def test_figures_that_are_missing_say_nothing() -> None:
    assert advise([{"reward": None, "entropy": None}] * 5, recipe()) == []


CASES = test_each_cause_is_named_with_the_setting_to_change.pytestmark[0].args[1]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("missing", [{}, dict.fromkeys(HEALTHY)], ids=["absent", "null"])
@pytest.mark.parametrize("options", [{}, {"precision": "bfloat16", "importance_correction": "none"}])
def test_a_rule_without_any_figures_says_nothing(rule: Any, missing: dict[str, Any], options: dict[str, Any]) -> None:
    assert rule(Course([missing] * 10, [missing] * 3, recipe(**options))) is None


@pytest.mark.parametrize(("figures", "wanted"), [(case[0], case[1]) for case in CASES])
def test_a_rule_that_lacks_one_figure_never_makes_one_up(figures: dict[str, Any], wanted: str) -> None:
    steps = run(figures)
    for name in HEALTHY:
        without = [{key: value for key, value in event.items() if key != name} for event in steps]
        for cut in without[:3] + steps[3:], steps[:3] + without[3:], without:
            for advice in advise(cut, recipe()):
                assert "nan" not in f"{advice.cause} {advice.remedy}".lower()
                assert advice.name == wanted


def test_a_run_that_never_got_a_reward_hears_that_and_nothing_of_its_entropy() -> None:
    nothing = {"reward": None, "reward_std": 0.0, "entropy": None, "frac_reward_zero_std": 1.0, "weight_rms": None}
    found = advise([HEALTHY | nothing | {"errors": {"timeout": 4}}] * 5, recipe())
    assert [advice.name for advice in found] == ["grader_errors"]
    late = [HEALTHY | nothing] * 3 + [HEALTHY | {"entropy": 0.01, "frac_reward_zero_std": 0.6}] * 10
    assert advise(late, recipe()) == [], "where it began is not known"
