"""The network that samples and scores, beside transformers' own modules on the same weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rft_loop.learning import packed
from rft_loop.learning.optimizer import make_optimizer
from rft_loop.learning.update import score, update
from rft_loop.model import attention, network
from rft_loop.model.adapter import add_adapter
from rft_loop.model.base import Base
from rft_loop.model.policy import Policy, load_pretrained
from rft_loop.model.recompute import recompute_layers
from rft_loop.recipe import Lora, recipe_from
from rft_loop.sampling.decode import sample
from rft_loop.sampling.rollout import Rollout
from tests.conftest import make_tiny_policy
from tests.families import KNOWN, UNEVEN, known, prompts

MakePolicy = Callable[..., Policy]


@pytest.fixture(params=[-math.inf, math.inf], ids=["prompts apart", "prompts with their answers"])
def arranged(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts and answers lie in each of the ways that the trainer has."""
    monkeypatch.setattr(packed, "APART", request.param)


in_every_arrangement = pytest.mark.usefixtures("arranged")


def draw(policy: Policy, **options: Any) -> list[Rollout]:
    """Uneven answers to uneven prompts, one of them cut short to a single token."""
    found = sample(policy, UNEVEN, per_prompt=3, max_new_tokens=20, temperature=1.0, seed=1)
    short = replace(found[4], tokens=found[4].tokens[:1], logprobs=found[4].logprobs[:1])
    return [*found[:4], short, *found[5:]]


def through_transformers(policy: Policy) -> Policy:
    """The same weights, trained as a model is whose architecture the network does not know."""
    twin = replace(policy)
    vars(twin)["network"] = None
    return twin


def scored(policy: Policy, rollouts: list[Rollout]) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probs, and the gradient of their sum weighed by place."""
    policy.model.zero_grad(set_to_none=True)
    found = score(policy, rollouts, 0.7)
    weights = torch.linspace(-1, 1, int(found.mask.sum()))
    (found.logprobs[found.mask] * weights).sum().backward()  # type: ignore[no-untyped-call]
    gradients = [weight.grad.flatten() for weight in policy.trained if weight.grad is not None]
    return found.logprobs[found.mask].detach(), torch.cat(gradients)


def assert_as_transformers(policy: Policy, rollouts: list[Rollout]) -> None:
    """Log-probs and gradient are the same."""
    logprobs, gradient = scored(policy, rollouts)
    theirs, wanted = scored(through_transformers(policy), rollouts)
    torch.testing.assert_close(logprobs, theirs, atol=1e-5, rtol=0)
    assert float((gradient - wanted).norm() / wanted.norm()) < 1e-5


@known
@in_every_arrangement
def test_it_scores_and_teaches_as_transformers_does(tiny_policy: MakePolicy, family: dict[str, Any]) -> None:
    policy = tiny_policy(**family)
    rollouts = draw(policy)
    assert policy.scorer is not None
    assert_as_transformers(policy, rollouts)


@pytest.fixture(params=[True, False], ids=["float32 sums up alike", "float32 does not"])
def sums(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """What a network finds of its machine: as it is, or that attention has to be in float64."""
    if not request.param:
        monkeypatch.setattr(network, "sums_alike", lambda *_: False)
    return bool(request.param)


@known
@in_every_arrangement
@pytest.mark.parametrize("temperature", [1.0, 0.3])
@pytest.mark.usefixtures("sums")
def test_tokens_are_trained_on_with_the_log_probs_they_were_sampled_with(
    tiny_policy: MakePolicy, family: dict[str, Any], temperature: float
) -> None:
    policy = tiny_policy(**family)
    rollouts = sample(policy, UNEVEN, per_prompt=5, max_new_tokens=20, temperature=temperature, seed=1)
    assert_scored_as_sampled(policy, rollouts, temperature)


@pytest.mark.usefixtures("sums")
@pytest.mark.parametrize("family", KNOWN[::4], ids=lambda family: str(family["family"]))
def test_that_holds_for_long_prompts_beside_short_ones(tiny_policy: MakePolicy, family: dict[str, Any]) -> None:
    """From 192 keys on MKL sums up in blocks, from 512 on PyTorch does."""
    policy = tiny_policy(**family, max_position_embeddings=1024, hidden_size=128)
    rollouts = sample(
        policy, prompts(5, 180, 230, 370, 505, 700), per_prompt=3, max_new_tokens=24, temperature=1.0, seed=1
    )
    assert_scored_as_sampled(policy, rollouts)
    assert_as_transformers(policy, rollouts[6:9])


def assert_scored_as_sampled(policy: Policy, rollouts: list[Rollout], temperature: float = 1.0) -> None:
    """Whatever they are scored beside; to the last bit where products and activations are known to come out alike."""
    exact = torch.backends.mkl.is_available() and torch.get_num_threads() == 1  # type: ignore[no-untyped-call]
    loose = 0.0 if exact else 3e-6
    for together in (len(rollouts), 3, 1):
        for start in range(0, len(rollouts), together):
            part = rollouts[start : start + together]
            found = score(policy, part, temperature)
            sampled = torch.tensor([logprob for rollout in part for logprob in rollout.logprobs])
            torch.testing.assert_close(found.logprobs[found.mask].detach(), sampled, atol=loose, rtol=0)


@known
def test_attention_is_in_float64_where_float32_tells_what_is_beside_a_place(
    tiny_policy: MakePolicy, family: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    attended = attention.attended
    told = {
        "how many keys there are": lambda query, keys: keys.shape[2],
        "how many queries": lambda query, keys: query.shape[2],
    }
    for case, many in told.items():

        def telling(
            query: torch.Tensor, keys: torch.Tensor, *rest: Any, many: Callable[..., int] = many
        ) -> torch.Tensor:
            heard: torch.Tensor = attended(query, keys, *rest)
            return heard * (1 + 1e-7 * many(query, keys))

        monkeypatch.setattr(attention, "attended", telling)
        own = tiny_policy(**family).network
        assert own is not None
        assert own.attends_in == torch.float64, case


@pytest.mark.parametrize(
    ("places", "room"),
    [(1, 16), (16, 16), (17, 32), (192, 192), (193, 384), (384, 384), (385, 400), (512, 512), (513, 528), (800, 896)],
)
def test_on_a_cpu_attention_runs_over_sizes_that_sum_up_alike(tiny_policy: MakePolicy, places: int, room: int) -> None:
    own = tiny_policy().network
    assert own is not None
    assert own.room(places) == room


def test_on_a_gpu_a_mask_has_as_many_keys_as_kernels_take_without_a_copy(tiny_policy: MakePolicy) -> None:
    own = tiny_policy().network
    assert own is not None
    own.device = torch.device("cuda")
    assert [own.room(places) for places in (1, 8, 9, 200)] == [8, 8, 16, 200]


@in_every_arrangement
@pytest.mark.usefixtures("sums")
@pytest.mark.parametrize("more", [1, 3, 50])
def test_room_behind_a_row_changes_nothing(tiny_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch, more: int) -> None:
    policy = tiny_policy()
    monkeypatch.setattr(policy.network, "room", lambda places: places + more)
    assert_as_transformers(policy, draw(policy))


@in_every_arrangement
def test_answers_of_one_token_each_need_nothing_run_but_their_prompts(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    rollouts = [replace(each, tokens=each.tokens[:1], logprobs=each.logprobs[:1]) for each in draw(policy)]
    assert_as_transformers(policy, rollouts)


@in_every_arrangement
def test_what_prompts_and_answers_begin_with_alike_is_run_once(
    tiny_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tiny_policy()
    assert policy.network is not None
    answers = [(7, 8, 9), (7, 8, 5), (7, 8, 9), (7,), (6, 8, 9), (7, 8, 9, 5)]
    asked = [tuple(prompt) for prompt in [*UNEVEN, UNEVEN[0][:5], [*UNEVEN[1], 7, 8]]]
    rollouts = [Rollout(prompt, answer, (0.0,) * len(answer), "stop", "") for prompt in asked for answer in answers]
    run: list[int] = []
    hidden = policy.network.hidden

    def counted(weights: Any, tokens: torch.Tensor, *rest: Any) -> torch.Tensor:
        run.append(tokens.numel())
        return hidden(weights, tokens, *rest)

    monkeypatch.setattr(policy.network, "hidden", counted)
    assert_as_transformers(policy, rollouts)
    lines = [(*prompt, *answer[:-1]) for prompt in asked for answer in answers]
    distinct = {line[:count] for line in lines for count in range(1, len(line) + 1)}
    assert len(distinct) <= run[0] <= len(distinct) + 5  # a prompt that goes on as an answer of another is run again


@cache
def one_network() -> network.Network:
    """For tests that only read it."""
    found = make_tiny_policy().network
    assert found is not None
    return found


@given(data=st.data())
def test_each_answer_is_found_behind_its_prompt(data: st.DataObject) -> None:
    own = one_network()
    letters = st.integers(5, 7)
    asked = data.draw(st.lists(st.tuples(letters, letters), min_size=1, max_size=4, unique=True))
    answers = data.draw(
        st.lists(st.lists(letters, min_size=1, max_size=5).map(tuple), min_size=len(asked), max_size=12)
    )
    rest = st.lists(st.integers(0, len(asked) - 1), min_size=len(answers) - len(asked), max_size=len(answers))
    owner = data.draw(st.permutations([*range(len(asked)), *data.draw(rest)][: len(answers)]))
    found = packed.arranged(own, asked, owner, answers)
    ids, places, before = (part.tolist() for part in found[:3])
    lines = [(*asked[of], *answer[:-1]) for of, answer in zip(owner, answers, strict=True)]
    assert len(ids) == len({line[:count] for line in lines for count in range(1, len(line) + 1)})
    wanted = [
        (line[place], place) for line, answer in zip(lines, answers, strict=True) for place in range(1, 1 + len(answer))
    ]
    assert [(ids[at], places[at]) for at in before] == wanted


@in_every_arrangement
def test_layers_that_are_run_again_for_the_gradient_give_the_same_one(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    assert policy.network is not None
    rollouts = draw(policy)
    _, wanted = scored(policy, rollouts)
    policy.network.recomputes = True
    _, gradient = scored(policy, rollouts)
    assert torch.equal(gradient, wanted)


@in_every_arrangement
def test_a_gradient_is_the_same_to_the_last_bit_each_time_on_two_threads(tiny_policy: MakePolicy) -> None:
    """A prompt's keys and its last state are used by each of its answers; their gradients are added up in one order."""
    policy = tiny_policy(hidden_size=128, num_key_value_heads=2)
    rollouts = sample(policy, UNEVEN, per_prompt=16, max_new_tokens=20, temperature=1.0, seed=1)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first, *others = (scored(policy, rollouts)[1] for _ in range(3))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(first, other) for other in others)


@known
def test_in_float32_no_matrix_is_held_twice_and_an_update_moves_it_in_place(
    tiny_policy: MakePolicy, family: dict[str, Any]
) -> None:
    policy = tiny_policy(**family)
    assert policy.network is not None
    matrices = [stack for stack in policy.network.stacks() if stack.whole.ndim > 1]
    held = {weight.untyped_storage().data_ptr() for weight in policy.model.parameters() if weight.ndim > 1}
    assert {stack.whole.untyped_storage().data_ptr() for stack in matrices} == held
    spec = recipe_from({"model": "m", "train": "t", "validation": "v", "grader": "g"}, "test")
    rollouts = draw(policy)
    advantages = [(-1.0) ** place for place in range(len(rollouts))]
    for _ in range(2):
        update(policy, make_optimizer(policy, spec), rollouts, advantages, spec, 1e-2)
    torch.testing.assert_close(
        score(policy, rollouts, 1.0).logprobs, score(through_transformers(policy), rollouts, 1.0).logprobs,
        atol=1e-5, rtol=0,
    )  # fmt: skip
    drawn = draw(policy)
    theirs = score(through_transformers(policy), drawn, 1.0)
    for row, rollout in enumerate(drawn):
        wanted = theirs.logprobs[row, : len(rollout.tokens)].detach()
        torch.testing.assert_close(torch.tensor(rollout.logprobs), wanted, atol=1e-5, rtol=0)


@known
def test_weights_that_lie_in_one_another_are_saved_and_loaded_like_any(
    tiny_policy: MakePolicy, family: dict[str, Any], tmp_path: Path
) -> None:
    policy = tiny_policy(**family)
    before = {name: weight.detach().clone() for name, weight in policy.model.named_parameters()}
    assert policy.network is not None
    policy.model.save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    after = load_pretrained(str(tmp_path), torch.device("cpu"))
    assert after.network is not None or family["family"] == "gemma2"  # see `families`
    for name, weight in after.model.named_parameters():
        assert torch.equal(weight, before[name]), name


@known
def test_in_bfloat16_the_gradient_comes_to_the_float32_weights(tiny_policy: MakePolicy, family: dict[str, Any]) -> None:
    policy = replace(tiny_policy(**family), precision="bfloat16")
    rollouts = draw(policy)
    _, gradient = scored(policy, rollouts)
    _, wanted = scored(through_transformers(policy), rollouts)
    _, exact = scored(replace(policy, precision="float32"), rollouts)
    assert gradient.dtype == torch.float32
    error, theirs = ((each - exact).norm() / exact.norm() for each in (gradient, wanted))
    assert float(error) < max(0.05, 1.5 * float(theirs))


@pytest.mark.parametrize("tied", [True, False])
def test_in_bfloat16_a_frequent_token_s_embedding_learns_as_in_float32(tiny_policy: MakePolicy, tied: bool) -> None:
    policy = replace(tiny_policy(tie_word_embeddings=tied), precision="bfloat16")
    long = [Rollout((5, 9, 6), (10, 11, 10, 10) * 25, (0.0,) * 100, "length", "") for _ in range(8)]
    gradients = []
    for precision in ("bfloat16", "float32"):
        scored(replace(policy, precision=precision), long)
        gradients.append(policy.model.get_input_embeddings().weight.grad.clone())
    assert float((gradients[0] - gradients[1]).norm() / gradients[1].norm()) < 0.05


def test_a_weight_that_the_network_does_not_know_is_trained_through_transformers(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy(mlp_bias=True)
    assert policy.network is None
    scored(policy, draw(policy))
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in policy.trained)


def test_rotations_that_depend_on_a_row_s_length_are_left_to_transformers(tiny_policy: MakePolicy) -> None:
    scaled = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    assert tiny_policy(rope_parameters=scaled).network is None
    assert tiny_policy(rope_parameters=scaled | {"rope_type": "linear"}).network is not None


def test_tables_of_rotations_that_were_outgrown_stay_for_graphs_that_read_them(tiny_policy: MakePolicy) -> None:
    network = tiny_policy().network
    assert network is not None
    first = network.ropes
    for places in (20, 50, 60):
        network.reach(places)
    assert any(table is first for table in network.outgrown)
    assert len(network.outgrown) <= 4  # they double
    assert all(len(cos) >= 60 for cos, _ in network.ropes.values())


def test_recomputing_layers_builds_no_network_that_nothing_would_read(tiny_policy: MakePolicy) -> None:
    """It would be a second copy of the weights: beneath split ones, or of an adapter's sum while a server samples."""
    split, adapted, plain = tiny_policy(), tiny_policy(), tiny_policy()
    add_adapter(adapted.model, Lora(rank=2), Base("unused"), seed=0)
    recompute_layers(split, to_be_sharded=True)
    recompute_layers(adapted)
    recompute_layers(plain)
    assert "network" not in vars(split)
    assert "network" not in vars(adapted)
    assert plain.scorer is not None
    assert plain.scorer.recomputes


def test_rounded_weights_follow_the_weights(tiny_policy: MakePolicy) -> None:
    policy = replace(tiny_policy(), precision="bfloat16")
    rollouts = draw(policy)
    before = score(policy, rollouts, 1.0).logprobs.detach()
    with torch.no_grad():
        for weight in policy.model.parameters():
            weight.mul_(1.2)
    assert not torch.allclose(score(policy, rollouts, 1.0).logprobs.detach(), before, atol=1e-2)
