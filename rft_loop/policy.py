"""Policy: the model being trained with its tokenizer. Where it comes from is decided here, once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DynamicCache,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as hf_logging

from rft_loop.recipe import Recipe, ScratchModel
from rft_loop.scratch import build_model, build_tokenizer, texts_of

hf_logging.set_verbosity_error()
hf_logging.disable_progress_bar()


@dataclass(frozen=True)
class Policy:
    """A causal language model and its tokenizer, on one device."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    end_ids: frozenset[int]  # every id that ends an answer: the tokenizer's and the generation config's
    has_plain_head: bool = False  # whether logits are `head` of the backbone's hidden states, and nothing besides

    @property
    def device(self) -> torch.device:
        return torch.device(self.model.device)

    @property
    def parameters(self) -> int:
        return sum(weight.numel() for weight in self.model.parameters())

    def hidden(self, **inputs: Any) -> Tensor:
        """What the model knows after each token, (rows, tokens, width); `head` makes logits of it.

        Of a model whose logits are made otherwise, the logits themselves.
        """
        if not self.has_plain_head:
            return self.model(**inputs).logits  # type: ignore[no-any-return]
        return self.model.base_model(**inputs).last_hidden_state  # type: ignore[no-any-return]

    def head(self, hidden: Tensor) -> Tensor:
        """Logits of hidden states; (..., vocabulary)."""
        return plain_head(self.model, hidden) if self.has_plain_head else hidden

    def prompt_ids(self, messages: Sequence[Mapping[str, Any]]) -> list[int]:
        """Token ids of the conversation with the assistant's turn opened."""
        return self._ids(messages, add_generation_prompt=True)

    def answer_ids(self, messages: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[int]]:
        """Prompt ids and answer ids of a conversation that ends with the assistant's message, end token included."""
        prompt = self.prompt_ids(messages[:-1])
        whole = self._ids(messages, add_generation_prompt=False)
        if whole[: len(prompt)] != prompt:
            raise ValueError(
                "the chat template writes the prompt differently once it is answered; "
                "supervised training needs a template whose prompt is a prefix of the whole conversation"
            )
        answer = whole[len(prompt) :]
        for position, token in enumerate(answer):
            if token in self.end_ids:
                return prompt, answer[: position + 1]
        return prompt, answer

    def text(self, ids: Sequence[int]) -> str:
        """The answer as graders see it: special tokens left out."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def _ids(self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool) -> list[int]:
        if self.tokenizer.chat_template is None:  # a base model: plain text, a blank line before the answer
            opening = "\n\n" if add_generation_prompt or messages[-1]["role"] != "assistant" else ""
            end = self.tokenizer.eos_token if not opening else ""
            text = "\n\n".join(str(message["content"]) for message in messages) + opening + (end or "")
            return list(self.tokenizer(text)["input_ids"])
        known = "developer" if "developer" in str(self.tokenizer.chat_template) else "system"
        roles = {"developer": known}  # OpenAI's later name for the system's role; older templates know the former alone
        text = self.tokenizer.apply_chat_template(
            [{**message, "role": roles.get(message["role"], message["role"])} for message in messages],
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
        )
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def load_policy(recipe: Recipe, rows: Iterable[dict[str, Any]] = ()) -> Policy:
    """The policy a recipe starts from. `rows` are the training rows: a scratch tokenizer is built from them alone."""
    device = choose_device(recipe.device)
    if isinstance(recipe.model, ScratchModel):
        tokenizer = build_tokenizer(texts_of(rows, recipe.model.scratch.fields), recipe.model.scratch)
        model = build_model(tokenizer, recipe.model.scratch, recipe.seed)
        return make_policy(model.to(device), tokenizer)
    return load_pretrained(recipe.model, device)


def load_pretrained(source: str, device: torch.device) -> Policy:
    """A policy in float32 from a local folder, a `.gguf` file, or a hub id."""
    path = Path(source)
    options: dict[str, Any] = {}
    if path.suffix == ".gguf":
        if not path.is_file():
            raise FileNotFoundError(f"no GGUF file {source!r}")
        source, options = str(path.parent), {"gguf_file": path.name}
    elif path.exists() and not (path / "config.json").is_file():
        raise FileNotFoundError(f"{source!r} is no model folder: it has no config.json")
    try:
        tokenizer = _tokenizer_class(path).from_pretrained(source, **options)
        model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, **options)
    except OSError as problem:
        reason = str(problem).strip().splitlines()[0]
        raise FileNotFoundError(
            f"model {source!r} is neither a local folder with a config.json nor reachable as a hub id: {reason}"
        ) from None
    except Exception as problem:  # a damaged file can raise anything
        reason = (str(problem).strip().splitlines() or [""])[0]
        raise ValueError(f"model {str(path)!r} cannot be loaded: {type(problem).__name__}: {reason}") from problem
    if options:
        model = _without_quantization(model)
    return make_policy(model.to(device), tokenizer)


def make_policy(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Policy:
    """The policy of a model and its tokenizer.

    Raises ValueError where neither names a token that ends an answer, or the model has no cache to share.
    """
    ends: set[int] = set()
    for given in (
        tokenizer.eos_token_id,
        model.generation_config.eos_token_id if model.generation_config else None,
    ):
        ends |= {given} if isinstance(given, int) else set(given or ())
    if not ends:
        raise ValueError("neither the tokenizer nor the generation config names an end token; answers could not end")
    if not all(hasattr(layer, "batch_select_indices") for layer in DynamicCache(config=model.config).layers):
        raise ValueError(
            f"model type {model.config.model_type!r} carries a recurrent state instead of keys and values, "
            "which rollouts of one prompt cannot share; use a model with attention in every layer"
        )
    model.config.use_cache = True
    model.eval()  # for good: with dropout, the trainer would score other odds than the sampler drew by
    return Policy(model, tokenizer, frozenset(ends), _has_plain_head(model))


def plain_head(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """The output projection, and the soft cap of Gemma 2 (Gemma Team 2024, section 2)."""
    logits: Tensor = model.get_output_embeddings()(hidden)
    cap = getattr(model.config, "final_logit_softcapping", None)
    return logits if cap is None else cap * torch.tanh(logits / cap)


@torch.no_grad()
def _has_plain_head(model: PreTrainedModel) -> bool:
    """Whether that gives the model's own logits: tried on a few tokens, not inferred from its type."""
    ids = torch.arange(3, device=model.device)[None]
    try:
        wanted = model(input_ids=ids, use_cache=False).logits
        found = plain_head(model, model.base_model(input_ids=ids, use_cache=False).last_hidden_state)
    except (AttributeError, TypeError):
        return False
    return found.shape == wanted.shape and torch.allclose(found, wanted, rtol=1e-4, atol=1e-5)


def _tokenizer_class(folder: Path) -> Any:
    """For some model types AutoTokenizer puts its own class, and so its own splitting, in the place of a generic one.

    A tokenizer saved as generic, as those from scratch and from a GGUF file are, must come back as it was.
    """
    settings = folder / "tokenizer_config.json"
    if settings.is_file():
        saved = json.loads(settings.read_text(encoding="utf-8")).get("tokenizer_class")
        if saved == PreTrainedTokenizerFast.__name__:
            return PreTrainedTokenizerFast
    return AutoTokenizer


def choose_device(wanted: str) -> torch.device:
    """`auto` takes the GPU where there is one."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ValueError("device=cuda: no CUDA device is visible here; use device=auto or device=cpu")
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted not in ("cpu", "cuda"):
        raise ValueError(f"device={wanted}: known are auto, cpu and cuda")
    return torch.device(wanted)


def _without_quantization(model: PreTrainedModel) -> PreTrainedModel:
    """A GGUF model arrives dequantised yet marked quantised, which forbids saving it; the same weights, unmarked."""
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = type(model)(config).to(model.dtype)
    plain.load_state_dict(model.state_dict())
    plain.generation_config = model.generation_config
    return plain
