"""Where a policy comes from: a folder, a GGUF file, a hub id, nothing. And what is said when it cannot come."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rft_loop.model.checkpoint import Progress, load_checkpoint, save_checkpoint
from rft_loop.model.policy import Policy, choose_device, load_policy, load_pretrained, make_policy
from rft_loop.recipe import recipe_from
from rft_loop.sampling.decode import sample

MakePolicy = Callable[..., Policy]
CPU = torch.device("cpu")
ASKED = [{"role": "user", "content": "abc"}]
ANSWERED = [*ASKED, {"role": "assistant", "content": "de"}]


def logits(policy: Policy) -> torch.Tensor:
    with torch.no_grad():
        found = policy.model(input_ids=torch.tensor([[5, 3, 4, 6]])).logits
    assert isinstance(found, torch.Tensor)
    return found


def same_weights(one: Policy, other: Policy) -> bool:
    first, second = one.model.state_dict(), other.model.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{tmp}/nothing", "no such folder"),
        ("nothing/here", "neither a local folder with a config.json nor reachable as a hub id"),
        ("nothing-here", "neither a local folder with a config.json nor reachable as a hub id"),
        ("./not/a/hub/id", "no such folder"),
        ("{tmp}", "it has no config.json"),
        ("not/a/hub/id", "no such folder"),
        ("~/nothing", "no such folder"),
        ("{tmp}/model.gguf", "no such file"),
    ],
)
def test_a_model_that_is_not_there_is_named_in_one_line(tmp_path: Path, source: str, said: str) -> None:
    source = source.format(tmp=tmp_path)
    with pytest.raises(FileNotFoundError) as refusal:
        load_pretrained(source, CPU)
    message = str(refusal.value)
    assert said in message
    assert message.startswith(f"model={source}: ")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b"{"),
        ("config.json", b'{"model_type": "no_such_model"}'),
        ("model.safetensors", b"not tensors"),
        ("tokenizer.json", b"{}"),
    ],
)
def test_a_model_folder_with_a_damaged_file_is_a_value_error_that_names_the_folder(
    tmp_path: Path, tiny_policy: MakePolicy, name: str, content: bytes
) -> None:
    policy = tiny_policy()
    policy.model.save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError)) as refusal:
        load_pretrained(str(tmp_path), CPU)
    assert str(refusal.value).startswith(f"model={tmp_path}: ")
    assert "\n" not in str(refusal.value)


def test_a_gguf_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"not a model")
    with pytest.raises(ValueError, match=r"model\.gguf"):
        load_pretrained(str(tmp_path / "model.gguf"), CPU)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_where_there_is_none_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match="device=cuda: no CUDA device is visible here; use device=auto or device=cpu"):
        choose_device("cuda")


def test_auto_takes_what_is_there() -> None:
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == CPU


def test_a_model_that_could_never_end_its_answers_is_refused(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    policy.tokenizer.eos_token = None
    policy.model.generation_config.eos_token_id = None
    with pytest.raises(ValueError, match="answers could not end"):
        make_policy(policy.model, policy.tokenizer)


@pytest.mark.parametrize(
    ("family", "options", "shares"),
    [
        ("llama", {}, True),
        ("mamba", {"state_size": 4, "conv_kernel": 3}, False),
        (
            "qwen3_next",
            {
                "num_hidden_layers": 4,
                "head_dim": 8,
                "num_experts": 2,
                "num_experts_per_tok": 1,
                "moe_intermediate_size": 8,
            },
            False,
        ),
    ],
)
def test_answers_share_a_prompt_where_every_layer_keeps_keys_and_values(
    tiny_policy: MakePolicy, family: str, options: dict[str, Any], shares: bool
) -> None:
    assert tiny_policy(family, **options).shares_prompts is shares


@pytest.mark.parametrize(
    ("tokenizers", "configs", "ends"),
    [
        ("<|end|>", None, {1}),
        ("<|end|>", 9, {1, 9}),
        ("<|end|>", [1, 9, 12], {1, 9, 12}),
        (None, [9, 12], {9, 12}),
    ],
)
def test_end_tokens_are_the_tokenizers_and_the_generation_configs(
    tiny_policy: MakePolicy, tokenizers: str | None, configs: Any, ends: set[int]
) -> None:
    policy = tiny_policy()
    policy.tokenizer.eos_token = tokenizers
    policy.model.generation_config.eos_token_id = configs
    assert make_policy(policy.model, policy.tokenizer).end_ids == ends


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
def test_a_policy_saved_to_a_folder_comes_back_the_same(tmp_path: Path, tiny_policy: MakePolicy, family: str) -> None:
    policy = tiny_policy(family, ends=[1, 9], num_key_value_heads=2)
    policy.model.save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    loaded = load_pretrained(str(tmp_path), CPU)
    assert same_weights(policy, loaded)
    assert torch.equal(logits(policy), logits(loaded))
    assert loaded.end_ids == {1, 9}
    assert loaded.prompt_ids(ASKED) == policy.prompt_ids(ASKED)
    assert loaded.parameters == policy.parameters == sum(weight.numel() for weight in policy.model.parameters())


def test_a_scratch_policy_is_built_from_the_rows_and_the_seed() -> None:
    def load(seed: int) -> Policy:
        sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
        unused = dict.fromkeys(("train", "grader"), "unused") | {"validation": "held out"}
        recipe = recipe_from(unused | {"model": {"scratch": sizes | {"fields": ["gene"]}}, "seed": seed}, "test")
        return load_policy(recipe, [{"messages": ASKED, "gene": "FBN1"}])

    first, again, other = load(1), load(1), load(2)
    assert same_weights(first, again)
    assert not same_weights(first, other)
    assert {"abc\n", "FBN1\n"} <= set(first.tokenizer.get_vocab())


# Prompts and answers


def test_the_answer_is_what_follows_the_prompt_up_to_its_end_token(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    prompt, answer = policy.answer_ids(ANSWERED)
    assert prompt == policy.prompt_ids(ASKED)
    assert answer[-1] in policy.end_ids
    assert policy.text(answer) == "de"


def test_what_a_template_writes_after_the_end_token_is_not_part_of_the_answer(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    policy.tokenizer.chat_template += "{% if not add_generation_prompt %}<|user|>\n{% endif %}"
    _, answer = policy.answer_ids(ANSWERED)
    assert policy.tokenizer.convert_ids_to_tokens(answer) == ["d", "e", "\n", "<|end|>"]


def test_a_template_that_rewrites_an_answered_prompt_is_refused(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    policy.tokenizer.chat_template = (
        "{% for message in messages %}{{ message.content }}{% endfor %}{% if add_generation_prompt %}k{% endif %}"
    )
    with pytest.raises(ValueError, match="writes the prompt differently once it is answered"):
        policy.answer_ids(ANSWERED)


@pytest.mark.parametrize(("knows_developer", "read_as"), [(True, "<|developer|>"), (False, "<|system|>")])
def test_the_developers_role_is_the_systems_to_a_template_that_does_not_know_it(
    tiny_policy: MakePolicy, knows_developer: bool, read_as: str
) -> None:
    policy = tiny_policy()
    if knows_developer:
        policy.tokenizer.chat_template += "{# developer #}"
    else:
        assert "developer" not in policy.tokenizer.chat_template
    prompt = policy.prompt_ids([{"role": "developer", "content": "a"}, *ASKED])
    assert policy.tokenizer.convert_ids_to_tokens(prompt[:1]) == [read_as]


def test_a_base_model_without_a_chat_template_reads_plain_text(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    policy.tokenizer.chat_template = None
    prompt, answer = policy.answer_ids(ANSWERED)
    assert policy.tokenizer.convert_ids_to_tokens(prompt) == ["a", "b", "c", "\n", "\n"]
    assert policy.tokenizer.convert_ids_to_tokens(answer) == ["d", "e", "<|end|>"]


# GGUF


def write_gguf(path: Path) -> None:
    """A Llama of one layer with random weights, as llama.cpp stores it, and a tokenizer of eight tokens."""
    import gguf
    import numpy as np

    tokens = ["<|pad|>", "<|end|>", "<|unknown|>", "a", "b", "c", "ab", "ba"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_block_count(1)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(48)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(8)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3, 1, 1, 1, 1, 1])
    writer.add_token_merges(["a b", "b a"])
    writer.add_bos_token_id(1)  # transformers 5.17 cannot load a file without one
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(0)
    wide, narrow, up, down = (32, 32), (16, 32), (48, 32), (32, 48)
    shapes = {"attn_norm": (32,), "ffn_norm": (32,), "attn_q": wide, "attn_k": narrow, "attn_v": narrow}
    shapes |= {"attn_output": wide, "ffn_gate": up, "ffn_up": up, "ffn_down": down}
    shapes = {f"blk.0.{name}": shape for name, shape in shapes.items()}
    shapes |= {"token_embd": (len(tokens), 32), "output": (len(tokens), 32), "output_norm": (32,)}
    draws = np.random.default_rng(0)
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", draws.normal(size=shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def check_gguf(path: Path, folder: Path) -> Policy:
    """It answers, and what is saved of it loads as any other checkpoint."""
    policy = load_pretrained(str(path), CPU)
    assert sample(policy, [policy.prompt_ids(ASKED)], per_prompt=2, max_new_tokens=4, temperature=1.0, seed=0)
    saved = save_checkpoint(folder, policy, None, Progress("step", 0))
    loaded, _ = load_checkpoint(saved, CPU)
    assert same_weights(policy, loaded)
    assert torch.equal(logits(policy), logits(loaded))
    assert loaded.end_ids == policy.end_ids
    assert loaded.prompt_ids(ASKED) == policy.prompt_ids(ASKED)
    return policy


def test_a_gguf_file_is_loaded_and_saved_as_an_ordinary_checkpoint(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf")
    policy = check_gguf(tmp_path / "tiny.gguf", tmp_path / "run")
    assert policy.end_ids == {1}
    assert policy.tokenizer("abcb")["input_ids"] == [6, 5, 4]
    assert all(weight.requires_grad and weight.dtype == torch.float32 for weight in policy.model.parameters())


def test_an_adapter_on_a_gguf_file_keeps_its_weights_once_beside_the_checkpoints(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf")
    unused = dict.fromkeys(("train", "grader"), "unused") | {"validation": "held out"}
    recipe = recipe_from(unused | {"model": str(tmp_path / "tiny.gguf"), "lora": {"rank": 2}}, "test")
    policy = load_policy(recipe, folder=tmp_path / "run")
    assert policy.base is not None
    assert policy.base.source == str(tmp_path / "run" / "base")
    assert torch.equal(logits(policy), logits(load_pretrained(str(tmp_path / "tiny.gguf"), CPU)))


def test_a_real_gguf_file_is_loaded_and_saved_as_an_ordinary_checkpoint(tmp_path: Path) -> None:
    path = os.environ.get("ASSAY_TEST_GGUF")
    if path is None:
        pytest.skip("set ASSAY_TEST_GGUF to the path of a GGUF file to run this")
    check_gguf(Path(path), tmp_path)
