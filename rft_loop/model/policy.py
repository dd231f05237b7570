"""Policy: the model being trained with its tokenizer. Where it comes from is decided here, once."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from jinja2 import TemplateError
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DynamicCache,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as hf_logging

from rft_loop.inputs import missing_model
from rft_loop.model.adapter import add_adapter, has_adapter, is_adapter, load_adapter, merge, switched_off
from rft_loop.model.base import Base
from rft_loop.model.network import Network, network_of, product
from rft_loop.model.scratch import build_model, build_tokenizer, texts_of
from rft_loop.recipe import Recipe, ScratchModel
from rft_loop.sampling.decoder import Decoder

NOWHERE = "neither a local folder with a config.json nor reachable as a hub id"

logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it tells of each of its retries
hf_logging.set_verbosity_error()
hf_logging.disable_progress_bar()


@dataclass(frozen=True)
class Policy:
    """A causal language model and its tokenizer, on one device."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    end_ids: frozenset[int]  # every id that ends an answer: the tokenizer's and the generation config's
    has_plain_head: bool = False  # whether logits are `head` of the backbone's hidden states, and nothing besides
    precision: str = "float32"  # of the arithmetic, as in the recipe; the weights that are trained are float32
    base: Base | None = None  # what lies frozen beneath an adapter; None: there is no adapter
    adapter_off: bool = False  # computes as the base does

    @cached_property
    def device(self) -> torch.device:
        return torch.device(self.model.device)

    @cached_property
    def trained(self) -> list[Tensor]:
        """The weights that are trained."""
        return [weight for weight in self.model.parameters() if weight.requires_grad]

    @property
    def parameters(self) -> int:
        return sum(weight.numel() for weight in self.model.parameters())

    @cached_property
    def network(self) -> Network | None:
        """What rollouts are decoded with, and scored by `scorer`; None where it does not know the architecture."""
        return network_of(self.model, getattr(torch, self.precision))

    @property
    def scorer(self) -> Network | None:
        """The network where the trainer runs it too; None where it goes through transformers, as with an adapter."""
        return None if has_adapter(self.model) else self.network

    @cached_property
    def decoder(self) -> Decoder | None:
        return Decoder(self.network) if self.network is not None else None

    @cached_property
    def shares_prompts(self) -> bool:
        """Whether the answers to a prompt can go on from one run of it: every layer keeps keys and values."""
        return all(hasattr(layer, "batch_select_indices") for layer in DynamicCache(config=self.model.config).layers)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """How this policy computes: everything that runs the model runs within it, decoding and training alike.

        In bfloat16 the weights are rounded once for all that is computed inside; log-probs and losses are float32.
        """
        rounded = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")
        with rounded, switched_off(self.model) if self.adapter_off else nullcontext():
            yield

    def without_adapter(self) -> Policy:
        """The base as a policy that shares this one's memory."""
        return replace(self, adapter_off=True)

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
        """An answer's text: special tokens left out."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def _ids(self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool) -> list[int]:
        if self.tokenizer.chat_template is None:  # a base model: plain text, a blank line before the answer
            opening = "\n\n" if add_generation_prompt or messages[-1]["role"] != "assistant" else ""
            end = self.tokenizer.eos_token if not opening else ""
            text = "\n\n".join(str(message["content"]) for message in messages) + opening + (end or "")
            return list(self.tokenizer(text)["input_ids"])
        text = written(self.tokenizer, messages, add_generation_prompt=add_generation_prompt)
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def written(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = True
) -> str:
    """A conversation as the tokenizer's chat template writes it. Raises ValueError where the template refuses it."""
    known = "developer" if "developer" in str(tokenizer.chat_template) else "system"
    roles = {"developer": known}  # OpenAI's later name for the system's role; older templates know the former alone
    told = [{**message, "role": roles.get(message["role"], message["role"])} for message in messages]
    try:
        text = tokenizer.apply_chat_template(told, tokenize=False, add_generation_prompt=add_generation_prompt)
    except TemplateError as problem:
        raise ValueError(
            f"the model's chat template refuses these messages ({str(problem).strip()}); give them roles in an order "
            "that it knows, such as the system's text at the head of the user's message"
        ) from None
    return str(text)


def load_policy(recipe: Recipe, rows: Iterable[dict[str, Any]] = (), folder: Path | None = None) -> Policy:
    """The policy a recipe starts from. `rows` are the training rows: a scratch tokenizer is built from them alone.

    With an adapter, `folder` keeps the weights beneath it where they lie nowhere else.
    """
    device = choose_device(recipe.device)
    if recipe.lora is None:
        return _begun_from(recipe, rows, device)
    base = _base_of(recipe, rows, folder)
    policy = _on_base(base, device, recipe.precision)
    assert policy.base is not None
    add_adapter(policy.model, recipe.lora, policy.base, recipe.seed)
    return policy


def _begun_from(recipe: Recipe, rows: Iterable[dict[str, Any]], device: torch.device) -> Policy:
    """The policy with all its weights to be trained."""
    if isinstance(recipe.model, ScratchModel):
        tokenizer = build_tokenizer(texts_of(rows, recipe.model.scratch.fields), recipe.model.scratch)
        model = build_model(tokenizer, recipe.model.scratch, recipe.seed)
        return make_policy(model.to(device), tokenizer, recipe.precision)
    return load_pretrained(recipe.model, device, recipe.precision)


def _base_of(recipe: Recipe, rows: Iterable[dict[str, Any]], folder: Path | None) -> Base:
    """A hub id or a folder of transformers is referred to; anything else is written to `folder`, once a run."""
    source = recipe.model
    if isinstance(source, str) and Path(source).suffix != ".gguf" and not is_adapter(Path(source)):
        return Base.of(source)
    if folder is None:
        raise ValueError("lora: the weights of this model lie in no folder of their own; give one to keep them in")
    plain, partial = _begun_from(recipe, rows, torch.device("cpu")), folder / f".base-{os.getpid()}.partial"
    plain.model.save_pretrained(partial)
    plain.tokenizer.save_pretrained(partial)
    try:
        os.rename(partial, folder / "base")
    except OSError:  # another rank was first, or the run was broken before its first checkpoint
        if Base.of(str(folder / "base")).files != Base.of(str(partial)).files:
            raise
        shutil.rmtree(partial)
    return Base.of(str(folder / "base"))


def _on_base(base: Base, device: torch.device, precision: str, dtype: torch.dtype | None = None) -> Policy:
    """The base's policy, its weights as they are computed with: nothing is lost where they are never moved."""
    dtype = dtype or getattr(torch, precision)
    policy = load_pretrained(base.source, device, precision, dtype, base.revision)
    found = getattr(policy.model.config, "_commit_hash", None) if not base.files else None
    return replace(policy, base=replace(base, revision=base.revision or found))


def load_adapted(
    folder: Path, device: torch.device, precision: str = "float32", dtype: torch.dtype | None = None
) -> Policy:
    """The policy of an adapter's folder and the base that it names; the adapter alone is to be trained."""
    policy = _on_base(Base.read(folder), device, precision, dtype)
    load_adapter(policy.model, folder)
    if not (folder / "tokenizer_config.json").is_file():
        return policy
    tokenizer = _tokenizer_class(folder).from_pretrained(str(folder))
    return replace(policy, tokenizer=tokenizer, end_ids=_end_ids(policy.model, tokenizer))


def load_pretrained(
    source: str,
    device: torch.device,
    precision: str = "float32",
    dtype: torch.dtype = torch.float32,
    revision: str | None = None,
) -> Policy:
    """A policy from a local folder, a `.gguf` file, or a hub id; an adapter's folder is merged into its base."""
    path = Path(source)
    if is_adapter(path):
        policy = load_adapted(path, device, precision, torch.float32)
        merge(policy.model)
        policy.model.to(dtype)
        return replace(policy, base=None)
    options: dict[str, Any] = {} if revision is None else {"revision": revision}
    if (reason := missing_model(source)) is not None:
        raise FileNotFoundError(f"model={source}: {reason}")
    if path.suffix == ".gguf":
        source, options = str(path.parent), {"gguf_file": path.name}
    elif path.exists() and not (path / "config.json").is_file():
        raise FileNotFoundError(f"model={source}: is no model folder: it has no config.json")
    if not path.exists():
        _ask_hub(source, revision)
    try:
        tokenizer = _tokenizer_class(path).from_pretrained(source, **options)
        model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, **options)
    except OSError as problem:
        reason = str(problem).strip().splitlines()[0]
        raise FileNotFoundError(f"model={source}: {NOWHERE}: {reason}") from None
    except Exception as problem:  # a damaged file can raise anything
        reason = (str(problem).strip().splitlines() or [""])[0]
        raise ValueError(f"model={path}: cannot be loaded: {type(problem).__name__}: {reason}") from problem
    if path.suffix == ".gguf":
        model = _without_quantization(model)
    for weight in model.parameters():
        # A file's tensors lie where the file has them; matrix kernels sum in another order where memory is aligned
        # otherwise, and a resumed run would differ from an unbroken one in the last bit.
        weight.data = weight.data.clone()
    return make_policy(model.to(device), tokenizer, precision)


def _ask_hub(source: str, revision: str | None) -> None:
    """Ask once whether there is such a model: what loads its files would ask for each of them, again and again."""
    try:
        if isinstance(try_to_load_from_cache(source, "config.json", revision=revision), str):
            return
        HfApi().model_info(source, revision=revision, timeout=20)
    except RepositoryNotFoundError:
        raise FileNotFoundError(
            f"model={source}: {NOWHERE}: the hub has no such model, or shows it to those alone who log in (HF_TOKEN)"
        ) from None
    except HfHubHTTPError:  # it is there: what loads it says what is amiss
        return
    except Exception as problem:  # each version of the hub's client has classes of its own for a broken connection
        reason = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise FileNotFoundError(f"model={source}: {NOWHERE}: {reason}") from None


def make_policy(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, precision: str = "float32") -> Policy:
    """The policy of a model and its tokenizer.

    Raises ValueError where neither names a token that ends an answer.
    """
    ends = _end_ids(model, tokenizer)
    model.config.use_cache = True
    model.eval()  # for good: with dropout, the trainer would score other odds than the sampler drew by
    return Policy(model, tokenizer, ends, _has_plain_head(model), precision)


def _end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    ends: set[int] = set()
    for given in (
        tokenizer.eos_token_id,
        model.generation_config.eos_token_id if model.generation_config else None,
    ):
        ends |= {given} if isinstance(given, int) else set(given or ())
    if not ends:
        raise ValueError("neither the tokenizer nor the generation config names an end token; answers could not end")
    return frozenset(ends)


def plain_head(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """The output projection, and the soft cap of Gemma 2 (Gemma Team 2024, section 2)."""
    output = model.get_output_embeddings()
    logits: Tensor = product(hidden, output.weight, output.bias) if type(output) is nn.Linear else output(hidden)
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
