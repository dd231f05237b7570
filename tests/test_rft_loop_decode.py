"""Decoding, checked against a plain forward pass over each answer alone and against transformers' own `generate`."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rft_loop.learning.update import score
from rft_loop.model.network import NORM_OFFSET
from rft_loop.model.policy import Policy, make_policy
from rft_loop.sampling.choose import Choice, truncated
from rft_loop.sampling.decode import sample
from rft_loop.sampling.rollout import Rollout
from rft_loop.sampling.shared_rows import SharedRows
from rft_loop.sampling.slots import Slots
from tests.families import KNOWN, UNEVEN, families, known

PAD, END = 0, 1
MakePolicy = Callable[..., Policy]


def draw(policy: Policy, asked: Sequence[Sequence[int]] = UNEVEN, **options: Any) -> list[Rollout]:
    defaults: dict[str, Any] = {"per_prompt": 3, "max_new_tokens": 20, "temperature": 1.0, "seed": 1}
    return sample(policy, asked, **(defaults | options))


def greedy(policy: Policy, asked: Sequence[Sequence[int]] = UNEVEN, **options: Any) -> list[tuple[int, ...]]:
    return [rollout.tokens for rollout in draw(policy, asked, per_prompt=1, temperature=0.0, **options)]


@torch.no_grad()
def alone(policy: Policy, rollout: Rollout, temperature: float) -> torch.Tensor:
    """Log-probs of a rollout's tokens by one forward pass over it: no padding, no cache, nothing shared."""
    ids = torch.tensor([[*rollout.prompt, *rollout.tokens]])
    logits = policy.model(input_ids=ids, use_cache=False).logits[0, len(rollout.prompt) - 1 : -1]
    logprobs = torch.log_softmax(logits / temperature, dim=-1)
    return logprobs.gather(-1, torch.tensor(rollout.tokens)[:, None])[:, 0]


def close(family: dict[str, Any]) -> float:
    """A recurrent state multiplies rounding errors from token to token; keys and values do not."""
    return 1e-3 if family["family"] == "mamba" else 1e-5


def largest_gap(found: Sequence[float] | torch.Tensor, wanted: torch.Tensor) -> float:
    found = torch.as_tensor(found)
    assert found.shape == wanted.shape
    return float((found - wanted).abs().max())


@families
def test_greedy_is_what_transformers_generates(tiny_policy: MakePolicy, family: dict[str, Any]) -> None:
    policy = tiny_policy(**family)
    for prompt, tokens in zip(UNEVEN, greedy(policy), strict=True):
        ids = torch.tensor([prompt])
        wanted = policy.model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=20, pad_token_id=PAD
        )
        assert list(tokens) == wanted[0, len(prompt) :].tolist()


@families
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_sampled_log_probs_are_those_of_the_answer_alone(
    tiny_policy: MakePolicy, family: dict[str, Any], temperature: float
) -> None:
    policy = tiny_policy(**family)
    rollouts = draw(policy, temperature=temperature)
    assert len({len(rollout.tokens) for rollout in rollouts}) > 1  # rows did end at different times
    for rollout in rollouts:
        assert largest_gap(rollout.logprobs, alone(policy, rollout, temperature)) < close(family)


@families
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_the_trainer_scores_what_the_sampler_drew(
    tiny_policy: MakePolicy, family: dict[str, Any], temperature: float
) -> None:
    policy = tiny_policy(**family)
    rollouts = draw(policy, temperature=temperature)
    scored = score(policy, rollouts, temperature)
    for row, rollout in enumerate(rollouts):
        found = scored.logprobs[row, : len(rollout.tokens)].detach()
        assert largest_gap(rollout.logprobs, found) < close(family)
        assert largest_gap(found, alone(policy, rollout, temperature)) < close(family)
        assert scored.tokens[row, : len(rollout.tokens)].tolist() == list(rollout.tokens)
        assert scored.mask[row].tolist() == [i < len(rollout.tokens) for i in range(scored.mask.shape[1])]


def test_the_trainer_scores_rollouts_in_any_order_and_company(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    rollouts = draw(policy)
    random.Random(0).shuffle(rollouts)
    together = score(policy, rollouts, 1.0).logprobs
    for row, rollout in enumerate(rollouts):
        by_itself = score(policy, [rollout], 1.0).logprobs[0].detach()
        assert largest_gap(by_itself, together[row, : len(rollout.tokens)].detach()) < 1e-5


def test_entropy_is_that_of_the_whole_next_token_distribution(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    rollout = draw(policy)[0]
    ids = torch.tensor([[*rollout.prompt, *rollout.tokens]])
    with torch.no_grad():
        logits = policy.model(input_ids=ids).logits[0, len(rollout.prompt) - 1 : -1]
    wanted = torch.distributions.Categorical(logits=logits / 0.7).entropy()  # type: ignore[no-untyped-call]
    assert largest_gap(score(policy, [rollout], 0.7).entropy[0], wanted) < 1e-5


@pytest.mark.parametrize("decode_rows", [1, 2, 4, 5, 512])
def test_greedy_does_not_depend_on_how_many_are_decoded_side_by_side(tiny_policy: MakePolicy, decode_rows: int) -> None:
    policy = tiny_policy()
    assert greedy(policy, decode_rows=decode_rows) == [greedy(policy, [prompt])[0] for prompt in UNEVEN]


def test_greedy_does_not_depend_on_the_order_of_the_prompts(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    assert greedy(policy, UNEVEN[::-1]) == greedy(policy)[::-1]


def test_greedy_answers_of_one_group_are_all_the_same(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    found = [rollout.tokens for rollout in draw(policy, per_prompt=3, temperature=0.0)]
    assert found == [tokens for tokens in greedy(policy) for _ in range(3)]


@pytest.mark.parametrize(("per_prompt", "decode_rows"), [(3, 4), (5, 12), (4, 3)])
def test_no_rollout_is_lost_where_rows_do_not_divide(
    tiny_policy: MakePolicy, per_prompt: int, decode_rows: int
) -> None:
    rollouts = draw(tiny_policy(), per_prompt=per_prompt, decode_rows=decode_rows)
    assert [list(rollout.prompt) for rollout in rollouts] == [prompt for prompt in UNEVEN for _ in range(per_prompt)]


def test_two_copies_of_a_prompt_stay_two_groups(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    rollouts = draw(policy, [UNEVEN[0], UNEVEN[1], UNEVEN[0]])
    assert [list(rollout.prompt) for rollout in rollouts[6:]] == [UNEVEN[0]] * 3
    assert [rollout.tokens for rollout in rollouts[:3]] != [rollout.tokens for rollout in rollouts[6:]]


def test_the_same_seed_gives_the_same_rollouts_and_another_seed_others(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    assert draw(policy, seed=5) == draw(policy, seed=5)
    assert draw(policy, seed=5) != draw(policy, seed=6)


def test_sampling_leaves_the_global_random_state_alone(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    before = torch.random.get_rng_state()
    draw(policy)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_stop_means_an_end_token_kept_and_length_means_cut_off(tiny_policy: MakePolicy, temperature: float) -> None:
    rollouts = draw(tiny_policy(), per_prompt=8, max_new_tokens=12, temperature=temperature)
    if temperature:
        assert {rollout.finish for rollout in rollouts} == {"stop", "length"}
    for rollout in rollouts:
        assert END not in rollout.tokens[:-1]
        assert len(rollout.logprobs) == len(rollout.tokens) >= 1
        if rollout.finish == "stop":
            assert rollout.tokens[-1] == END
        else:
            assert rollout.tokens[-1] != END
            assert len(rollout.tokens) == 12


def test_an_end_token_at_the_very_last_place_is_an_end(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    natural = next(r for r in draw(policy, max_new_tokens=20) if r.finish == "stop" and len(r.tokens) > 1)
    length = len(natural.tokens)
    assert natural in draw(policy, max_new_tokens=length)
    cut = [r for r in draw(policy, max_new_tokens=length - 1) if r.prompt == natural.prompt]
    assert any(r.tokens == natural.tokens[:-1] and r.finish == "length" for r in cut)


def test_the_text_leaves_the_end_token_out(tiny_policy: MakePolicy) -> None:
    for rollout in draw(tiny_policy()):
        assert "<|" not in rollout.text
        assert len(rollout.text) <= len(rollout.tokens)


def test_every_end_token_of_the_generation_config_ends_an_answer(tiny_policy: MakePolicy) -> None:
    ends = [END, 9, 12]
    rollouts = draw(tiny_policy(ends=ends), per_prompt=30)
    assert {rollout.tokens[-1] for rollout in rollouts if rollout.finish == "stop"} == set(ends)
    assert not any(set(rollout.tokens[:-1]) & set(ends) for rollout in rollouts)


def test_a_sampled_pad_token_does_not_end_an_answer(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    rollouts = [rollout for rollout in draw(policy, per_prompt=30) if PAD in rollout.tokens[:-1]]
    assert rollouts
    scored = score(policy, rollouts, 1.0)  # nor is it masked
    for row, rollout in enumerate(rollouts):
        assert int(scored.mask[row].sum()) == len(rollout.tokens)
        assert largest_gap(rollout.logprobs, alone(policy, rollout, 1.0)) < 1e-5


def test_the_end_token_counts_even_where_it_is_the_pad_token_too(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    policy.tokenizer.pad_token = policy.tokenizer.eos_token
    policy.model.config.pad_token_id = policy.tokenizer.eos_token_id
    policy = make_policy(policy.model, policy.tokenizer)
    rollouts = [rollout for rollout in draw(policy) if rollout.finish == "stop"]
    assert rollouts
    scored = score(policy, rollouts, 1.0)
    for row, rollout in enumerate(rollouts):
        assert rollout.tokens[-1] == policy.tokenizer.pad_token_id
        assert int(scored.mask[row].sum()) == len(rollout.tokens)
        assert largest_gap(rollout.logprobs, scored.logprobs[row, : len(rollout.tokens)].detach()) < 1e-5


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_tokens_are_drawn_as_often_as_their_probability_says(tiny_policy: MakePolicy, temperature: float) -> None:
    policy = tiny_policy()
    draws = 20_000
    rollouts = draw(policy, [UNEVEN[0]], per_prompt=draws, max_new_tokens=1, temperature=temperature, seed=11)
    with torch.no_grad():
        logits = policy.model(input_ids=torch.tensor([UNEVEN[0]])).logits[0, -1].double()
    expected = torch.softmax(logits / temperature, dim=-1) * draws
    counts = Counter(rollout.tokens[0] for rollout in rollouts)
    found = torch.tensor([float(counts[token]) for token in range(len(expected))])
    common = expected >= 5  # the usual condition of the chi-squared test; the rare ones make one class together
    chi_squared = ((found - expected) ** 2 / expected)[common].sum()
    rare = expected[~common].sum()
    if rare > 0:
        assert abs(found[~common].sum() - rare) <= 5 * max(1.0, float(rare)) ** 0.5
    freedom = int(common.sum()) - 1
    assert chi_squared < freedom + 4 * (2 * freedom) ** 0.5


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_one_new_token_is_enough(tiny_policy: MakePolicy, temperature: float) -> None:
    policy = tiny_policy()
    rollouts = draw(policy, max_new_tokens=1, temperature=temperature)
    for rollout in rollouts:
        assert len(rollout.tokens) == len(rollout.logprobs) == 1
        assert rollout.finish == ("stop" if rollout.tokens[0] == END else "length")
        assert largest_gap(rollout.logprobs, alone(policy, rollout, temperature or 1.0)) < 1e-5
    assert score(policy, rollouts, 1.0).logprobs.shape == (len(rollouts), 1)


def drawn(policy: Policy, asked: Sequence[Sequence[int]] = UNEVEN, **options: Any) -> list[tuple[int, ...]]:
    return [rollout.tokens for rollout in draw(policy, asked, **options)]


@known
def test_every_known_architecture_is_decoded_by_the_decoder(tiny_policy: MakePolicy, family: dict[str, Any]) -> None:
    assert len(KNOWN) == len(NORM_OFFSET)
    assert tiny_policy(**family).decoder is not None


def test_a_model_that_only_looks_like_a_known_one_goes_through_generate(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    policy.model.model.norm.forward = lambda hidden: hidden.tanh()
    assert policy.decoder is None
    assert all(largest_gap(found.logprobs, alone(policy, found, 1.0)) < 1e-5 for found in draw(policy))


@known
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_generate_draws_what_the_decoder_draws(
    tiny_policy: MakePolicy, family: dict[str, Any], temperature: float
) -> None:
    policy = tiny_policy(**family)
    without = replace(policy)
    vars(without)["decoder"] = None
    for one, other in zip(draw(policy, temperature=temperature), draw(without, temperature=temperature), strict=True):
        assert one.tokens == other.tokens
        assert one.finish == other.finish
        assert largest_gap(one.logprobs, torch.tensor(other.logprobs)) < 1e-5


@pytest.mark.parametrize(
    "own",
    [
        {"suppress_tokens": [9, 10, 11]},
        {"min_new_tokens": 15},
        {"bad_words_ids": [[12], [13]]},
        {"forced_eos_token_id": 1},
        {"repetition_penalty": 1.7},
        {"encoder_repetition_penalty": 1.5},
        {"exponential_decay_length_penalty": (2, 1.5)},
        {"no_repeat_ngram_size": 1},
        {"max_time": 1e-9},
        {"num_beams": 2},
        {"do_sample": True, "top_k": 2, "temperature": 0.3},
    ],
    ids=lambda own: next(iter(own)),
)
def test_no_setting_of_the_model_s_own_changes_what_generate_draws(
    tiny_policy: MakePolicy, own: dict[str, Any]
) -> None:
    policy = tiny_policy("gpt2")
    wanted = draw(policy)
    for name, value in own.items():
        setattr(policy.model.generation_config, name, value)
    assert draw(policy) == wanted
    assert all(getattr(policy.model.generation_config, name) == value for name, value in own.items())


@known
@pytest.mark.parametrize("decode_rows", [3, 6, 9])
def test_a_rollout_does_not_depend_on_what_is_decoded_beside_it(
    tiny_policy: MakePolicy, family: dict[str, Any], decode_rows: int
) -> None:
    policy = tiny_policy(**family)
    assert drawn(policy, decode_rows=decode_rows) == drawn(policy)


def test_a_prompt_draws_by_its_number_wherever_it_is_drawn(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    whole = drawn(policy)
    assert drawn(policy, UNEVEN[4:], numbers=[4, 5]) + drawn(policy, UNEVEN[:4]) == whole[12:] + whole[:12]


@pytest.mark.parametrize(("stride", "bucket"), [(1, 16), (3, 1), (8, 32), (64, 128)])
def test_how_often_it_looks_for_ended_rows_changes_nothing(tiny_policy: MakePolicy, stride: int, bucket: int) -> None:
    policy = tiny_policy()
    decoder = policy.decoder
    assert decoder is not None
    choice = Choice(1.0, 1, [(n, i) for n in range(len(UNEVEN)) for i in range(3)], 20)
    ends = torch.tensor(sorted(policy.end_ids))
    with torch.inference_mode():
        slots = Slots(decoder, ends, 6, 40, stride, bucket)
        for _ in range(2):  # the same rows serve one run after another
            assert [tuple(tokens) for tokens, _ in slots.run(UNEVEN, 3, choice, slots.rows)] == drawn(policy)


@known
def test_rows_that_are_kept_from_call_to_call_change_nothing(tiny_policy: MakePolicy, family: dict[str, Any]) -> None:
    kept = tiny_policy(**family)
    assert kept.decoder is not None
    calls: list[dict[str, Any]] = [
        {"per_prompt": 8},
        {"asked": UNEVEN[:1], "max_new_tokens": 3},
        {"asked": UNEVEN[::-1], "temperature": 0.0, "decode_rows": 4},
        {"per_prompt": 12, "max_new_tokens": 30},
    ]
    rows = []
    for call in calls:
        assert draw(kept, **call) == draw(tiny_policy(**family), **call)
        rows.append(kept.decoder.kept)
    assert rows[0] is rows[1] is rows[2] is not rows[3]


def test_every_call_decodes_as_many_side_by_side_as_it_was_asked_to(
    tiny_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, under_way = tiny_policy(), [0]
    advance = SharedRows._advance

    def counted(shared: SharedRows) -> None:
        under_way[-1] = max(under_way[-1], len(shared.lanes))
        advance(shared)

    monkeypatch.setattr(SharedRows, "_advance", counted)
    for rows in (512, 3, 7):
        draw(policy, decode_rows=rows)
        under_way.append(0)
    assert under_way == [18, 3, 6, 0]


def test_an_activation_may_be_a_plain_function(tiny_policy: MakePolicy) -> None:
    policy, wanted = tiny_policy(), draw(tiny_policy())
    for layer in policy.model.base_model.layers:
        del layer.mlp.act_fn
        layer.mlp.act_fn = torch.nn.functional.silu
    assert policy.decoder is not None
    assert draw(policy) == wanted


def test_weights_that_are_no_numbers_leave_nothing_behind(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    before = draw(policy)
    right = {name: weight.clone() for name, weight in policy.model.state_dict().items()}
    with torch.no_grad():
        for weight in policy.trained:
            weight.fill_(math.nan)
    assert math.isnan(draw(policy)[0].logprobs[0])
    policy.model.load_state_dict(right)
    assert draw(policy) == before


@known
@pytest.mark.parametrize("temperature", [0.0, 0.1, 1.0])
def test_rollouts_share_a_row_for_as_long_as_they_agree(
    tiny_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch, family: dict[str, Any], temperature: float
) -> None:
    policy = tiny_policy(**family)
    rows: list[int] = []
    advance = SharedRows._advance

    def counted(shared: SharedRows) -> None:
        rows.append(len(shared.sharing))
        advance(shared)

    monkeypatch.setattr(SharedRows, "_advance", counted)
    rollouts = draw(policy, temperature=temperature, per_prompt=8)
    begun = {(place // 8, each.tokens[:k]) for place, each in enumerate(rollouts) for k in range(1, len(each.tokens))}
    assert sum(rows) == len(begun)
    within = 1e-5 / (temperature or 1.0)  # as logits are, so is what they are rounded by
    assert all(largest_gap(each.logprobs, alone(policy, each, temperature or 1.0)) < within for each in rollouts)


@known
def test_rows_rounded_up_for_a_recorded_graph_change_nothing(
    tiny_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch, family: dict[str, Any]
) -> None:
    """CUDA's own part is stood in for: what runs while a graph is recorded has no effect, and a replay runs it."""
    policy = tiny_policy(**family)
    decoder = policy.decoder
    assert decoder is not None
    choice = Choice(1.0, 1, [(n, i) for n in range(len(UNEVEN)) for i in range(3)], 20)
    recorded: list[tuple[int, int]] = []

    class Graph:
        size = (0, 0)

        def replay(self) -> None:
            slots._steps(*self.size)

    @contextmanager
    def record(graph: Any, pool: Any) -> Iterator[None]:
        tensors = [value for value in vars(slots).values() if isinstance(value, torch.Tensor)]
        before = [tensor.clone() for tensor in tensors]
        yield
        for tensor, was in zip(tensors, before, strict=True):
            tensor.copy_(was)
        graph.size = asked[-1]
        recorded.append(graph.size)

    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", record)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: SimpleNamespace(wait_stream=lambda other: None))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: SimpleNamespace(wait_stream=lambda other: None))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    with torch.inference_mode():
        decoder.network.refresh()
        slots = Slots(decoder, torch.tensor(sorted(policy.end_ids)), 9, 40, stride=4, bucket=16)
        slots.uses_graphs, slots.aside = True, torch.cuda.Stream()  # type: ignore[no-untyped-call]
        steps = slots._steps

        def watched(rows: int, length: int) -> None:
            asked.append((rows, length))
            steps(rows, length)

        monkeypatch.setattr(slots, "_steps", watched)
        for _ in range(2):
            assert [tuple(tokens) for tokens, _ in slots.run(UNEVEN, 3, choice, slots.rows)] == drawn(policy)
            assert all(layer.isfinite().all() for layer in slots.cache)
    assert len(recorded) == len(set(recorded)) > 2  # each size once, in both runs
    assert {rows for rows, _ in recorded} <= {1, 2, 4, 8, 9}


@known
def test_decoding_follows_the_weights(tiny_policy: MakePolicy, family: dict[str, Any]) -> None:
    policy = tiny_policy(**family)
    before = draw(policy)
    with torch.no_grad():
        for weight in policy.model.parameters():
            weight.add_(torch.randn_like(weight) * 0.05)
    after = draw(policy)
    assert [rollout.tokens for rollout in after] != [rollout.tokens for rollout in before]
    assert all(largest_gap(found.logprobs, alone(policy, found, 1.0)) < 1e-5 for found in after)


@pytest.mark.parametrize(("top_k", "top_p"), [(1, 1.0), (3, 1.0), (None, 0.7), (5, 0.9), (None, 1e-9)])
def test_what_top_k_and_top_p_leave_out_is_never_drawn_and_never_counted(
    tiny_policy: MakePolicy, top_k: int | None, top_p: float
) -> None:
    policy = tiny_policy()
    for rollout in draw(policy, top_k=top_k, top_p=top_p, temperature=0.8):
        ids = torch.tensor([[*rollout.prompt, *rollout.tokens]])
        with torch.no_grad():
            logits = policy.model(input_ids=ids).logits[0, len(rollout.prompt) - 1 : -1] / 0.8
        for row, token, logprob in zip(logits, rollout.tokens, rollout.logprobs, strict=True):
            odds, order = row.softmax(-1).sort(descending=True)
            kept = [
                int(token)
                for place, token in enumerate(order)
                if (top_k is None or place < top_k) and (place == 0 or float(odds[:place].sum()) < top_p)
            ]
            assert token in kept
            assert logprob == pytest.approx(float(row[token] - row[kept].logsumexp(-1)), abs=1e-5)


@pytest.mark.parametrize(("top_k", "top_p"), [(3, 1.0), (None, 0.7)])
def test_the_trainer_leaves_out_what_the_sampler_left_out(
    tiny_policy: MakePolicy, top_k: int | None, top_p: float
) -> None:
    policy = tiny_policy()
    rollouts = draw(policy, top_k=top_k, top_p=top_p)
    scored = score(policy, rollouts, 1.0, top_k=top_k, top_p=top_p)
    for row, rollout in enumerate(rollouts):
        assert largest_gap(rollout.logprobs, scored.logprobs[row, : len(rollout.tokens)].detach()) < 1e-5


def test_a_token_that_was_drawn_stays_though_the_bound_now_leaves_it_out() -> None:
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0]])
    kept = truncated(logits, 1, 1.0, keep=torch.tensor([2]))
    assert (kept.softmax(-1) > 0).tolist() == [[True, False, True, False]]


def test_random_numbers_are_a_rollouts_own_and_below_one() -> None:
    numbers = Choice(1.0, 7, [(n, i) for n in range(40) for i in range(5)], 300).uniform
    assert 0 <= float(numbers.min()) < 1e-3
    assert 0.999 < float(numbers.max()) < 1
    assert len({tuple(row) for row in numbers.tolist()}) == 200
    assert float(numbers.mean()) == pytest.approx(0.5, abs=0.01)
