"""The scratch tokenizer gives back every text it was built from, and knows nothing else."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rft_loop.model.scratch import CHAT_TEMPLATE, SPECIAL, build_model, build_tokenizer, texts_of
from rft_loop.recipe import Scratch

Kind = Literal["lines", "words", "characters"]
TEXT = st.text(max_size=60).filter(lambda text: not any(token in text for token in SPECIAL))
KINDS: tuple[Kind, ...] = ("lines", "words", "characters")
kinds = pytest.mark.parametrize("kind", KINDS)
AWKWARD = [
    "",
    "\n",
    "\n\n",
    "a\n",
    "\na",
    " a  b ",
    "a\r\nb",
    "ab\tc",
    "naïve café — β-Ⅻ",
    "日本語\n和",
    "e\u0301",
    "a_b-c,d.",
]


def conversation(prompt: str, answer: str | None = None) -> list[dict[str, str]]:
    asked = [{"role": "user", "content": prompt}]
    return asked if answer is None else [*asked, {"role": "assistant", "content": answer}]


def ids_of(tokenizer: Any, messages: list[dict[str, str]], opened: bool) -> list[int]:
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=opened)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


@kinds
@given(text=TEXT)
@settings(max_examples=60, deadline=None)
def test_a_text_it_was_built_from_comes_back_letter_for_letter(kind: Kind, text: str) -> None:
    tokenizer = build_tokenizer([text], Scratch(tokens=kind))
    ids = tokenizer(text + "\n", add_special_tokens=False)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


@kinds
@pytest.mark.parametrize("text", AWKWARD)
def test_an_answer_comes_back_from_its_conversation(kind: Kind, text: str) -> None:
    tokenizer = build_tokenizer(["who?", text], Scratch(tokens=kind))
    prompt = ids_of(tokenizer, conversation("who?"), opened=True)
    whole = ids_of(tokenizer, conversation("who?", text), opened=False)
    assert whole[: len(prompt)] == prompt
    assert whole[-1] == tokenizer.eos_token_id
    assert tokenizer.unk_token_id not in whole
    assert tokenizer.decode(whole[len(prompt) :], skip_special_tokens=True) == text


@kinds
@given(prompt=TEXT, answer=TEXT)
@settings(max_examples=40, deadline=None)
def test_the_prompt_is_a_prefix_of_the_answered_conversation(kind: Kind, prompt: str, answer: str) -> None:
    tokenizer = build_tokenizer([prompt, answer], Scratch(tokens=kind))
    opened = ids_of(tokenizer, conversation(prompt), opened=True)
    assert ids_of(tokenizer, conversation(prompt, answer), opened=False)[: len(opened)] == opened


@pytest.mark.parametrize(
    ("kind", "text", "tokens"),
    [
        ("lines", "fever\nno rash", ["fever\n", "no rash\n"]),
        ("words", "no rash, x1", ["no", " rash", ",", " x1", "\n"]),
        ("characters", "a b", ["a", " ", "b", "\n"]),
    ],
)
def test_what_one_token_stands_for(kind: Kind, text: str, tokens: list[str]) -> None:
    tokenizer = build_tokenizer([text], Scratch(tokens=kind))
    assert tokenizer.convert_ids_to_tokens(tokenizer(text + "\n", add_special_tokens=False)["input_ids"]) == tokens


@pytest.mark.parametrize(
    ("kind", "known", "unseen", "seen_again"),
    [("lines", "fever", "rash", ["fever\n", "rash\n"]), ("words", "no fever", "no rash", ["no", " rash", "\n"])],
)
def test_a_text_it_was_not_built_from_becomes_the_unknown_token(
    kind: Kind, known: str, unseen: str, seen_again: list[str]
) -> None:
    tokenizer = build_tokenizer([known], Scratch(tokens=kind))
    text = unseen + "\n" if kind == "words" else known + "\n" + unseen + "\n"
    found = tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False)["input_ids"])
    wanted = ["<|unknown|>" if "rash" in piece else piece for piece in seen_again]
    assert found == wanted
    assert "unknown" not in tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True)


@kinds
@pytest.mark.parametrize("ids", [[], [1], [0], [2], [1, 0, 0]], ids=str)
def test_an_answer_without_text_decodes_to_nothing(kind: Kind, ids: list[int]) -> None:
    assert build_tokenizer(["a"], Scratch(tokens=kind)).decode(ids, skip_special_tokens=True) == ""


@given(st.lists(TEXT, max_size=5))
@settings(max_examples=40, deadline=None)
def test_the_vocabulary_holds_the_special_tokens_and_the_letters_given(texts: list[str]) -> None:
    tokenizer = build_tokenizer(texts, Scratch(tokens="characters"))
    letters = set("".join(texts)) | ({"\n"} if texts else set())
    assert set(tokenizer.get_vocab()) == {*SPECIAL, *letters}
    assert sorted(tokenizer.get_vocab().values()) == list(range(len(tokenizer)))  # dense, as an embedding needs


def test_the_vocabulary_does_not_depend_on_the_order_of_the_texts() -> None:
    spec = Scratch(tokens="words")
    assert build_tokenizer(["a b", "c"], spec).get_vocab() == build_tokenizer(["c", "a b", "c"], spec).get_vocab()


def test_texts_are_the_messages_and_the_fields_asked_for() -> None:
    rows: list[dict[str, Any]] = [
        {
            "messages": conversation("q1", "a1"),
            "gene": "FBN1",
            "aliases": ["MFS1", 7, "FBN"],
            "secret": "must not be known",
        },
        {"messages": conversation("q2"), "gene": None},
    ]
    assert list(texts_of(rows, ["gene", "aliases", "absent"])) == ["q1", "a1", "FBN1", "MFS1", "FBN", "q2"]


def test_every_role_has_its_own_token() -> None:
    tokenizer = build_tokenizer(["x"], Scratch())
    for role in ("system", "developer", "user", "assistant"):
        text = tokenizer.apply_chat_template([{"role": role, "content": "x"}], tokenize=False)
        first = tokenizer(text, add_special_tokens=False)["input_ids"][0]
        assert tokenizer.convert_ids_to_tokens(first) == f"<|{role}|>"
    assert tokenizer.chat_template == CHAT_TEMPLATE


def test_the_model_has_the_recipes_sizes_and_the_seeds_weights() -> None:
    spec = Scratch(
        hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=77
    )
    tokenizer = build_tokenizer(["a b c"], spec)
    first, again, other = (build_model(tokenizer, spec, seed) for seed in (1, 1, 2))
    config = first.config
    assert (config.hidden_size, config.intermediate_size, config.num_hidden_layers) == (32, 40, 2)
    assert (config.max_position_embeddings, config.vocab_size) == (77, len(tokenizer))
    assert first.lm_head.weight is first.model.embed_tokens.weight  # tied, as asked
    embeddings = [model.model.embed_tokens.weight for model in (first, again, other)]
    assert torch.equal(embeddings[0], embeddings[1])
    assert not torch.equal(embeddings[0], embeddings[2])
