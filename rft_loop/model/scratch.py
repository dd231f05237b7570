"""A small Llama with random weights and a tokenizer built from data: real parts, no download."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rft_loop.recipe import Scratch

PATTERNS = {
    "lines": r"[^\n]*\n|[^\n]+",
    "words": r"\s*\w+|\s*[^\w\s]|\s+",
    "characters": r"[\s\S]",
}
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}\n"
    "{% if message.role == 'assistant' %}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ("<|pad|>", "<|end|>", "<|unknown|>", "<|system|>", "<|developer|>", "<|user|>", "<|assistant|>")


def texts_of(rows: Iterable[dict[str, Any]], fields: Sequence[str]) -> Iterator[str]:
    """Every text of the rows that a tokenizer should know: the messages, and the strings under `fields`."""
    for row in rows:
        yield from (message["content"] for message in row["messages"])
        for value in (row.get(field) for field in fields):
            yield from ([value] if isinstance(value, str) else (text for text in value or () if isinstance(text, str)))


def build_tokenizer(texts: Iterable[str], spec: Scratch) -> PreTrainedTokenizerFast:
    """A tokenizer whose tokens are whole lines, words or characters of `texts`; what they lack is `<|unknown|>`."""
    split = pre_tokenizers.Split(Regex(PATTERNS[spec.tokens]), "isolated")
    counts: Counter[str] = Counter()
    for text in dict.fromkeys(texts):
        counts.update(piece for piece, _ in split.pre_tokenize_str(text + "\n"))
    pieces = [*SPECIAL, *sorted(set(counts) - set(SPECIAL))]
    tokenizer = Tokenizer(models.WordLevel({piece: index for index, piece in enumerate(pieces)}, "<|unknown|>"))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Sequence([decoders.Fuse(), decoders.Replace(Regex(r"\n\z"), "")])
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        unk_token="<|unknown|>",
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def build_model(tokenizer: PreTrainedTokenizerFast, spec: Scratch, seed: int) -> LlamaForCausalLM:
    """The Llama of the recipe's sizes, its weights drawn by the seed."""
    torch.manual_seed(seed)
    sizes = spec.model_dump(exclude={"tokens", "fields"})
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        **sizes,
    )
    return LlamaForCausalLM(config)
