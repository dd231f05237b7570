"""Decoder: one token a row through the weights of Llama-like models, without transformers' modules around them.

The weights are those being trained. Projections that go together are stacked, so that a token costs half as many
matrix products; everything else is read in place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from rft_loop.model.adapter import merged_weight

if TYPE_CHECKING:
    from rft_loop.sampling.slots import Slots

NORM_OFFSET = {"llama": 0.0, "mistral": 0.0, "qwen2": 0.0, "qwen3": 0.0, "gemma2": 1.0, "gemma3_text": 1.0}
"""The model types that are known, with what their norms add to the weight (Gemma Team 2024, appendix)."""


class Cache(NamedTuple):
    """Keys and values of every layer, (rows, heads, places, head width) each."""

    keys: list[Tensor]
    values: list[Tensor]


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


class Decoder:
    """The next-token distribution of several rows at once, each at a place of its own."""

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        """Raises KeyError for a model type that is not known."""
        config = model.config
        self.model, self.dtype = model, dtype
        self.offset = NORM_OFFSET[config.model_type]
        self.body = model.base_model
        self.heads, self.shared = config.num_attention_heads, config.num_key_value_heads
        self.width = self.body.layers[0].self_attn.head_dim
        self.epsilon = config.rms_norm_eps
        self.cap = getattr(config, "final_logit_softcapping", None)
        self.slots: Slots | None = None  # rows to decode in, where they are kept
        self.lasts = True  # whether the same tensors hold the weights from call to call, so that graphs may read them
        self.ropes: dict[str, tuple[Tensor, Tensor]] = {}
        self.layers: list[Layer] = []
        self.refresh()
        self.windows = {layer.window for layer in self.layers}

    def cache(self, rows: int, places: int) -> Cache:
        """An empty cache."""
        device = self.model.device
        sides = [
            [torch.zeros(rows, self.shared, places, self.width, dtype=self.dtype, device=device) for _ in self.layers]
            for _ in range(2)
        ]
        return Cache(*sides)

    def reach(self, places: int) -> None:
        """Make ready for rows of so many places, prompt and answer together."""
        if not self.ropes or len(next(iter(self.ropes.values()))[0]) < places:
            kinds = {self._kind(layer) for layer in self.body.layers}
            self.ropes = {kind: self._rotations(kind, places) for kind in kinds}

    @torch.no_grad()
    def refresh(self) -> None:
        """Take the weights as they now are; into the same tensors, which graphs may read."""
        if not self.layers:
            self.layers = [self._layer(layer) for layer in self.body.layers]
            self.embedding, self.head, self.norm = self._ends()
            return
        for old, layer in zip(self.layers, self.body.layers, strict=True):
            for name, value in vars(self._layer(layer)).items():
                if isinstance(value, Tensor):
                    _renew(getattr(old, name), value)
        for mine, value in zip((self.embedding, self.head, self.norm), self._ends(), strict=True):
            _renew(mine, value)

    def logits(self, tokens: Tensor, places: Tensor, cache: Cache, length: int) -> Tensor:
        """Logits after one more token of each row, (rows, vocabulary) in float32; its keys and values are put in place.

        tokens, places: (rows,); a row attends to what the cache holds up to its own place. `length` bounds the places.
        """
        rows = torch.arange(len(tokens), device=tokens.device)
        apart = places[:, None] - torch.arange(length, device=tokens.device)
        masks = {window: _mask(apart, window, self.dtype)[:, None, None] for window in self.windows}

        def mixed(number: int, layer: Layer, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            keys, values = cache.keys[number], cache.values[number]
            keys[rows, :, places], values[rows, :, places] = key, value
            keys, values = keys[: len(tokens), :, :length], values[: len(tokens), :, :length]
            # Queries that share a head's keys stand where a sequence would, so that no key is repeated.
            query = query.reshape(len(query), self.shared, -1, self.width)
            return _attend(query, keys, values, masks[layer.window], layer).flatten(1)

        return self._head(self._through(tokens, places, mixed))

    def prefill(self, ids: Tensor, lengths: Tensor, cache: Cache, start: int, copies: int) -> Tensor:
        """Run prompts, (prompts, tokens) padded on the right, each into `copies` rows of the cache from `start` on.

        Logits after the last of each one's `lengths` tokens, (prompts, vocabulary). Attention looks back alone, so no
        prompt sees what stands behind it.
        """
        prompts, width = ids.shape
        places = torch.arange(width, device=ids.device)
        apart = places[:, None] - places
        masks = {window: _mask(apart, window, self.dtype) for window in self.windows}
        rows = slice(start, start + prompts * copies)

        def mixed(number: int, layer: Layer, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            query, key, value = (side.transpose(1, 2) for side in (query, key, value))
            cache.keys[number][rows, :, :width] = key.repeat_interleave(copies, 0)
            cache.values[number][rows, :, :width] = value.repeat_interleave(copies, 0)
            key, value = (side.repeat_interleave(self.heads // self.shared, 1) for side in (key, value))
            return _attend(query, key, value, masks[layer.window], layer).transpose(1, 2).flatten(2)

        hidden = self._through(ids, places, mixed)
        return self._head(hidden[torch.arange(prompts, device=ids.device), lengths - 1])

    def _through(
        self, tokens: Tensor, places: Tensor, mixed: Callable[[int, Layer, Tensor, Tensor, Tensor], Tensor]
    ) -> Tensor:
        """Tokens (...,) at their places through every layer, (..., hidden); `mixed` is how a layer attends."""
        turns = {
            kind: (cos[places][..., None, :], sin[places][..., None, :]) for kind, (cos, sin) in self.ropes.items()
        }
        x = F.embedding(tokens, self.embedding).float()
        if (factor := getattr(self.body.embed_tokens, "embed_scale", None)) is not None:
            x = x * factor.to(x.dtype)
        for number, layer in enumerate(self.layers):
            qkv = F.linear(self._normed(x, layer.before_attention), layer.qkv, layer.qkv_bias)
            heard = mixed(number, layer, *self._turned(qkv, layer, turns[layer.rope]))
            x = x + self._normed(F.linear(heard, layer.out, layer.out_bias), layer.after_attention)
            gate, up = F.linear(self._normed(x, layer.before_mlp), layer.gate_up).chunk(2, -1)
            x = x + self._normed(F.linear(layer.activation(gate) * up, layer.down), layer.after_mlp)
        return self._normed(x, self.norm)

    def _head(self, hidden: Tensor) -> Tensor:
        logits = F.linear(hidden, self.head).float()
        return logits if self.cap is None else self.cap * torch.tanh(logits / self.cap)

    def _turned(self, qkv: Tensor, layer: Layer, turns: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries and keys turned by their places (Su et al. 2021), and values; (..., heads, head width) each."""
        qkv = qkv.view(*qkv.shape[:-1], -1, self.width)
        both, value = torch.split(qkv, [self.heads + self.shared, self.shared], -2)
        if layer.query_norm is not None:
            query, key = torch.split(both, [self.heads, self.shared], -2)
            both = torch.cat([self._normed(query, layer.query_norm), self._normed(key, layer.key_norm)], -2)
        cos, sin = turns
        turned = (both * cos + both.roll(self.width // 2, -1) * sin).to(self.dtype)
        query, key = torch.split(turned, [self.heads, self.shared], -2)
        return query, key, value

    def _normed(self, x: Tensor, weight: Tensor | None) -> Tensor:
        """In float32, as the sum of the layers is kept, whatever the products are computed in."""
        return x if weight is None else F.rms_norm(x.float(), weight.shape, weight, self.epsilon).to(self.dtype)

    def _ends(self) -> tuple[Tensor, Tensor, Tensor]:
        """The embedding, the output projection and the norm before it."""
        first, last = self.body.embed_tokens.weight, self.model.get_output_embeddings().weight
        embedding = self._cast(first)
        return embedding, embedding if last is first else self._cast(last), self._norm(self.body.norm)

    def _layer(self, layer: Any) -> Layer:
        attention, mlp = layer.self_attn, layer.mlp
        four = hasattr(layer, "pre_feedforward_layernorm")
        return Layer(
            qkv=self._stacked(attention.q_proj, attention.k_proj, attention.v_proj),
            qkv_bias=self._stacked_bias(attention.q_proj, attention.k_proj, attention.v_proj),
            out=self._weight(attention.o_proj),
            out_bias=self._stacked_bias(attention.o_proj),
            gate_up=self._stacked(mlp.gate_proj, mlp.up_proj),
            down=self._weight(mlp.down_proj),
            before_attention=self._norm(layer.input_layernorm),
            after_attention=self._norm(layer.post_attention_layernorm) if four else None,
            before_mlp=self._norm(layer.pre_feedforward_layernorm if four else layer.post_attention_layernorm),
            after_mlp=self._norm(layer.post_feedforward_layernorm) if four else None,
            query_norm=self._norm(attention.q_norm) if hasattr(attention, "q_norm") else None,
            key_norm=self._norm(attention.k_norm) if hasattr(attention, "k_norm") else None,
            scale=attention.scaling,
            soft_cap=getattr(attention, "attn_logit_softcapping", None),
            window=self._window(attention),
            rope=self._kind(layer),
            activation=mlp.act_fn,
        )

    def _window(self, attention: Any) -> int | None:
        own = getattr(attention, "sliding_window", None)
        return own if self.model.config.model_type != "mistral" else self.model.config.sliding_window

    def _kind(self, layer: Any) -> str:
        """Which of the model's rotations a layer uses; only Gemma 3 has several."""
        return layer.self_attn.layer_type if self.model.config.model_type == "gemma3_text" else ""

    def _rotations(self, kind: str, places: int) -> tuple[Tensor, Tensor]:
        """cos and sin of every place, (places, head width); the sign of the turn is in sin."""
        where = torch.arange(places, device=self.model.device)[None]
        like = torch.zeros((), device=self.model.device)
        options = {"layer_type": kind} if kind else {}
        cos, sin = (found[0] for found in self.body.rotary_emb(like, where, **options))
        half = self.width // 2
        return cos, torch.cat([-sin[:, :half], sin[:, half:]], -1)

    def _weight(self, linear: nn.Module) -> Tensor:
        return self._cast(merged_weight(linear))

    def _stacked(self, *linears: nn.Module) -> Tensor:
        return torch.cat([self._weight(linear) for linear in linears])

    def _stacked_bias(self, *linears: nn.Module) -> Tensor | None:
        biases = [linear.bias for linear in linears]
        return None if biases[0] is None else torch.cat([self._cast(bias) for bias in biases])

    def _norm(self, norm: Any) -> Tensor:
        weight: Tensor = norm.weight.detach().float()
        return weight + self.offset if self.offset else weight

    def _cast(self, weight: Any) -> Tensor:
        cast: Tensor = weight.detach().to(self.dtype)
        return cast


def decoder_of(model: Any, dtype: torch.dtype) -> Decoder | None:
    """The decoder of a model, if there is one that gives the model's own logits: tried on a few tokens."""
    if getattr(model.config, "model_type", None) not in NORM_OFFSET:
        return None
    decoder = Decoder(model, dtype)
    decoder.reach(4)
    ids = torch.arange(4, device=model.device) % model.config.vocab_size
    cache = decoder.cache(1, 4)
    with torch.no_grad():
        wanted = model(input_ids=ids[None], use_cache=False).logits[0, 1:].float()
        found = decoder.prefill(ids[None, :2], torch.tensor([2], device=ids.device), cache, 0, 1)
        for place in (2, 3):
            more = decoder.logits(ids[place : place + 1], torch.tensor([place], device=ids.device), cache, 4)
            found = torch.cat([found, more])
    loose = 1e-3 if dtype == torch.float32 else 5e-2
    return decoder if float((found - wanted).abs().max()) <= loose * float(wanted.abs().max() + 1) else None


def _attend(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, layer: Layer) -> Tensor:
    """Attention with a mask that is added; like `query`."""
    if layer.soft_cap is None:
        return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=layer.scale)
    scores = layer.soft_cap * torch.tanh(query @ keys.transpose(-1, -2) * layer.scale / layer.soft_cap)
    return torch.softmax((scores + mask).float(), -1).to(values.dtype) @ values


def _mask(apart: Tensor, window: int | None, dtype: torch.dtype) -> Tensor:
    """0 where a query attends: to its own place and as far back as the window (Beltagy et al. 2020); else -inf."""
    near = apart >= 0 if window is None else (apart >= 0) & (apart < window)
    return torch.zeros(near.shape, dtype=dtype, device=near.device).masked_fill(~near, -torch.inf)


def _renew(old: Tensor, new: Tensor) -> None:
    if old.data_ptr() != new.data_ptr():
        old.copy_(new)
