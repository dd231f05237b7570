"""Rollouts from a server: a real one, in a process of its own, that answers as vLLM does."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pyarrow import parquet

from graders.service.wire import Response
from rft_loop.cli import main
from rft_loop.loop import train
from rft_loop.model.policy import load_policy
from rft_loop.recipe import Recipe, load_recipe
from rft_loop.sampling import sampling_server
from rft_loop.sampling.sampling_server import ServerError, ServerSampler
from rft_loop.watching.advice import advise
from rft_loop.watching.record import Run, create_run, open_run, read_events

ROOT = Path(__file__).parent.parent
LETTERS = ROOT / "examples" / "letters"
SMALL = ("steps=6", "items_per_step=4", "group_size=4", "eval_every=3", "save_every=2")
DEAF = '[{"url": "/deaf", "body": {"model_path": "{{folder}}"}}]'
ALWAYS_P = "grader={type: string_check, operation: eq, input: '{{sample.output_text}}', reference: P}"


class Server:
    """One server process and its address."""

    def __init__(self, forked: Any) -> None:
        self.process = forked(ROOT / "tests" / "sampling_server.py")
        deadline = time.monotonic() + 120
        while not (port := self.process.out()).endswith("\n"):
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.01)
        self.base_url = f"http://127.0.0.1:{int(port)}/v1"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(autouse=True)
def one_thread_and_short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(sampling_server, "WAITS", (0.01, 0.1))


@pytest.fixture(scope="module")
def server(forked: Any) -> Iterator[Server]:
    one = Server(forked)
    yield one
    one.kill()


@pytest.fixture
def short(tmp_path: Path) -> str:
    """The setting of a validation split of a few rows: the server answers them one by one."""
    file = tmp_path / "validation.jsonl"
    file.write_text("".join((LETTERS / "validation.jsonl").read_text().splitlines(keepends=True)[:6]))
    return f"validation={file}"


def settings(folder: Path, address: str, *more: str, kind: str = "vllm") -> list[str]:
    server = (f"sampler.base_url={address}", f"sampler.kind={kind}", "sampler.model=letters")
    return [f"runs={folder}", *server, f"sampler.weights={folder / 'weights'}", *more]


def started(folder: Path, address: str, *more: str, kind: str = "vllm") -> tuple[Recipe, Run]:
    recipe = load_recipe(LETTERS / "recipe.yaml", settings(folder, address, *more, kind=kind))
    return recipe, create_run(recipe)


def of_kind(run: Run, kind: str) -> list[dict[str, Any]]:
    return [event for event in read_events(run.folder) if event["event"] == kind]


def gaps(run: Run) -> list[float]:
    return [event["sampling/sampling_logp_difference/max"] for event in of_kind(run, "step")]


@pytest.mark.parametrize("kind", ["vllm", "sglang"])
def test_a_run_learns_from_rollouts_that_a_server_drew_with_the_weights_it_was_handed(
    server: Server, short: str, tmp_path: Path, kind: str
) -> None:
    more = ("steps=12", "items_per_step=4", "group_size=12", "eval_every=12", "learning_rate=1e-2", "warmup_steps=0")
    recipe, run = started(tmp_path, server.base_url, short, *more, ALWAYS_P, kind=kind)
    train(recipe, run)
    rewards = [event["reward"] for event in of_kind(run, "step")]
    assert sum(rewards[-4:]) / 4 > sum(rewards[:3]) / 3 + 0.15
    assert max(gaps(run)) < 1e-4
    assert not [event for event in of_kind(run, "advice") if event["name"] == "weights_do_not_arrive"]
    row = parquet.read_table(run.samples_file("train", 1)).to_pylist()[0]
    assert len(row["token_ids"]) == len(row["logprobs"]) == row["tokens"]
    assert [folder.name for folder in (tmp_path / "weights").iterdir()] == ["step-000012"]


def test_weights_that_do_not_arrive_are_named_in_the_run(server: Server, short: str, tmp_path: Path) -> None:
    recipe, run = started(
        tmp_path,
        server.base_url,
        short,
        *SMALL,
        "steps=9",
        "learning_rate=1e-2",
        f"sampler.reload={DEAF}",
        kind="other",
    )
    train(recipe, run)
    advice = next(event for event in of_kind(run, "advice") if event["name"] == "weights_do_not_arrive")
    assert "(other)" in advice["remedy"]
    assert str(tmp_path / "weights") in advice["remedy"]


def test_between_hand_overs_the_server_samples_with_older_weights_and_validation_with_the_newest(
    server: Server, short: str, tmp_path: Path
) -> None:
    recipe, run = started(tmp_path, server.base_url, short, *SMALL, "sampler.sync_every=2")
    held: list[str] = []

    def look(event: dict[str, Any]) -> None:
        if event["event"] == "step":
            held.extend(folder.name[:11] for folder in (tmp_path / "weights").iterdir())

    train(recipe, run, look)
    assert held == [f"step-{step:06d}" for step in (0, 0, 2, 3, 3, 5)]  # step 3 was validated
    assert all(gap < 1e-4 for step, gap in enumerate(gaps(run), start=1) if step in (1, 3, 4, 6))


def test_a_server_that_is_not_there_is_refused_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [word for each in settings(tmp_path, "http://127.0.0.1:9/v1") for word in ("-s", each)]
    monkeypatch.setattr(sys, "argv", ["assay", "train", str(LETTERS / "recipe.yaml"), *given])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert "http://127.0.0.1:9" in told
    assert "start the server, or mend sampler.base_url" in told


def test_a_server_killed_in_the_run_stops_it_and_another_one_goes_on(
    server: Server, short: str, tmp_path: Path, forked: Any
) -> None:
    dying = Server(forked)
    recipe, run = started(tmp_path, dying.base_url, short, *SMALL)

    def kill(event: dict[str, Any]) -> None:
        if event["event"] == "step" and event["step"] == 4:
            dying.kill()

    with pytest.raises(ServerError, match="does not answer"):
        train(recipe, run, kill)
    assert "does not answer" in of_kind(run, "stop")[0]["reason"]
    again = load_recipe(LETTERS / "recipe.yaml", settings(tmp_path, server.base_url, short, *SMALL))
    run, _ = open_run(run.folder)
    assert train(again, run).step == 6
    assert [event["step"] for event in of_kind(run, "step")] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["sampler.request={as: bare}"], "without token ids .*return_token_ids"),
        (
            ["sampler.request={as: raw}", "temperature=0.5"],
            "at temperature 1, and the recipe samples at 0.5; .*processed_logprobs",
        ),
        (["sampler.kind=other", 'sampler.reload=[{"url": "/nowhere"}]'], "/nowhere did not load .*HTTP 404"),
        (["sampler.api_key_env=NO_SUCH_KEY"], "set the environment variable NO_SUCH_KEY"),
    ],
)
def test_a_server_whose_answers_cannot_be_trained_on_is_refused_with_what_to_set(
    server: Server, short: str, tmp_path: Path, more: list[str], said: str
) -> None:
    recipe, run = started(tmp_path, server.base_url, short, *SMALL, *more)
    with pytest.raises(ValueError, match=said):
        train(recipe, run)
    assert not of_kind(run, "step")


@pytest.mark.parametrize("manner", ["named", "overloaded"])
def test_ids_may_come_as_names_of_tokens_and_answers_at_the_second_try(
    server: Server, short: str, tmp_path: Path, manner: str
) -> None:
    more = ("steps=2", f"sampler.request={{as: {manner}}}")
    recipe, run = started(tmp_path, server.base_url, short, *SMALL, *more)
    train(recipe, run)
    assert max(gaps(run)) < 1e-4


def answer(**choice: Any) -> Response:
    return Response(200, {}, json.dumps({"choices": [choice]}).encode())


def test_what_comes_after_an_end_token_is_left_out_and_a_cut_answer_stays_cut(tmp_path: Path) -> None:
    recipe = load_recipe(LETTERS / "recipe.yaml", settings(tmp_path, "http://127.0.0.1:9/v1"))
    rows = [json.loads(line) for line in recipe.train.read_text().splitlines()]
    policy = load_policy(recipe, rows)
    assert recipe.sampler is not None
    sampler = ServerSampler(policy, recipe.sampler)
    (end,) = policy.end_ids
    other = next(token for token in range(5) if token != end)

    def rollout(ids: list[int], finish: str, logprobs: list[float] | None = None) -> Any:
        given = {"token_logprobs": logprobs if logprobs is not None else [-1.0] * len(ids)}
        return sampler._rollout([1], "there", answer(token_ids=ids, finish_reason=finish, logprobs=given))

    assert rollout([other, end, other], "length").tokens == (other, end)
    assert rollout([other, end], "length").finish == "stop"
    assert rollout([other, other], "length").finish == "length"
    for ids, finish, logprobs, said in (
        ([other], "stop", None, "no end token"),
        ([other, end], "stop", [-1.0], "one each is due"),
        ([other, end], "stop", [-1.0, float("nan")], "one each is due"),
        ([], "stop", None, "one each is due"),
    ):
        with pytest.raises(ServerError, match=said):
            rollout(ids, finish, logprobs)


def test_an_unweighed_difference_is_advised_on_and_a_weighed_one_is_not(tmp_path: Path) -> None:
    steps = [{"sampling/sampling_logp_difference/max": 0.1, "reward": 0.5, "reward_std": 0.5} for _ in range(3)]
    for correction, named in (("none", True), ("token", False)):
        more = f"importance_correction={correction}"
        recipe = load_recipe(LETTERS / "recipe.yaml", settings(tmp_path, "http://127.0.0.1:9/v1", more))
        found = {advice.name: advice.remedy for advice in advise(steps, recipe)}
        assert ("sampler_and_trainer_apart" in found) == named
        assert "weights_do_not_arrive" not in found


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("sampler.kind=other", "reload is for kind: other, and needed there"),
        ("sampler.base_url=http://key@host/v1", "api_key_env"),
        ("sampler.sync_evry=2", "sync_every"),
        ("top_k=5", "leave out top_k and top_p"),
    ],
)
def test_a_section_that_makes_no_sense_is_refused_by_its_key(tmp_path: Path, setting: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        load_recipe(LETTERS / "recipe.yaml", settings(tmp_path, "http://127.0.0.1:9/v1", setting))
