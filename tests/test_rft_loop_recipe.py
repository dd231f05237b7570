"""A recipe says everything a run can be told, and a bad one is refused with the key, the value and the remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rft_loop.recipe import Recipe, ScratchModel, differing_key, load_recipe, recipe_from, resolved

MINIMAL: dict[str, Any] = {"model": "org/model", "train": "t.jsonl", "validation": "v.jsonl", "grader": "g.json"}


def write(folder: Path, **keys: Any) -> Path:
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(MINIMAL | keys), encoding="utf-8")
    return file


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(ValueError, match=r".") as found:
        load_recipe(path, overrides)
    return str(found.value)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"lerning_rate": 1}, ["unknown key 'lerning_rate'", "did you mean 'learning_rate'?"]),
        ({"reward": {"lenght": {}}}, ["unknown key 'reward.lenght'", "did you mean 'length'?"]),
        ({"reward": {"length": {"fre": 1, "per_token": 1}}}, ["unknown key 'reward.length.fre'", "mean 'free'?"]),
        ({"warm_start": {"data": "d", "step": 3}}, ["unknown key 'warm_start.step'", "mean 'steps'?", "is missing"]),
        ({"model": {"scratch": {"hiden_size": 8}}}, ["'model.scratch.hiden_size'", "mean 'hidden_size'?"]),
        ({"model": {"scrach": {}}}, ["unknown key 'model.scrach'", "mean 'scratch'?"]),
        ({"group_size": 1}, ["group_size=1: a group of one has no one to be compared with; use 2 or more"]),
        ({"group_size": 0}, ["group_size=0"]),
        ({"steps": 0}, ["steps=0 without a warm_start", "set steps, or use assay eval"]),
        ({"steps": -1}, ["steps:", "greater than or equal to 0", "-1"]),
        ({"steps": 2.5}, ["steps:", "2.5"]),
        ({"learning_rate": "fast"}, ["learning_rate:", "valid number", "'fast'"]),
        ({"learning_rate": 0}, ["learning_rate:", "greater than 0"]),
        ({"learning_rate": float("inf")}, ["learning_rate:", "finite"]),
        ({"temperature": 0}, ["temperature:", "greater than 0"]),
        ({"clip_low": 1.5}, ["clip_low:", "less than 1", "1.5"]),
        ({"max_error_rate": 2}, ["max_error_rate:", "less than or equal to 1"]),
        ({"schedule": "cosine"}, ["schedule:", "'constant' or 'linear'", "'cosine'"]),
        ({"advantage": "ppo"}, ["advantage:", "'grpo', 'mean'", "'ppo'"]),
        ({"device": "tpu"}, ["device:", "'auto', 'cpu' or 'cuda'", "'tpu'"]),
        ({"budget": 0}, ["budget:", "greater than 0"]),
        ({"budget": float("nan")}, ["budget:", "finite"]),
        ({"judges": 3}, ["judges:", "path", "3"]),
        ({"name": "a/b"}, ["name:", "'a/b'"]),
        ({"name": ".."}, ["name:", "'..'"]),
        ({"model": 3}, ["model: expected a hub id, a folder, a .gguf file, or {scratch: {...}}", "3"]),
        ({"grader": None}, ["grader: expected a file.json, file.py:name, or the grader's JSON itself", "None"]),
        ({"reward": {"clip": [1, 0]}}, ["clip=[1.0, 0.0]: the first number must be below the second"]),
        ({"reward": {"control": "random"}}, ["reward.control:", "'none' or 'shuffled'"]),
        ({"model": {"scratch": {"hidden_size": 20}}}, ["hidden_size=20 with num_attention_heads=4", "multiple of 8"]),
        ({"model": {"scratch": {"num_key_value_heads": 3}}}, ["num_key_value_heads=3: must divide"]),
        ({"model": {"scratch": {"tokens": "bytes"}}}, ["model.scratch.tokens:", "'bytes'"]),
        ({"seed": "x", "stepps": 1}, ["seed:", "unknown key 'stepps'"]),  # all of it at once
    ],
    ids=str,
)
def test_a_bad_recipe_names_key_value_and_remedy(tmp_path: Path, keys: dict[str, Any], said: list[str]) -> None:
    file = write(tmp_path, **keys)
    message = refusal(file)
    assert message.startswith(f"{file}: ")
    assert [part for part in said if part not in message] == []
    assert "\n" not in message


@pytest.mark.parametrize("key", MINIMAL)
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps({name: value for name, value in MINIMAL.items() if name != key}))
    assert refusal(file) == f"{file}: key {key!r} is missing"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("recipe.yaml", "steps: [1", "expected ',' or ']'"),
        ("recipe.yaml", "", "a recipe is a mapping of keys to values, not NoneType"),
        ("recipe.yaml", "- steps", "a recipe is a mapping of keys to values, not list"),
        ("recipe.yml", "1: 2", "Keys should be strings"),
        ("recipe.toml", "steps =", "Invalid value"),
        ("recipe.json", "{", "line 1 column 2"),
        ("recipe.txt", "{}", "a recipe is .yaml, .toml or .json, not '.txt'"),
        ("recipe", "{}", "a recipe is .yaml, .toml or .json, not 'without a suffix'"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, name: str, text: str, said: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    message = refusal(file)
    assert message.startswith(f"{file}: ")
    assert said in message


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_bytes(b"\xff\xfe\x00steps")
    assert refusal(file).startswith(f"{file}: ")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no recipe '.*nothing\.yaml'"):
        load_recipe(tmp_path / "nothing.yaml")


def test_yaml_toml_and_json_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(
        "model: {scratch: {hidden_size: 32}}\ntrain: t.jsonl\nvalidation: v.jsonl\nlearning_rate: 3e-4\n"
        "grader: {type: string_check, operation: eq}\nreward: {clip: [0, 1]}\nsteps: 7\n"
    )
    (tmp_path / "r.toml").write_text(
        'train = "t.jsonl"\nvalidation = "v.jsonl"\nlearning_rate = 3e-4\nsteps = 7\n'
        '[model.scratch]\nhidden_size = 32\n[grader]\ntype = "string_check"\noperation = "eq"\n'
        "[reward]\nclip = [0, 1]\n"
    )
    (tmp_path / "r.json").write_text(
        '{"model": {"scratch": {"hidden_size": 32}}, "train": "t.jsonl", "validation": "v.jsonl", "steps": 7,'
        '"learning_rate": 3e-4, "grader": {"type": "string_check", "operation": "eq"}, "reward": {"clip": [0, 1]}}'
    )
    first, second, third = (load_recipe(tmp_path / name) for name in ("r.yaml", "r.toml", "r.json"))
    assert first == second == third
    assert first.learning_rate == 3e-4
    assert isinstance(first.model, ScratchModel)
    assert first.model.scratch.hidden_size == 32


# Overrides


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("learning_rate=3e-4", "learning_rate", 3e-4),  # a string to YAML 1.1
        ("learning_rate=0.001", "learning_rate", 0.001),
        ("steps=12", "steps", 12),
        ("seed=-1", "seed", -1),
        ("advantage=mean", "advantage", "mean"),
        ("name=third-try", "name", "third-try"),
        ("name=2026", "name", "2026"),
        ("model.scratch.tie_word_embeddings=false", "model.scratch.tie_word_embeddings", False),
        ("model.scratch.hidden_size=64", "model.scratch.hidden_size", 64),
        ("reward.length={free: 10, per_token: 1e-3}", "reward.length.per_token", 1e-3),
        ("reward.clip=[-1, 1]", "reward.clip", (-1.0, 1.0)),
        ("warm_start=null", "warm_start", None),
        (" steps =12", "steps", 12),
    ],
)
def test_an_override_sets_one_key(tmp_path: Path, override: str, path: str, value: Any) -> None:
    file = write(tmp_path, model={"scratch": {}}, warm_start={"data": "w.jsonl", "steps": 5})
    found: Any = load_recipe(file, [override])
    for name in path.split("."):
        found = getattr(found, name)
    assert found == value
    assert type(found) is type(value)


def test_of_two_overrides_of_a_key_the_last_counts(tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path), ["steps=5", "steps=6"]).steps == 6


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("learning_rate", "-s 'learning_rate': expected key=value, as in -s learning_rate=3e-4"),
        ("lerning_rate=1", "did you mean 'learning_rate'?"),
        ("=3", "unknown key ''"),
        ("reward.clip=[1", "-s 'reward.clip=[1': '[1' is no YAML value"),
        ("model.scratch.hidden_size=9", "'model' is 'org/model', not a section"),
        ("steps.more=1", "'steps' is 3, not a section"),
        ("group_size=1", "use 2 or more"),
        ("steps=abc", "'abc'"),
        ("steps=", "None"),
    ],
)
def test_a_bad_override_is_refused(tmp_path: Path, override: str, said: str) -> None:
    assert said in refusal(write(tmp_path, steps=3), override)


# Paths


def test_paths_in_the_file_are_relative_to_it_and_overrides_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    recipe = load_recipe(
        write(there, warm_start={"data": "w.jsonl", "steps": 1}, runs="my-runs"), ["validation=mine.jsonl"]
    )
    assert recipe.train == there / "t.jsonl"
    assert recipe.validation == here / "mine.jsonl"
    assert recipe.warm_start is not None
    assert recipe.warm_start.data == there / "w.jsonl"
    assert recipe.runs == Path("my-runs")  # runs land where the command is typed


@pytest.mark.parametrize(
    ("key", "value", "beside"),
    [
        ("grader", "g.json", "g.json"),
        ("grader", "mine.py:judge", "mine.py"),
        ("model", "small", "small/config.json"),
        ("model", "small.gguf", "small.gguf"),
        ("model", "org/model", None),  # a hub id stays one
        ("grader", "elsewhere.json", None),
    ],
)
def test_a_grader_or_model_beside_the_recipe_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: str, beside: str | None
) -> None:
    folder = tmp_path / "recipes"
    folder.mkdir()
    if beside is not None:
        (folder / beside).parent.mkdir(exist_ok=True)
        (folder / beside).touch()
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe(Path("recipes") / write(folder, **{key: value}).name)
    assert getattr(recipe, key) == (value if beside is None else str(folder / value))


def test_an_absolute_path_stays(tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path, train="/data/t.jsonl")).train == Path("/data/t.jsonl")


# The stored recipe


def test_the_resolved_recipe_loads_back_equal_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "mine.json").touch()
    monkeypatch.chdir(here)
    recipe = load_recipe(
        write(tmp_path, model={"scratch": {"fields": ["gene"]}}, reward={"clip": [0, 1]}),
        ["train=mine.jsonl", "grader=mine.json", "warm_start={data: w.jsonl, steps: 3}"],
    )
    stored = tmp_path / "run" / "recipe.json"
    stored.parent.mkdir()
    stored.write_text(json.dumps(resolved(recipe), allow_nan=False))
    monkeypatch.chdir(tmp_path)
    assert load_recipe(stored) == recipe
    assert recipe_from(json.loads(stored.read_text()), str(stored)) == recipe
    assert set(resolved(recipe)) == set(Recipe.model_fields)  # every default is written down


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "steps": st.integers(1, 10**6),
            "learning_rate": st.floats(1e-9, 1.0),
            "group_size": st.integers(2, 64),
            "clip_high": st.floats(1e-6, 10),
            "schedule": st.sampled_from(["constant", "linear"]),
            "max_error_rate": st.floats(0, 1),
            "seed": st.integers(-(2**40), 2**40),
            "reward": st.just({"length": {"free": 3, "per_token": 0.1}}),
        },
    )
)
def test_what_is_stored_is_what_was_meant(keys: dict[str, Any]) -> None:
    recipe = recipe_from(MINIMAL | keys, "test")
    assert recipe_from(json.loads(json.dumps(resolved(recipe))), "test") == recipe


def test_a_recipe_cannot_be_changed_once_made() -> None:
    recipe = recipe_from(dict(MINIMAL), "test")
    with pytest.raises(ValueError, match="frozen"):
        recipe.steps = 3  # type: ignore[misc]


def test_the_file_of_judges_is_found_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "judges.yaml").write_text("{}")
    assert load_recipe(write(tmp_path, judges="judges.yaml")).judges == tmp_path / "judges.yaml"


def test_what_judges_may_cost_is_no_difference_between_two_recipes() -> None:
    recipe = recipe_from(MINIMAL, "a recipe")
    other = recipe_from({**MINIMAL, "budget": 3, "judges": "other.yaml"}, "another")
    assert differing_key(recipe, other) is None
    assert differing_key(recipe, recipe_from({**MINIMAL, "budget": 3, "steps": 7}, "another")) == "steps"
