"""A recipe says everything a run can be told, and a bad one is refused with the key, the value and the remedy."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rft_loop.complaints import TRL
from rft_loop.inputs import named_grader
from rft_loop.recipe import (
    MAY_CHANGE,
    SECTIONS,
    Recipe,
    ScratchModel,
    differing_key,
    load_recipe,
    recipe_from,
    resolved,
)

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
        ({"steps": -1}, ["steps=-1: must be 0 or more"]),
        ({"steps": 2.5}, ["steps=2.5: a whole number is wanted"]),
        ({"steps": "many"}, ["steps=many: a whole number is wanted"]),
        ({"steps": [1]}, ["steps=[1]: a whole number is wanted"]),
        ({"steps": None}, ["steps=null: a whole number is wanted"]),
        ({"learning_rate": "fast"}, ["learning_rate=fast: a number is wanted"]),
        ({"learning_rate": []}, ["learning_rate=[]: a number is wanted"]),
        ({"learning_rate": 0}, ["learning_rate=0: must be more than 0"]),
        ({"learning_rate": float("inf")}, ["learning_rate=inf: must be a finite number"]),
        ({"temperature": 0}, ["temperature=0: must be more than 0"]),
        ({"clip_low": 1.5}, ["clip_low=1.5: must be less than 1"]),
        ({"max_error_rate": 2}, ["max_error_rate=2: must be 1 or less"]),
        ({"shard": "perhaps"}, ["shard=perhaps: true or false is wanted"]),
        ({"shard": [1]}, ["shard=[1]: true or false is wanted"]),
        ({"schedule": "cosine"}, ["schedule=cosine: must be constant or linear"]),
        ({"advantage": "ppo"}, ["advantage=ppo: must be grpo, mean"]),
        ({"device": "tpu"}, ["device=tpu: must be auto, cpu or cuda"]),
        ({"budget": 0}, ["budget=0: must be more than 0"]),
        ({"budget": float("nan")}, ["budget=nan: must be a finite number"]),
        ({"judges": 3}, ["judges=3: a path is wanted"]),
        ({"best_by": 3}, ["best_by=3: a text is wanted"]),
        ({"name": "a/b"}, ["name=a/b: letters, digits, - _ . only; the folder above it is runs="]),
        ({"name": ".."}, ["name=..: letters, digits"]),
        ({"thinking": "<think>"}, ["thinking=<think>: the bare name of a tag"]),
        ({"supervised": {"answers": ""}}, ["supervised.answers='': must not be empty"]),
        ({"model": 3}, ["model=3: expected a hub id, a folder, a .gguf file, or {scratch: {...}}"]),
        ({"grader": None}, ["grader=null: expected a file.json, file.py:name, or the grader's JSON itself"]),
        ({"watch": {"style": 3}}, ["watch.style=3: expected a file.json"]),
        ({"watch": 3}, ["watch=3: a section is wanted: {key: value, ...}"]),
        ({"lora": 16}, ["lora=16: a section is wanted, as in lora.rank=16"]),
        ({"lora": True}, ["lora=true: a section is wanted, as in lora.rank=16"]),
        ({"lora": {"rank": 0}}, ["lora.rank=0: must be 1 or more"]),
        ({"kl": 0.1}, ["kl=0.1: a section is wanted, as in kl.weight=0.1"]),
        ({"warm_start": "w.jsonl"}, ["warm_start=w.jsonl: a section is wanted, as in warm_start.data=answers.jsonl"]),
        ({"sampler": {"reload": 3}}, ["sampler.reload=3: a list is wanted"]),
        ({"reward": {"clip": [1]}}, ["reward.clip: a value is missing"]),
        ({"reward": {"clip": [1, 2, 3]}}, ["reward.clip=[1, 2, 3]: has more than 2 values"]),
        ({"kl": {"place": "reward", "estimator": "k3"}}, ["kl.estimator=k3: with place=reward use estimator=k1"]),
        ({"kl": {"estimator": "k1"}}, ["kl.estimator=k1: with place=loss its gradient is 0", "or place=reward"]),
        ({"reward": {"clip": [1, 0]}}, ["clip=[1.0, 0.0]: the first number must be below the second"]),
        ({"reward": {"control": "random"}}, ["reward.control=random: must be none or shuffled"]),
        ({"model": {"scratch": {"hidden_size": 20}}}, ["hidden_size=20 with num_attention_heads=4", "multiple of 8"]),
        ({"model": {"scratch": {"num_key_value_heads": 3}}}, ["num_key_value_heads=3: must divide"]),
        (
            {"model": {"scratch": {"tokens": "bytes"}}},
            ["model.scratch.tokens=bytes: must be lines, words or characters"],
        ),
        ({"seed": "x", "stepps": 1}, ["seed=x: a whole number", "unknown key 'stepps'"]),  # all of it at once
    ],
    ids=str,
)
def test_a_bad_recipe_names_key_value_and_remedy(tmp_path: Path, keys: dict[str, Any], said: list[str]) -> None:
    file = write(tmp_path, **keys)
    message = refusal(file)
    assert message.startswith(f"{file}: ")
    assert "given: " not in message
    assert [part for part in said if part not in message] == []
    assert "\n" not in message


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("num_generations=8", "unknown key 'num_generations'; here it is group_size"),
        ("beta=0.1", "here it is kl.weight"),
        ("kl.beta=0.1", "unknown key 'kl.beta'; here it is kl.weight"),
        ("lora.r=8", "unknown key 'lora.r'; here it is lora.rank"),
        ("lora.target_modules=[q_proj]", "here it is lora.targets"),
        ("report_to=wandb", "here it is tracker"),
    ],
)
def test_a_key_of_trl_is_told_as_it_is_called_here_and_nothing_else(tmp_path: Path, override: str, said: str) -> None:
    assert refusal(write(tmp_path), override).endswith(said)


def test_what_a_key_of_trl_is_said_to_be_called_here_is_a_key() -> None:
    for theirs, ours in TRL.items():
        for key in re.sub(r"\(.*?\)", "", ours).replace(" or ", " and ").split(" and "):
            section, _, name = key.strip().rpartition(".")
            fields = (SECTIONS[section] if section else Recipe).model_fields
            assert name in fields, f"{theirs}: {key}"
        assert theirs not in Recipe.model_fields, theirs


def test_the_estimator_of_a_divergence_goes_by_its_place_where_none_is_given() -> None:
    def stored(**kl: Any) -> Any:
        return resolved(recipe_from({**MINIMAL, "kl": kl}, "a recipe"))["kl"]["estimator"]

    assert stored(weight=0.1, place="reward") == stored(place="reward", estimator=None) == "k1"
    assert stored(weight=0.1) == stored() == resolved(recipe_from(MINIMAL, "a recipe"))["kl"]["estimator"] == "k3"
    assert stored(estimator="k2") == "k2"


@pytest.mark.parametrize("key", MINIMAL)
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps({name: value for name, value in MINIMAL.items() if name != key}))
    assert refusal(file) == f"{file}: key {key!r} is missing"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("recipe.yaml", "steps: [1", ":1:10: broken YAML: expected ',' or ']'"),
        ("recipe.yaml", "", ": is empty; a recipe has at least the keys model, train"),
        ("recipe.yaml", "# steps: 3\n", ": is empty"),
        ("recipe.toml", "", ": is empty"),
        ("recipe.json", " ", ": is empty"),
        ("recipe.yaml", "steps: 1\nname: \ta: b: c\n", ":2:7: broken YAML: "),
        ("recipe.yaml", "name: \x00", "broken YAML: "),
        ("recipe.yaml", "- steps", "a recipe is a mapping of keys to values, not list"),
        ("recipe.yml", "1: 2", "1=1: keys should be strings"),
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
    assert message.startswith(f"{file}:")
    assert said in message
    assert "\n" not in message


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
        ("steps=abc", "steps=abc: a whole number is wanted"),
        ("steps=", "steps=null"),
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


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"offload_optimizer": True}, "offload_optimizer=true"),
        ({"optimizer": "adamw_8bit"}, "optimizer=adamw_8bit"),
        ({"lora": {"rank": 4}}, "lora.rank=4"),
        ({"lora": {}, "optimizer": "adamw_8bit"}, "lora.rank=16, optimizer=adamw_8bit"),
    ],
)
def test_what_weights_cannot_be_sharded_with_is_named_as_it_was_given(given: dict[str, Any], named: str) -> None:
    said = rf"shard=true needs optimizer=adamw and all weights trained: it does not go with {named}; leave out one or"
    with pytest.raises(ValueError, match=said):
        recipe_from({**MINIMAL, **given, "shard": True}, "a recipe")


def test_the_docs_name_every_key_that_a_run_may_go_on_with_otherwise() -> None:
    page = (Path(__file__).parent.parent / "docs" / "training.md").read_text(encoding="utf-8")
    (sentence,) = (line for line in page.split("; ") if "may be given anew" in line)
    assert set(re.findall(r"`(\w+)`", sentence)) == set(MAY_CHANGE)


def test_what_judges_may_cost_is_no_difference_between_two_recipes() -> None:
    recipe = recipe_from(MINIMAL, "a recipe")
    other = recipe_from({**MINIMAL, "budget": 3, "judges": "other.yaml"}, "another")
    assert differing_key(recipe, other) is None
    assert differing_key(recipe, recipe_from({**MINIMAL, "budget": 3, "steps": 7}, "another")) == "steps"


# Files that are not there


ROW = '{"messages": [{"role": "user", "content": "a"}]}'


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A recipe's folder with all its files."""
    for name in ("t.jsonl", "v.jsonl"):
        (tmp_path / name).write_text(ROW)
    (tmp_path / "g.json").write_text('{"type": "string_check", "operation": "eq"}')
    write(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train=no.jsonl", "train=no.jsonl: no such file ({here}/no.jsonl)"),
        ("validation=no.jsonl", "validation=no.jsonl: no such file ({here}/no.jsonl)"),
        ("train=.", "train=.: is a folder, and a file is wanted ({here})"),
        ("supervised.answers=no.jsonl", "supervised.answers=no.jsonl: no such file ({here}/no.jsonl)"),
        ("warm_start={data: no.jsonl, steps: 1}", "warm_start.data=no.jsonl: no such file ({here}/no.jsonl)"),
        ("judges=no.yaml", "judges=no.yaml: no such file ({here}/no.yaml)"),
        ("grader=no.json", "grader=no.json: no such file ({here}/no.json)"),
        ("grader=no.py:judge", "grader=no.py:judge: no such file ({here}/no.py:judge)"),
        ("watch.style=no.json", "watch.style=no.json: no such file ({here}/no.json)"),
        ("model=no.gguf", "model=no.gguf: no such file ({here}/no.gguf)"),
        ("model=/nowhere/model", "model=/nowhere/model: no such folder"),
        ("model=./model", "model=./model: no such folder ({here}/model)"),
        ("model=a/b/c", "model=a/b/c: no such folder ({here}/a/b/c)"),
    ],
)
def test_a_missing_file_is_named_with_its_key_and_where_it_was_looked_for(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, override: str, said: str
) -> None:
    here = tmp_path_factory.mktemp("here")
    monkeypatch.chdir(here)
    load_recipe(whole / "recipe.yaml", to_begin=True)
    load_recipe(whole / "recipe.yaml", [override])  # a report needs none of them
    with pytest.raises(FileNotFoundError) as found:
        load_recipe(whole / "recipe.yaml", [override], to_begin=True)
    assert str(found.value) == said.format(here=here)


def test_a_readme_beside_the_recipe_is_pointed_at_where_a_file_is_missing(whole: Path) -> None:
    (whole / "README.md").write_text("make the data first")
    (whole / "t.jsonl").unlink()
    (whole / "v.jsonl").unlink()
    with pytest.raises(FileNotFoundError) as found:
        load_recipe(whole / "recipe.yaml", to_begin=True)
    missing = [f"{key}={key[0]}.jsonl: no such file ({whole / key[0]}.jsonl)" for key in ("train", "validation")]
    assert str(found.value) == f"{'; '.join(missing)}; see {whole / 'README.md'}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("type: string_check", "not JSON: .*; give a .json file or path/to/file.py:name"),
        ('{"type": "string_chek"}', "no grader type 'string_chek'; did you mean 'string_check'"),
    ],
)
def test_a_grader_that_cannot_be_read_is_named_with_its_key(whole: Path, text: str, said: str) -> None:
    file = whole / "g.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=f"^grader={file}: {said}"):
        named_grader("grader", str(file))
    with pytest.raises(ValueError, match=r"^watch\.style: .*'type'"):
        named_grader("watch.style", {})
