"""Notices: settings that do nothing are named once, at the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rft_loop.display.console import items_text
from rft_loop.loop import train
from rft_loop.recipe import load_recipe, recipe_from
from rft_loop.watching.notices import idle_settings
from rft_loop.watching.record import create_run, read_events

LETTERS = Path(__file__).parent.parent / "examples" / "letters"


@pytest.mark.parametrize(
    ("options", "name", "cause"),
    [
        ({"warmup_steps": 10}, "only_warms_up", "warmup_steps=10 of steps=10"),
        ({"items_per_step": 31}, "items_come_twice", "items_per_step=31 and 30 items"),
        ({"loss": "reinforce", "updates_per_step": 2}, "stale_passes", "loss=reinforce with updates_per_step=2"),
        ({"shard": True}, "nothing_to_shard", "shard=true in one process"),
        ({"warmup_steps": 9, "items_per_step": 30, "loss": "reinforce"}, None, None),
        ({"updates_per_step": 2}, None, None),
    ],
)
def test_a_setting_that_does_nothing_is_named(options: dict[str, Any], name: str | None, cause: str | None) -> None:
    base = {"model": "m", "train": "t", "validation": "v", "grader": "g", "steps": 10}
    found = list(idle_settings(recipe_from(base | options, "test"), items=30))
    assert [advice.name for advice in found] == ([name] if name else [])
    assert all(str(cause) in advice.cause for advice in found)


def test_a_recipe_that_shards_over_two_processes_hears_nothing() -> None:
    recipe = recipe_from({"model": "m", "train": "t", "validation": "v", "grader": "g", "shard": True}, "test")
    assert list(idle_settings(recipe, items=100, processes=2)) == []


def test_a_run_tells_it_at_its_start_and_not_again(tmp_path: Path) -> None:
    recipe = load_recipe(LETTERS / "recipe.yaml", [f"runs={tmp_path}", "steps=2", "items_per_step=2", "group_size=2"])
    told: list[dict[str, Any]] = []
    train(recipe, create_run(recipe), told.append)
    assert [event["event"] for event in told][:2] == ["start", "advice"]
    named = [event for event in read_events(tmp_path / "letters") if event.get("name") == "only_warms_up"]
    assert [event["step"] for event in named] == [0]


def test_the_header_says_how_much_of_an_adapter_is_trained() -> None:
    start = {"parameters": 92480, "trained": 8704, "lora": {"rank": 4, "alpha": 32}}
    assert items_text(start) == "8,704 of 92,480 parameters trained (LoRA rank 4, alpha 32)"
    assert items_text({"parameters": 92480}) == "92,480 parameters"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["reward.soft_limit.buffer=1"], "reward.soft_limit.charge=1"),
        (["reward.length={free: 1, per_token: 0.1}"], "reward.length.per_token=0.1"),
        (["reward.clip=[-1, 1]"], r"reward.clip=\[-1"),
        (["kl={weight: 0.1, estimator: k1, place: reward}"], "kl.place=reward with kl.weight=0.1"),
    ],
)
def test_maxrl_is_refused_where_rewards_can_be_negative(settings: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=f"advantage=maxrl divides by the mean reward, which {said}"):
        load_recipe(LETTERS / "recipe.yaml", ["advantage=maxrl", *settings])
    load_recipe(LETTERS / "recipe.yaml", settings)


def test_maxrl_goes_with_charges_that_are_clipped_at_0() -> None:
    load_recipe(LETTERS / "recipe.yaml", ["advantage=maxrl", "reward.soft_limit.buffer=1", "reward.clip=[0, 1]"])
