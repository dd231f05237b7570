"""Network: the layers of Llama-like models on the weights being trained, without transformers' modules around them.

Rollouts are decoded with it and scored with it, so that sampler and trainer do the same arithmetic. Tokens may lie in
any arrangement; the caller says how they attend to each other. Projections that go together are one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rft_loop.model.attention import ROWS, attention, sums_alike
from rft_loop.model.norm import rms_norm
from rft_loop.model.stack import Stack

NORM_OFFSET = {"llama": 0.0, "mistral": 0.0, "qwen2": 0.0, "qwen3": 0.0, "gemma2": 1.0, "gemma3_text": 1.0}
"""The model types that are known, with what their norms add to the weight (Gemma Team 2024, appendix)."""

SPAN = 512  # most places that attention looks from at once, where it is given a mask


@dataclass
class Layer:
    """What one layer computes with; norms hold their final weight, None where the architecture has no such norm."""

    qkv: Tensor
    qkv_bias: Tensor | None
    out: Tensor
    out_bias: Tensor | None
    gate_up: Tensor
    down: Tensor
    before_attention: Tensor
    after_attention: Tensor | None
    before_mlp: Tensor
    after_mlp: Tensor | None
    query_norm: Tensor | None
    key_norm: Tensor | None
    scale: float
    soft_cap: float | None
    window: int | None
    rope: str
    activation: Callable[[Tensor], Tensor]


@dataclass
class Weights:
    """What the network computes with; `norm` stands before the output projection `head`."""

    embedding: Tensor
    layers: list[Layer]
    norm: Tensor
    head: Tensor


Hear: TypeAlias = Callable[[int, Layer, Tensor, Tensor, Tensor], Tensor]
"""What tokens hear of each other, (..., hidden): of a layer's number, the layer, and (..., heads, width) queries, keys,
values; of the latter two as many heads as are shared."""


class Network:
    """Hidden states and logits of tokens, each at a place of its own."""

    def __init__(self, model: Any, dtype: torch.dtype, lasts: bool = True) -> None:
        """`lasts`: it stays with the model, whose weights may then be moved to where they need not be copied.

        Raises KeyError for a model type that is not known.
        """
        config = model.config
        self.model, self.dtype, self.lasts, self.device = model, dtype, lasts, model.device
        self.offset = NORM_OFFSET[config.model_type]
        self.body = model.base_model
        self.heads, self.shared = config.num_attention_heads, config.num_key_value_heads
        self.width = self.body.layers[0].self_attn.head_dim
        self.epsilon = torch.tensor(config.rms_norm_eps, device="cpu")
        self.cap = getattr(config, "final_logit_softcapping", None)
        self.recomputes = False  # whether a layer's activations are made again for the gradient (Chen et al. 2016)
        self.ropes: dict[str, tuple[Tensor, Tensor]] = {}
        self.outgrown: list[dict[str, tuple[Tensor, Tensor]]] = []  # held on to: recorded graphs may read them
        first, last = self.body.embed_tokens, model.get_output_embeddings()
        # Looked up as it is: in less than float32 the gradient of a frequent token would stop growing as it is summed.
        embedding = Stack((first,), "weight", first.weight.dtype, 0.0, self.lasts)
        tied = last.weight is first.weight and first.weight.dtype == dtype
        head = embedding if tied else self._stack(last)
        self.ends = {"embedding": embedding, "norm": self._norm(self.body.norm), "head": head}
        self.plans = [self._plan(layer) for layer in self.body.layers]
        self.weights = self._weights(lambda stack: stack.whole)
        self.windows = {layer.window for layer in self.weights.layers}
        # A token should be trained on with the very log-prob that it was sampled with. Where float32 does not sum up
        # alike on a CPU, attention is in float64 and rounded.
        narrow = dtype == torch.float32 and self.device.type == "cpu"
        self.sums_alike = narrow and sums_alike(self.weights.layers[0], self)
        self.attends_in = torch.float64 if narrow and not self.sums_alike else dtype

    def reach(self, places: int) -> None:
        """Make ready for rows of so many places, prompt and answer together."""
        known = len(next(iter(self.ropes.values()))[0]) if self.ropes else 0
        if known < places:
            self.outgrown += [self.ropes] if known else []
            kinds = {layer.rope for layer in self.weights.layers}
            self.ropes = {kind: self._rotations(kind, max(places, 2 * known)) for kind in kinds}

    @torch.no_grad()
    def refresh(self) -> None:
        """Take the weights as they now are; into the same tensors, which graphs may read."""
        for stack in self.stacks():
            stack.renew()

    def stacks(self) -> Iterator[Stack]:
        """All that it computes with."""
        for plan in (self.ends, *self.plans):
            yield from (part for part in plan.values() if isinstance(part, Stack))

    def live(self) -> Weights:
        """The weights with a gradient that goes to the model's own."""
        return self._weights(Stack.live)

    def masks(self, apart: Tensor, windows: Collection[int | None] | None = None) -> dict[int | None, Tensor]:
        """What is added to the scores of keys that lie `apart` (rows or 1, queries, keys) places back, by window.

        0 from the own place to the window's end (Beltagy et al. 2020), else -inf; for the queries of one key's heads
        one after another, (rows or 1, 1, heads x queries, keys). For all windows of the layers, or those named.
        """
        found = {}
        for window in self.windows if windows is None else windows:
            far = apart < 0 if window is None else (apart < 0) | (apart >= window)
            mask = torch.where(far, -torch.inf, 0.0).to(self.attends_in)
            if mask.shape[1] > 1:  # one query's serves all heads
                mask = mask.repeat(1, self.heads // self.shared, 1)
            found[window] = mask[:, None]
        return found

    def in_order(self, places: int) -> Callable[[Layer, Tensor, Tensor, Tensor], Tensor]:
        """How rows of so many tokens each hear what stands before: of (rows, places, heads, width), (..., hidden)."""
        room, device = self.room(places), self.device
        along = torch.arange(room, device=device)

        def masks(start: int, windows: Collection[int | None]) -> dict[int | None, Tensor]:
            return self.masks((along[start : start + SPAN, None] - along[: start + SPAN])[None], windows)

        layers = self.weights.layers
        masked = [each for each in layers if self.sums_alike or each.soft_cap or (each.window or places) < places]
        first = masks(0, {layer.window for layer in masked})

        def heard(layer: Layer, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            if layer.window not in first:
                return self._looking_back(layer, query, key, value)
            query, key, value = (F.pad(side, (0, 0, 0, 0, 0, room - places)) for side in (query, key, value))
            keys, values = key.transpose(1, 2), value.transpose(1, 2)
            parts = []
            for start in range(0, room, SPAN):  # one mask for all places would be the largest thing in memory
                mask = (masks(start, {layer.window}) if start else first)[layer.window]
                asking, end = query[:, start : start + SPAN], start + SPAN
                told = attention(asking, keys[:, :, :end], values[:, :, :end], mask, layer)
                parts.append(told[:, : places - start])
            return torch.cat(parts, 1)

        return heard

    def _looking_back(self, layer: Layer, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Each place hears all before it; kernels that know of that need no mask."""
        key, value = (side.repeat_interleave(self.heads // self.shared, 2) for side in (key, value))
        query, key, value = (side.transpose(1, 2) for side in (query, key, value))
        found = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=layer.scale)
        return found.transpose(1, 2).flatten(2)

    def room(self, places: int) -> int:
        """Attention runs over so many where there are `places`, at least as many.

        On a CPU these are sizes at which MKL and PyTorch sum a row up alike whatever is behind its end: vectors of 16,
        products in blocks of 192 keys (a rest is halved where there is but one whole block), softmax in blocks of 512.
        On a GPU kernels copy a mask in every layer unless it has a multiple of 8 keys.
        """
        if self.device.type != "cpu":
            return -(-places // 8) * 8
        blocks, rest = divmod(places, 512)
        return blocks * 512 + (384 if 192 < rest <= 384 else -(-rest // 16) * 16)

    def hidden(self, weights: Weights, tokens: Tensor, places: Tensor, hear: Hear) -> Tensor:
        """Tokens (...,) at their places through every layer and the last norm, (..., hidden)."""
        turns = {kind: (cos[places], sin[places]) for kind, (cos, sin) in self.ropes.items()}
        x = F.embedding(tokens, weights.embedding, self.body.embed_tokens.padding_idx)
        if (factor := getattr(self.body.embed_tokens, "embed_scale", None)) is not None:
            x = x * factor.to(x.dtype)
        x = x.float()
        for number, layer in enumerate(weights.layers):
            through = partial(self._through, layer, turns[layer.rope], partial(hear, number, layer))
            if self.recomputes and torch.is_grad_enabled():
                x = checkpoint(through, x, use_reentrant=False, preserve_rng_state=False)
            else:
                x = through(x)
        return self._normed(x, weights.norm)

    def logits(self, hidden: Tensor) -> Tensor:
        """Of hidden states, (..., vocabulary) in float32; without a gradient."""
        logits = product(hidden, self.weights.head).float()
        return logits if self.cap is None else self.cap * torch.tanh(logits / self.cap)

    def _through(
        self, layer: Layer, turns: tuple[Tensor, Tensor], hear: Callable[[Tensor, Tensor, Tensor], Tensor], x: Tensor
    ) -> Tensor:
        """One layer."""
        qkv = product(self._normed(x, layer.before_attention), layer.qkv, layer.qkv_bias)
        heard = hear(*self._turned(qkv.to(self.attends_in), layer, turns)).type_as(qkv)
        x = x + self._normed(product(heard, layer.out, layer.out_bias), layer.after_attention)
        gate, up = product(self._normed(x, layer.before_mlp), layer.gate_up).chunk(2, -1)
        return x + self._normed(product(layer.activation(gate) * up, layer.down), layer.after_mlp)

    def _turned(self, qkv: Tensor, layer: Layer, turns: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries and keys turned by their places (Su et al. 2021), and values; (..., heads, head width) each."""
        qkv = qkv.view(*qkv.shape[:-1], -1, self.width)
        both, value = torch.split_with_sizes(qkv, (self.heads + self.shared, self.shared), -2)
        if layer.query_norm is not None:
            query, key = torch.split_with_sizes(both, (self.heads, self.shared), -2)
            both = torch.cat([self._normed(query, layer.query_norm), self._normed(key, layer.key_norm)], -2)
        cos, sin = turns
        turned = (both * cos + both.roll(self.width // 2, -1) * sin).type_as(value)
        query, key = torch.split_with_sizes(turned, (self.heads, self.shared), -2)
        return query, key, value

    def _normed(self, x: Tensor, weight: Tensor | None) -> Tensor:
        """In float32, as the sum of the layers is kept, whatever the products are computed in."""
        if weight is None:
            return x
        x = x.float()
        if x.is_cpu:
            normed = rms_norm(x, weight, self.epsilon)
        else:
            normed = F.rms_norm(x, weight.shape, weight, self.epsilon.item())
        return normed if self.dtype == torch.float32 else normed.to(self.dtype)

    def knows_all_weights(self) -> bool:
        """Whether nothing of the model would be left untrained; adapters stand for themselves."""
        known = {id(weight) for stack in self.stacks() for weight in stack.weights}
        return all(id(weight) in known or ".lora_" in name for name, weight in self.model.named_parameters())

    def _weights(self, take: Callable[[Stack], Tensor]) -> Weights:
        def taken(plan: Mapping[str, Any]) -> dict[str, Any]:
            return {name: take(part) if isinstance(part, Stack) else part for name, part in plan.items()}

        return Weights(layers=[Layer(**taken(plan)) for plan in self.plans], **taken(self.ends))

    def _plan(self, layer: Any) -> dict[str, Any]:
        """What a `Layer` is made of, its weights as stacks."""
        attention, mlp = layer.self_attn, layer.mlp
        four = hasattr(layer, "pre_feedforward_layernorm")
        qkv = (attention.q_proj, attention.k_proj, attention.v_proj)
        return {
            "qkv": self._stack(*qkv),
            "qkv_bias": None if qkv[0].bias is None else self._stack(*qkv, name="bias"),
            "out": self._stack(attention.o_proj),
            "out_bias": None if attention.o_proj.bias is None else self._stack(attention.o_proj, name="bias"),
            "gate_up": self._stack(mlp.gate_proj, mlp.up_proj),
            "down": self._stack(mlp.down_proj),
            "before_attention": self._norm(layer.input_layernorm),
            "after_attention": self._norm(layer.post_attention_layernorm) if four else None,
            "before_mlp": self._norm(layer.pre_feedforward_layernorm if four else layer.post_attention_layernorm),
            "after_mlp": self._norm(layer.post_feedforward_layernorm) if four else None,
            "query_norm": self._norm(attention.q_norm) if hasattr(attention, "q_norm") else None,
            "key_norm": self._norm(attention.k_norm) if hasattr(attention, "k_norm") else None,
            "scale": attention.scaling,
            "soft_cap": getattr(attention, "attn_logit_softcapping", None),
            "window": self._window(attention),
            "rope": attention.layer_type if self.model.config.model_type == "gemma3_text" else "",
            # Without what a module's call looks for at every token.
            "activation": getattr(mlp.act_fn, "forward", mlp.act_fn),
        }

    def _stack(self, *layers: nn.Module, name: str = "weight") -> Stack:
        return Stack(layers, name, self.dtype, 0.0, self.lasts)

    def _norm(self, norm: nn.Module) -> Stack:
        return Stack((norm,), "weight", torch.float32, self.offset, self.lasts)

    def _window(self, attention: Any) -> int | None:
        own = getattr(attention, "sliding_window", None)
        return own if self.model.config.model_type != "mistral" else self.model.config.sliding_window

    def _rotations(self, kind: str, places: int) -> tuple[Tensor, Tensor]:
        """cos and sin of every place, (places, 1, head width) for all heads; the sign of the turn is in sin."""
        options = {"layer_type": kind} if kind else {}
        with torch.inference_mode(False), torch.no_grad():  # what is made here serves training too
            where = torch.arange(places, device=self.device)[None]
            like = torch.zeros((), device=self.device)
            wide = torch.promote_types(self.attends_in, like.dtype)
            cos, sin = (found[0, :, None].to(wide) for found in self.body.rotary_emb(like, where, **options))
            half = self.width // 2
            return cos, torch.cat([-sin[..., :half], sin[..., half:]], -1)


def network_of(model: Any, dtype: torch.dtype, lasts: bool = True) -> Network | None:
    """The network of a model, if there is one that gives the model's own logits: tried on a few tokens."""
    if getattr(model.config, "model_type", None) not in NORM_OFFSET or _rope_types(model) & {"dynamic", "longrope"}:
        return None
    with torch.inference_mode(False), torch.no_grad():  # what is made here serves training too
        network = Network(model, dtype, lasts)
        if not network.knows_all_weights():
            return None
        network.reach(4)
        places = torch.arange(4, device=model.device)
        ids = places % model.config.vocab_size
        wanted = model(input_ids=ids[None], use_cache=False).logits[0].float()
        heard = network.in_order(4)
        hidden = network.hidden(network.weights, ids[None], places, lambda _, *told: heard(*told))
        found = network.logits(hidden)[0]
    loose = 1e-3 if dtype == torch.float32 else 5e-2
    return network if float((found - wanted).abs().max()) <= loose * float(wanted.abs().max() + 1) else None


def _rope_types(model: Any) -> set[str]:
    """Rotations by name; some depend on how long a row is, so that no table holds for all."""
    kinds = getattr(getattr(model.base_model, "rotary_emb", None), "rope_type", "default")
    return set(kinds.values()) if isinstance(kinds, dict) else {kinds}


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Of (..., in) with a weight (out, in), (..., out). On a CPU few rows are filled up to a multiple of `ROWS`."""
    rows = x.shape[:-1].numel()
    if rows % ROWS == 0 or not x.is_cpu or rows >= 2 * ROWS * torch.get_num_threads():
        return F.linear(x, weight, bias)
    filled = F.pad(x.reshape(rows, x.shape[-1]), (0, 0, 0, -rows % ROWS))
    return F.linear(filled, weight, bias)[:rows].view(*x.shape[:-1], len(weight))
