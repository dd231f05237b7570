"""Training: what a run holds while it goes, checked and loaded before anything is spent."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from graders.algebra.combine import WeightedSum
from graders.grader import Grader
from rft_loop.checks import check_advantage, check_metric
from rft_loop.drawing import Visits
from rft_loop.inputs import named_grader
from rft_loop.items import Rows, check_gradable, check_group_size, prompts_of, read_items
from rft_loop.judges import Spending
from rft_loop.model.checkpoint import Progress, all_checkpoints, load_checkpoint, settle, sha256
from rft_loop.model.network import NORM_OFFSET
from rft_loop.model.policy import Policy, choose_device, load_policy
from rft_loop.parallel.crew import Hand, together
from rft_loop.parallel.orders import make_ready, take_reference, take_up, weighed
from rft_loop.parallel.ranks import ALONE, Ranks
from rft_loop.pause import Pause
from rft_loop.reading import check_sees_enough
from rft_loop.recipe import REWARD, Recipe
from rft_loop.sampling.sampler import Sampler, make_sampler
from rft_loop.supervised import Pair, answers_of, written_answers
from rft_loop.watching.advice import advice_due, advise, through_generate
from rft_loop.watching.notices import idle_settings
from rft_loop.watching.record import Run, mend_torn_line, read_events

View = Callable[[dict[str, Any]], None]
BUDGET_WINDOW = 10  # steps over which the share of undecided grades is judged


class StoppedError(RuntimeError):
    """The run stopped itself: too many grades could not be decided."""


@dataclass
class Training:
    """What a run holds while it goes: made by `prepare`, moved on by `train`."""

    recipe: Recipe
    run: Run
    view: View
    grader: Grader
    items: Rows
    held_out: Rows
    policy: Policy
    sampler: Sampler
    optimizer: torch.optim.Optimizer
    progress: Progress
    prompts: list[list[int]]
    held_out_prompts: list[list[int]]
    undecided: deque[int]
    spending: Spending
    watched: dict[str, Grader]
    pause: Pause
    answers: list[Pair]  # what supervised steps learn; none where steps are of another kind
    saved: Progress  # where the newest checkpoint stands, or a run without one begins
    ranks: Ranks
    advised: set[str] = field(default_factory=set)  # causes that have been named and have not gone
    visits: Visits = field(default_factory=Visits)  # of each item, where the recipe draws by difficulty
    reference: Policy | None = None  # the weights of step 0, where the recipe measures how far the policy has gone

    def tell(self, kind: str, **fields: Any) -> None:
        self.view(self.run.event(kind, **fields))

    def size_of_weights(self, step: int) -> dict[str, float]:
        """What the `step` event says of the weights after steps at which the run looks at its figures."""
        return {"weight_rms": together(self, weighed)} if advice_due(step, self.recipe) else {}


def prepare(recipe: Recipe, run: Run, view: View, spending: Spending, pause: Pause, ranks: Ranks = ALONE) -> Training:
    """Everything checked and loaded before anything is spent; a run with checkpoints goes on from its newest."""
    torch.manual_seed(recipe.seed)
    grader = named_grader("grader", recipe.grader)
    check_group_size(grader, recipe.group_size)
    if recipe.advantage == "gdpo" and not isinstance(grader, WeightedSum):
        need = "advantage=gdpo needs a grader of the type weighted_sum, with a weight for each part"
        raise ValueError(f"{need}; {grader.label!r} is of the type {grader.type}")
    watched = {name: named_grader(f"watch.{name}", definition) for name, definition in recipe.watch.items()}
    items, held_out = read_items(recipe.train), read_items(recipe.validation)
    for judge in (grader, *watched.values()):
        judge.check_ready()
        check_sees_enough(judge, recipe.thinking)
        check_gradable(judge, items)
        check_gradable(judge, held_out)
    check_metric(recipe, grader)
    check_advantage(recipe, grader)
    answers = written_answers(recipe, items)
    data = {key: sha256(path) for key, path in files_of(recipe).items()}
    settle(run.checkpoints)
    saved = all_checkpoints(run.checkpoints)
    undecided: deque[int] = deque(maxlen=BUDGET_WINDOW)
    advised: set[str] = set()
    rows: list[dict[str, Any]] = []
    if saved:
        policy, progress = load_checkpoint(saved[-1], choose_device(recipe.device), recipe.precision)
        if progress.grader != grader.identity:
            raise ValueError(
                f"{run.folder} was graded by {progress.grader}, and the grader is now {grader.identity}: "
                "its definition or code has changed; start a new run, or restore the grader"
            )
        mend_torn_line(run)
        if progress.data != data:
            changed = next(key for key, digest in data.items() if progress.data.get(key) != digest)
            raise ValueError(
                f"{run.folder} was begun with other data: the file of {changed} has changed since. "
                "Restore it, or start a new run with -s name=..."
            )
        best: dict[str, Any] = {"best_step": progress.best_step, "best_reward": progress.best_reward}
        if recipe.best_by != REWARD:
            best |= {"best_by": recipe.best_by, "best_value": progress.best_value}
        view(run.event("resume", phase=progress.phase, step=progress.step, **best))
        events = read_events(run.folder)
        undecided.extend(event.get("undecided", 0) for event in events if event["event"] == "step")
        advised = last_advised(events, recipe)
    else:
        learned = read_items(recipe.warm_start.data, "assistant").rows if recipe.warm_start else []
        rows = [*items.rows, *learned, *answers.rows]
        policy = load_policy(recipe, rows, run.checkpoints)
        progress = Progress("warm_start", 0, grader.identity, data)
        mend_torn_line(run)
    hand, newest = Hand(ranks, recipe, policy), saved[-1] if saved else None
    together(hand, take_up, recipe, rows, run.checkpoints, newest)
    together(hand, make_ready, newest)
    policy = hand.policy
    prompts = prompts_of(policy, items, recipe.max_new_tokens, recipe.max_prompt_tokens)
    sampler = make_sampler(hand, prompts)
    training = Training(
        recipe, run, view, grader, items, held_out, policy, sampler, hand.optimizer, progress, prompts,
        prompts_of(policy, held_out, recipe.max_new_tokens, recipe.max_prompt_tokens),
        undecided, spending, watched, pause, answers_of(policy, answers), progress, ranks, advised,
    )  # fmt: skip
    if not saved:
        counts = {"train": len(items), "validation": len(held_out)}
        training.tell(
            "start", name=recipe.name, grader=grader.identity, definition=grader.to_wire(),
            models=list(grader.models()), items=counts, data=data,
            parameters=policy.parameters, **trained_part(recipe, policy), device=str(policy.device),
        )  # fmt: skip
        if recipe.sampler is None and not recipe.shard and policy.decoder is None:
            said = through_generate(policy.model.config.model_type, NORM_OFFSET)
            training.tell("advice", step=0, **said._asdict())
        for said in idle_settings(recipe, len(items), ranks.world):
            training.tell("advice", step=0, **said._asdict())
    return training


def trained_part(recipe: Recipe, policy: Policy) -> dict[str, Any]:
    """What the `start` event says of an adapter: how many of the parameters are trained, and in which form."""
    if recipe.lora is None:
        return {}
    trained = sum(weight.numel() for weight in policy.trained)
    return {"trained": trained, "lora": {"rank": recipe.lora.rank, "alpha": recipe.lora.alpha}}


def reference_of(training: Training) -> Policy | None:
    """The policy as it was before step 1, to measure a KL divergence from; None where the recipe charges nothing."""
    if training.recipe.kl.weight == 0 or training.recipe.method == "supervised":
        return None
    together(training, take_reference, training.run.checkpoints / "step-0")
    return training.reference


def files_of(recipe: Recipe) -> dict[str, Path]:
    """The data files of a recipe by its keys."""
    files = {"train": recipe.train, "validation": recipe.validation}
    if recipe.warm_start is not None:
        files["warm_start.data"] = recipe.warm_start.data
    if recipe.method == "supervised" and recipe.supervised is not None and not recipe.supervised.is_template:
        files["supervised.answers"] = Path(recipe.supervised.answers)
    return files


def last_advised(events: Sequence[Mapping[str, Any]], recipe: Recipe) -> set[str]:
    """The causes that a run's record has named and that had not gone when it last looked for them."""
    steps = [event for event in events if event["event"] == "step"]
    named = {(event["step"], event["name"]) for event in events if event["event"] == "advice"}
    advised: set[str] = set()
    for place, event in enumerate(steps, start=1):
        if advice_due(step := event["step"], recipe):
            found = {advice.name for advice in advise(steps[:place], recipe)}
            advised = {name for name in found if name in advised or (step, name) in named}
    return advised
