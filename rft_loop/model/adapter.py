"""Adapter: low-rank matrices beside frozen linear layers (LoRA, Hu et al. 2021, arXiv 2106.09685), by peft.

peft's layers stand in the plain transformers model, so that everything else runs, reads and saves it as before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from rft_loop.model.base import Base
from rft_loop.recipe import Lora

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
BEYOND = ("use_dora", "lora_bias", "bias", "modules_to_save", "target_parameters", "trainable_token_indices")
"""Options of peft's LoRA by which a layer computes more than W + scale x B A, or other weights are trained too."""


def is_adapter(folder: Path) -> bool:
    """Whether the folder holds an adapter alone, as peft writes it."""
    return (folder / CONFIG).is_file() and not (folder / "config.json").is_file()


def add_adapter(model: PreTrainedModel, spec: Lora, base: Base, seed: int) -> None:
    """Freeze the model and put a new adapter into it, which changes nothing yet: its second matrices are 0.

    The first ones are drawn by the seed. Raises ValueError naming a target that is no linear layer of the model.
    """
    known = linear_names(model)
    targets = known if spec.targets == "all-linear" else list(spec.targets)
    for target in targets:
        if target not in known:
            raise ValueError(
                f"lora.targets: {target!r} is no linear layer of this model that can have an adapter; it has "
                f"{', '.join(known)}, or use all-linear"
            )
    config = LoraConfig(
        r=spec.rank,
        lora_alpha=spec.alpha,
        lora_dropout=0.0,  # the trainer must score the odds that the sampler drew by
        target_modules=targets,
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(seed)
    _inject(model, config)
    config.base_model_name_or_path, config.revision = base.source, base.revision


def load_adapter(model: PreTrainedModel, folder: Path) -> None:
    """Freeze the model and put the adapter of a folder into it, to be trained on. Raises ValueError if it is broken."""
    try:
        given = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if given.get("peft_type") != "LORA" or any(given.get(key) not in (None, False, [], "none") for key in BEYOND):
            raise ValueError("only plain LoRA is known; merge it into its base with peft's merge_and_unload first")
        config = LoraConfig.from_pretrained(str(folder))
        config.inference_mode = False
        _inject(model, config)
        found = set_peft_model_state_dict(model, load_file(folder / WEIGHTS))
        missing = [key for key in found.missing_keys if "lora_" in key]
        if missing or found.unexpected_keys:
            raise ValueError(f"its weights do not fit its base: {[*missing, *found.unexpected_keys][0]}")
    except (SafetensorError, OSError, RuntimeError, TypeError, ValueError) as problem:
        reason = (str(problem).strip().splitlines() or [""])[0]
        raise ValueError(f"adapter {str(folder)!r} cannot be loaded: {reason}") from problem


def _inject(model: PreTrainedModel, config: LoraConfig) -> None:
    model.add_adapter(config)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()  # made in the base's precision, trained in float32


def linear_names(model: PreTrainedModel) -> list[str]:
    """Names of the linear layers that an adapter can stand beside: all but the output layer, each name once."""
    output = model.get_output_embeddings()
    return sorted(
        {
            name.rpartition(".")[2]
            for name, module in model.named_modules()
            if isinstance(module, (nn.Linear, Conv1D)) and module is not output
        }
    )


def merge(model: PreTrainedModel) -> None:
    """Add the adapter's product to the weights beneath it and take it out: a plain transformers model is left."""
    for name, layer in list(model.named_modules()):
        if isinstance(layer, LoraLayer):
            linear = layer.get_base_layer()
            weight = merged_weight(layer)
            with torch.no_grad():
                linear.weight.copy_(weight.T if isinstance(linear, Conv1D) else weight)
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, linear)
    model._hf_peft_config_loaded = False
    del model.peft_config
    model.requires_grad_(True)


def save_whole(model: PreTrainedModel, folder: Path) -> None:
    """Write the model as a plain transformers folder in float32, an adapter merged; the model itself stays as it is."""
    if not has_adapter(model):
        model.save_pretrained(folder)
        return
    state = {name.replace(".base_layer.", "."): value for name, value in model.state_dict().items()}
    state = {name: value.float() for name, value in state.items() if ".lora_" not in name}
    for name, layer in model.named_modules():
        if isinstance(layer, LoraLayer):
            weight = merged_weight(layer)
            state[f"{name}.weight"] = weight.T if isinstance(layer.get_base_layer(), Conv1D) else weight
    with torch.device("meta"):
        plain = type(model)(model.config)
    plain.load_state_dict(state, assign=True)
    plain.tie_weights()
    plain.generation_config = model.generation_config
    plain.save_pretrained(folder)


def has_adapter(model: PreTrainedModel) -> bool:
    return "peft_config" in vars(model)


@torch.no_grad()
def merged_weight(linear: nn.Module) -> Tensor:
    """The weight (out, in) by which this layer multiplies: W, and alpha / rank x B A where it has an adapter.

    With the adapter switched off, W alone. An adapter's sum is float32.
    """
    inner: Any = linear.get_base_layer() if isinstance(linear, LoraLayer) else linear
    weight: Tensor = inner.weight.T if isinstance(inner, Conv1D) else inner.weight
    if not isinstance(linear, LoraLayer) or linear.disable_adapters:
        return weight.detach()
    weight = weight.float()
    for name in linear.active_adapters:
        product = linear.lora_B[name].weight.float() @ linear.lora_A[name].weight.float()
        weight = weight + linear.scaling[name] * product
    return weight


@contextmanager
def switched_off(model: PreTrainedModel) -> Iterator[None]:
    """Within it the model computes as its base does, and nothing of it can be trained."""
    if any(layer.disable_adapters for layer in model.modules() if isinstance(layer, LoraLayer)):
        yield
        return
    model.disable_adapters()
    try:
        yield
    finally:
        model.enable_adapters()
