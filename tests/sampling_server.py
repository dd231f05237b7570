"""A server that answers as vLLM does, with a small model in plain torch: what the tests of sampling by a server ask.

It has no weights until it is told of a folder. A request says in `as` how it is to be answered otherwise: `raw` with
log-probs at temperature 1, `bare` without token ids, `named` with ids as names of tokens, `overloaded` with 503 first.
Told of weights at `/deaf` it takes them and stays with them, as a server does whose later ones never arrive. Prints its
port, then serves until it is killed.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import torch

from rft_loop.learning.update import score
from rft_loop.model.policy import Policy, load_pretrained
from rft_loop.sampling.decode import sample


class Served:
    policy: Policy | None = None
    deaf = False
    turned_away: ClassVar[set[int]] = set()
    lock = threading.Lock()

    @classmethod
    def answer(cls, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        with cls.lock:
            if path == "/collective_rpc" and body["method"] == "reload_weights":
                return cls.load(body["kwargs"]["weights_path"])
            if path in ("/update_weights_from_disk", "/deaf"):
                return cls.load(body["model_path"], path == "/deaf")
            if path == "/reset_prefix_cache":
                return 200, {}
            if body.get("as") == "overloaded" and body["seed"] not in cls.turned_away:
                cls.turned_away.add(body["seed"])
                return 503, {"error": {"message": "too much at once"}}
            if path == "/v1/completions" and cls.policy is not None:
                return 200, cls.complete(cls.policy, body)
        return 404, {"error": {"message": f"nothing at {path}"}}

    @classmethod
    def load(cls, folder: str, deaf: bool = False) -> tuple[int, Any]:
        if not (deaf and cls.deaf):
            cls.policy = load_pretrained(folder, torch.device("cpu"))
        cls.deaf = deaf
        return 200, {"success": True}

    @classmethod
    def complete(cls, policy: Policy, body: dict[str, Any]) -> Any:
        (rollout,) = sample(
            policy,
            [body["prompt"]],
            per_prompt=1,
            max_new_tokens=body["max_tokens"],
            temperature=body["temperature"],
            seed=body["seed"],
        )
        logprobs = list(rollout.logprobs)
        if body.get("as") == "raw":
            with torch.no_grad():
                logprobs = score(policy, [rollout], 1.0).logprobs[0].tolist()
        named = [f"token_id:{token}" for token in rollout.tokens]
        choice: dict[str, Any] = {
            "text": rollout.text,
            "finish_reason": rollout.finish,
            "logprobs": {
                "token_logprobs": logprobs,
                "tokens": named if body.get("as") == "named" else ["?"] * len(named),
            },
        }
        if body.get("as") not in ("bare", "named"):
            choice |= {"token_ids": list(rollout.tokens), "prompt_token_ids": body["prompt"]}
        return {"choices": [choice]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or "{}")
        status, said = Served.answer(self.path, body)
        answer = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Listener(ThreadingHTTPServer):
    request_queue_size = 512  # a step's requests come at once
    daemon_threads = True


if __name__ == "__main__":
    torch.set_num_threads(1)
    server = Listener(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
