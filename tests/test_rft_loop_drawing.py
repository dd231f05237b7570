"""Items are drawn by the seed and the step, and by what the run's own record says of their last visits."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from rft_loop.drawing import RESTS, Visits, draw, draw_by_difficulty
from rft_loop.loop import train
from rft_loop.model.checkpoint import sha256
from rft_loop.recipe import Recipe, load_recipe
from rft_loop.watching.record import Run, create_run

LETTERS = Path(__file__).parent.parent / "examples" / "letters"
SMALL = ("steps=6", "items_per_step=4", "group_size=4", "eval_every=3", "save_every=2")


# Shuffled


@given(count=st.integers(1, 40), per_step=st.integers(1, 17), seed=st.integers(0, 99), epochs=st.integers(1, 3))
def test_every_epoch_uses_every_item_once(count: int, per_step: int, seed: int, epochs: int) -> None:
    steps = -(-count * epochs // per_step)
    drawn = [index for step in range(1, steps + 1) for index in draw(count, per_step, step, seed)]
    assert len(drawn) == steps * per_step
    for epoch in range(epochs):
        assert Counter(drawn[epoch * count : (epoch + 1) * count]) == Counter(range(count))


@given(count=st.integers(1, 40), per_step=st.integers(1, 17), step=st.integers(1, 200), seed=st.integers(0, 99))
def test_a_draw_depends_on_its_step_and_seed_alone(count: int, per_step: int, step: int, seed: int) -> None:
    """So a resumed run draws what the unbroken one would have: nothing is skipped, nothing drawn twice."""
    first = draw(count, per_step, step, seed)
    draw(count, per_step, step + 1, seed)
    assert draw(count, per_step, step, seed) == first


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {tuple(draw(20, 20, step, seed)) for step in (1, 2, 3) for seed in (0, 1, 2)}
    assert len(orders) == 9
    assert tuple(range(20)) not in orders


# By difficulty


def simulated(count: int, per_step: int, steps: int, seed: int, is_flat: Callable[[int, int], bool]) -> list[list[int]]:
    """The items of each step, where the group of an item shows no spread when `is_flat(item, step)` says so."""
    visits, chosen = Visits(), []
    for step in range(1, steps + 1):
        drawn = list(draw_by_difficulty(visits, count, per_step, step, seed))
        scores = [score for item in drawn for score in ((1.0, 1.0) if is_flat(item, step) else (0.0, 1.0))]
        visits.note(step, [item for item in drawn for _ in range(2)], scores, 2)
        chosen.append(drawn)
    return chosen


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 20), per_step=st.integers(1, 8), seed=st.integers(0, 99))
def test_every_item_is_visited_again_whatever_became_of_its_visits(count: int, per_step: int, seed: int) -> None:
    """The bound: an item waits at most 22 epochs. In the last half of a wait of w steps it is passed over only by items
    that have waited w / 20 (rests of 8 to 1, and a jitter of 1.25), so each of them comes at most 11 times."""
    flat = random.Random(seed).sample(range(count), count // 2)
    longest = 22 * -(-count // per_step) + 1
    steps = 3 * longest
    last = dict.fromkeys(range(count), 0)
    chosen = simulated(count, per_step, steps, seed, lambda item, step: item in flat or (item + step) % 7 == 0)
    for step, items in enumerate(chosen, start=1):
        last |= dict.fromkeys(items, step)
        assert len(items) == per_step
        assert len(set(items)) == min(per_step, count)  # no item twice where there are enough
        assert all(step - before <= longest for before in last.values())


def test_the_first_epoch_uses_every_item_nearly_once() -> None:
    chosen = simulated(40, 4, 10, 0, lambda item, step: True)
    assert len({item for items in chosen for item in items}) >= 36


def test_items_without_spread_come_less_often_and_come_back_when_they_have_it_again() -> None:
    flat = set(range(10))
    chosen = simulated(40, 4, 600, 0, lambda item, step: item in flat and step <= 300)
    before = Counter(item for items in chosen[100:300] for item in items)
    after = Counter(item for items in chosen[400:] for item in items)
    ratio = [sum(counts[item] for item in flat) / sum(counts[item] for item in range(10, 20))
             for counts in (before, after)]  # fmt: skip
    assert ratio[0] == pytest.approx(1 / RESTS[-1], rel=0.3)
    assert ratio[1] == pytest.approx(1, rel=0.1)


def test_where_nothing_has_spread_all_items_come_alike() -> None:
    counts = Counter(item for items in simulated(20, 4, 500, 0, lambda item, step: True) for item in items)
    assert max(counts.values()) - min(counts.values()) <= 10


@pytest.mark.parametrize(
    ("visits", "rest"),
    [
        ([], 1),
        ([(1, 1)], 1),  # once may be chance
        ([(1, 1), (0, 0)], 2),
        ([(1, 1), (1, 1), (1, 1)], 4),
        ([(1, 1)] * 9, 8),
        ([(1, 1)] * 9 + [(1, 0)], 1),
        ([(1, 1), (1, 1), (None, None), (None, 1)], 2),  # what could not be decided says nothing
    ],
)
def test_an_item_rests_the_longer_the_more_visits_had_no_spread(visits: list[tuple[Any, Any]], rest: int) -> None:
    seen = Visits()
    for step, scores in enumerate(visits, start=1):
        seen.note(step, [3, 3], scores, 2)
    assert seen.rest(3) == rest


@given(count=st.integers(2, 30), per_step=st.integers(1, 9), seed=st.integers(0, 99), fill=st.integers(1, 3))
def test_a_fill_draws_others_than_the_step_has(count: int, per_step: int, seed: int, fill: int) -> None:
    first = draw_by_difficulty(Visits(), count, per_step, 1, seed)
    more = draw_by_difficulty(Visits(), count, per_step, 1, seed, fill, set(first))
    assert not set(more) & set(first)
    assert len(set(more)) == len(more) == min(per_step, max(0, count - per_step))


# In a run


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., tuple[Recipe, Run]]:
    torch.set_num_threads(1)

    def make(*options: str, name: str) -> tuple[Recipe, Run]:
        recipe = load_recipe(LETTERS / "recipe.yaml", [f"runs={tmp_path}", f"name={name}", *SMALL, *options])
        return recipe, create_run(recipe)

    return make


def items_of(run: Run, step: int) -> list[int]:
    return list(parquet.read_table(run.samples_file("train", step))["item"].to_pylist())


@pytest.mark.parametrize("refill", [0, 2])
def test_a_broken_run_that_draws_by_difficulty_ends_with_the_weights_of_an_unbroken_one(
    start: Any, tmp_path: Path, refill: int
) -> None:
    few = tmp_path / "few.jsonl"  # so few that items come again within six steps
    few.write_text("".join((LETTERS / "train.jsonl").read_text().splitlines(keepends=True)[:9]))
    options = ("drawing=by_difficulty", f"refill={refill}", f"train={few}")
    recipe, run = start(*options, name="whole")
    train(recipe, run)
    broken, part = start(*options, "steps=5", name="broken")
    train(broken, part)
    (part.folder / "summary.json").unlink()
    shutil.rmtree(part.checkpoints / "step-5")  # it goes on from step 4, and draws step 5 again
    train(recipe.model_copy(update={"name": "broken"}), part)
    assert [items_of(part, step) for step in range(1, 7)] == [items_of(run, step) for step in range(1, 7)]
    one, two = (sha256(each.checkpoints / "step-6" / "model.safetensors") for each in (run, part))
    assert one == two


def test_a_record_with_a_part_missing_is_no_record_to_draw_by(start: Any) -> None:
    recipe, run = start("drawing=by_difficulty", "steps=4", name="gap")
    train(recipe, run)
    (run.folder / "summary.json").unlink()
    shutil.rmtree(run.checkpoints / "step-4")
    run.samples_file("train", 1).unlink()
    with pytest.raises(
        ValueError, match=r"part-train-000001\.parquet is missing, and drawing=by_difficulty goes by it"
    ):
        train(recipe, run)


def test_two_rows_with_the_same_prompt_are_groups_of_their_own(start: Any, tmp_path: Path) -> None:
    row = (LETTERS / "train.jsonl").read_text().splitlines(keepends=True)[0]
    twins = tmp_path / "twins.jsonl"
    twins.write_text(row * 2)
    recipe, run = start(f"train={twins}", "items_per_step=2", "steps=1", name="twins")
    train(recipe, run)
    rows = parquet.read_table(run.samples_file("train", 1)).to_pylist()
    assert Counter((row["item"], row["group"]) for row in rows) == {
        (items_of(run, 1)[0], 0): 4,
        (items_of(run, 1)[4], 1): 4,
    }
    assert {row["item"] for row in rows} == {0, 1}
    for group in (rows[:4], rows[4:]):
        assert sum(row["advantage"] for row in group) == pytest.approx(0, abs=1e-5)
