"""Sampling server: rollouts from an OpenAI-compatible server (vLLM, SGLang), which is handed the weights by folder.

Prompts go out as token ids and answers come back as token ids with the log-prob of each, so that no text is tokenized
twice. What a server must answer, and where each server's documentation says so, is in docs/sampling-server.md.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import torch

from graders.grade import GradingStopped
from graders.service.plain import PlainWire
from graders.service.wire import AiohttpWire, Response, Wire, WireError, proxy_for
from graders.template import short
from rft_loop.learning.update import score
from rft_loop.model.adapter import save_whole
from rft_loop.model.policy import Policy
from rft_loop.recipe import Reload, SamplingServer
from rft_loop.sampling.rollout import Rollout

WAITS = (0.5, 1.0, 2.0, 4.0)  # seconds before another try, where a server did not answer or was overloaded
RETRIED = (408, 425, 429, 500, 502, 503, 504)
ANOTHER_MODEL = 1.0  # nats a token, on average, past which the weights handed over are not those that answer
PROBES = 4  # answers that a server is asked for before anything is spent

PRESETS: Mapping[str, tuple[Reload, ...]] = {
    "vllm": (
        Reload(
            url="/collective_rpc",
            body={
                "method": "reload_weights",
                "kwargs": {"weights_path": "{{folder}}", "is_checkpoint_format": True},
            },
        ),
        Reload(url="/reset_prefix_cache"),  # else prompts go on with keys and values of the old weights
    ),
    "sglang": (Reload(url="/update_weights_from_disk", body={"model_path": "{{folder}}", "flush_cache": True}),),
}
REMEDIES: Mapping[str, str] = {
    "ids": "vLLM from 0.10.2 on and SGLang of 2026 give them (return_token_ids)",
    "vllm reload": "start it with VLLM_SERVER_DEV_MODE=1, which opens /collective_rpc and /reset_prefix_cache",
    "raw": "start vLLM with --logprobs-mode processed_logprobs, SGLang without SGLANG_RETURN_ORIGINAL_LOGPROB",
}


class ServerError(GradingStopped):
    """The server cannot be asked, or answers what cannot be trained on. Ends a run; what was recorded is kept."""


class ServerSampler:
    """Asks a server for rollouts, and hands it the policy's weights as a transformers folder."""

    def __init__(self, policy: Policy, server: SamplingServer) -> None:
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise ValueError("sampler: a server is asked by one trainer process; start without torchrun")
        self.policy, self.server = policy, server
        self.address = server.base_url.rstrip("/")
        self.reload = PRESETS.get(server.kind, server.reload)
        self._step: int | None = None  # whose weights the server has

    def check(self, prompt: Sequence[int], max_new_tokens: int, temperature: float) -> None:
        """Hand over the weights, ask for a few answers and score them too. ValueError where the server is of no use."""
        try:
            self.follow(0, now=True)
            rollouts = self.sample(
                [prompt], per_prompt=PROBES, max_new_tokens=max_new_tokens, temperature=temperature, seed=0
            )
        except ServerError as problem:
            raise ValueError(str(problem)) from None
        self._step = None
        apart = logprob_gap(self.policy, rollouts, temperature)
        raw = logprob_gap(self.policy, rollouts, 1.0)
        if temperature != 1 and raw < apart / 2:
            raise ValueError(
                f"sampler: {self.address} gives log-probs at temperature 1, and the recipe samples at {temperature:g}; "
                f"{REMEDIES['raw']}, or set temperature: 1"
            )
        if apart > ANOTHER_MODEL:
            raise ValueError(
                f"sampler: the log-probs of {self.address} differ from the trainer's by {apart:.2g} nats a token on "
                "average for the weights just handed over: it has not taken them, or serves another model. See "
                f"sampler.reload and sampler.model (given: {self.server.model!r})"
            )

    def follow(self, step: int, *, now: bool = False) -> None:
        """Write the weights and tell the server to load them, if they are due.

        Each hand-over has a folder of its own, written beside and renamed: servers that remember a folder's weights by
        its name (vllm#32718) read the new ones. The folder before is deleted once the server has the new one.
        """
        if self._step == step or not (now or self._step is None or step - self._step >= self.server.sync_every):
            return
        folder = self._write(step)
        for call in self.reload:
            self._call(call, folder)
        self._step = step
        for old in self.server.weights.glob("step-*"):
            if old != folder:
                shutil.rmtree(old, ignore_errors=True)

    def _write(self, step: int) -> Path:
        root = self.server.weights
        attempt = sum(1 for _ in root.glob(f"step-{step:06d}*")) if root.is_dir() else 0
        folder = root / (f"step-{step:06d}" + (f"-{attempt}" if attempt else ""))
        partial = root / f".{folder.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_whole(self.policy.model, partial)
        self.policy.tokenizer.save_pretrained(partial)
        os.rename(partial, folder)
        return folder

    def _call(self, call: Reload, folder: Path) -> None:
        url = urljoin(self.address, call.url)
        body = json.loads(json.dumps(call.body).replace("{{folder}}", json.dumps(str(folder))[1:-1]))
        response = asyncio.run(self._posted(url, [body]))[0]
        if not 200 <= response.status < 300:
            remedy = f"; {REMEDIES['vllm reload']}" if self.server.kind == "vllm" and response.status == 404 else ""
            raise ServerError(f"sampler: {url} did not load the weights in {folder}: {_said(response)}{remedy}")

    def sample(
        self, prompts: Sequence[Sequence[int]], *, per_prompt: int, max_new_tokens: int, temperature: float, seed: int
    ) -> list[Rollout]:
        """Raises ServerError. One request a rollout, each with a seed of its own; prompts are shared by its cache."""
        rows = [prompt for prompt in prompts for _ in range(per_prompt)]
        bodies = [
            {
                "model": self.server.model,
                "prompt": list(prompt),
                "n": 1,
                "max_tokens": max_new_tokens,
                "temperature": temperature,
                "top_p": 1.0,
                "top_k": -1,  # these three, since vLLM else takes them from the model's generation config
                "min_p": 0.0,
                "repetition_penalty": 1.0,
                "seed": random.Random(f"rollout {seed} {place}").getrandbits(31),
                "logprobs": 1,
                "return_token_ids": True,
                "return_tokens_as_token_ids": True,
                "stop_token_ids": sorted(self.policy.end_ids),
                **self.server.request,
            }
            for place, prompt in enumerate(rows)
        ]
        url = f"{self.address}/completions"
        answers = asyncio.run(self._posted(url, bodies))
        return [self._rollout(prompt, url, answer) for prompt, answer in zip(rows, answers, strict=True)]

    def _rollout(self, prompt: Sequence[int], url: str, answer: Response) -> Rollout:
        if answer.status != 200:
            raise ServerError(f"sampler: {url}: {_said(answer)}")
        try:
            choice = json.loads(answer.body)["choices"][0]
            logprobs = choice["logprobs"]["token_logprobs"]
        except (ValueError, KeyError, IndexError, TypeError):
            raise ServerError(
                f"sampler: {url} answers without choices[0].logprobs.token_logprobs: {_said(answer)}"
            ) from (None)
        ids = _token_ids(choice)
        if ids is None:
            raise ServerError(f"sampler: {url} answers without token ids (choices[0].token_ids); {REMEDIES['ids']}")
        if choice.get("prompt_token_ids") not in (None, list(prompt)):
            raise ServerError(f"sampler: {url} has put other tokens in the prompt's place; it must not add any (BOS)")
        if not ids or len(ids) != len(logprobs) or not all(_is_logprob(value) for value in logprobs):
            raise ServerError(
                f"sampler: {url} gives {len(ids)} tokens with log-probs {short(logprobs)}: one each is due"
            )
        end = next((place for place, token in enumerate(ids) if token in self.policy.end_ids), None)
        if choice.get("finish_reason") == "stop" and end is None:
            raise ServerError(
                f"sampler: {url} ends an answer with no end token among its ids {short(ids)}: it leaves the end "
                f"token out, or ends at another than the trainer's {sorted(self.policy.end_ids)}; see sampler.request"
            )
        length = len(ids) if end is None else end + 1
        return Rollout(
            prompt=tuple(prompt),
            tokens=tuple(ids[:length]),
            logprobs=tuple(float(value) for value in logprobs[:length]),
            finish="length" if end is None else "stop",
            text=self.policy.text(ids[:length]),
        )

    async def _posted(self, url: str, bodies: Sequence[Mapping[str, Any]]) -> list[Response]:
        wire = _open(url, self.server.api_key_env)
        places = asyncio.Semaphore(self.server.concurrency)

        async def one(body: Mapping[str, Any]) -> Response:
            async with places:
                return await self._answer(wire, url, json.dumps(body).encode())

        try:
            return await asyncio.gather(*(one(body) for body in bodies))
        finally:
            await wire.close()

    async def _answer(self, wire: Wire, url: str, body: bytes) -> Response:
        """One answer, after a few more tries where none came or the server was overloaded."""
        said = ""
        for wait in (*WAITS, None):
            try:
                response = await wire.post(body, self.server.timeout)
                if response.status not in RETRIED or wait is None:
                    return response
            except TimeoutError:
                said = f"no answer within sampler.timeout={self.server.timeout:g} s"
            except WireError as problem:
                said = str(problem)
            if wait is not None:
                await asyncio.sleep(wait)
        raise ServerError(f"sampler: {url} does not answer ({said}); start the server, or mend sampler.base_url")


@torch.no_grad()
def logprob_gap(policy: Policy, rollouts: Sequence[Rollout], temperature: float) -> float:
    """Mean absolute difference of the rollouts' own log-probs from the policy's at a temperature, in nats a token."""
    scored = score(policy, rollouts, temperature)
    rows = zip(scored.logprobs.tolist(), rollouts, strict=True)
    apart = [abs(one - other) for row, rollout in rows for one, other in zip(row, rollout.logprobs, strict=False)]
    return math.fsum(apart) / len(apart)


def _token_ids(choice: Mapping[str, Any]) -> list[int] | None:
    """An answer's token ids: `token_ids` (vLLM, SGLang), else tokens that are written as `token_id:<number>` (vLLM)."""
    ids = choice.get("token_ids")
    if ids is None:
        named = [str(token).partition("token_id:")[2] for token in choice["logprobs"].get("tokens") or ["none"]]
        return [int(name) for name in named] if all(name.isdigit() for name in named) else None
    return ids if isinstance(ids, list) and all(isinstance(token, int) for token in ids) else None


def _is_logprob(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _open(url: str, key_variable: str | None) -> Wire:
    headers = {"Accept": "application/json", "User-Agent": "assay"}
    if key_variable is not None:
        key = os.environ.get(key_variable, "").strip()
        if not (key and key.isascii() and key.isprintable()):
            raise ServerError(f"sampler: no key for {url}: set the environment variable {key_variable}")
        headers["Authorization"] = f"Bearer {key}"
    return (PlainWire if proxy_for(url) is None else AiohttpWire)(url, headers)


def _said(response: Response) -> str:
    return f"HTTP {response.status} {short(response.body.decode(errors='replace'))}"
