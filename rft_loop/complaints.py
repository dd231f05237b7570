"""Complaints: what is wrong with a recipe, in one line each: the key, its value, and what to write instead."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

WORDS = {
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be {ge:g} or more",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be {le:g} or less",
    "finite_number": "must be a finite number",
    "int_type": "a whole number is wanted",
    "int_parsing": "a whole number is wanted",
    "int_parsing_size": "a whole number of fewer digits is wanted",
    "int_from_float": "a whole number is wanted",
    "float_type": "a number is wanted",
    "float_parsing": "a number is wanted",
    "bool_type": "true or false is wanted",
    "bool_parsing": "true or false is wanted",
    "string_type": "a text is wanted",
    "string_too_short": "must not be empty",
    "path_type": "a path is wanted",
    "list_type": "a list is wanted, as in [a, b]",
    "tuple_type": "a list is wanted, as in [a, b]",
    "too_long": "has more than {max_length} values",
    "too_short": "has fewer than {min_length} values",
}
"""What pydantic's types of errors are called here, with what is known of each (`ctx`)."""

PATTERNS = {
    "name": "letters, digits, - _ . only; the folder above it is runs=",
    "thinking": "the bare name of a tag: a letter, then letters, digits, - _ only; null for no tag",
}

EITHER = {
    "model": "a hub id, a folder, a .gguf file, or {scratch: {...}}",
    "grader": "a file.json, file.py:name, or the grader's JSON itself",
}

SECTIONS = {
    "kl": "weight=0.1",
    "lora": "rank=16",
    "reward": "clip=[0, 1]",
    "reward.length": "per_token=0.001",
    "reward.soft_limit": "buffer=64",
    "sampler": "base_url=http://127.0.0.1:8000/v1",
    "supervised": "answers=answers.jsonl",
    "warm_start": "data=answers.jsonl",
    "model.scratch": "hidden_size=160",
}
"""Of each section, how one of its keys is set."""

TRL = {
    "num_generations": "group_size",
    "beta": "kl.weight",
    "kl.beta": "kl.weight",
    "max_completion_length": "max_new_tokens",
    "max_prompt_length": "max_prompt_tokens",
    "epsilon": "clip_low",
    "epsilon_high": "clip_high",
    "num_iterations": "updates_per_step",
    "scale_rewards": "advantage (group: grpo, batch: batch, none: mean)",
    "loss_type": "aggregation (grpo: sequence, dapo: token, dr_grpo: constant) or loss (cispo)",
    "importance_sampling_level": "loss (token: clip, sequence: gspo)",
    "mask_truncated_completions": "overlong (mask)",
    "per_device_train_batch_size": "items_per_step (items, of group_size answers each) and micro_batch_rows",
    "gradient_accumulation_steps": "micro_batch_rows (the gradient does not depend on it)",
    "max_steps": "steps",
    "num_train_epochs": "steps (items_per_step items each)",
    "lr_scheduler_type": "schedule",
    "warmup_ratio": "warmup_steps",
    "optim": "optimizer",
    "bf16": "precision (bfloat16)",
    "report_to": "tracker",
    "run_name": "name",
    "output_dir": "runs and name (the folder is <runs>/<name>)",
    "save_steps": "save_every",
    "save_total_limit": "keep_checkpoints",
    "eval_steps": "eval_every",
    "metric_for_best_model": "best_by",
    "use_vllm": "sampler",
    "vllm_server_base_url": "sampler.base_url",
    "vllm_importance_sampling_correction": "importance_correction",
    "vllm_importance_sampling_cap": "importance_cap",
    "reward_funcs": "grader",
    "reward_weights": "grader (of the type weighted_sum)",
    "model_name_or_path": "model",
    "dataset_name": "train",
    "train_dataset": "train",
    "eval_dataset": "validation",
    "peft_config": "lora",
    "use_peft": "lora",
    "lora_r": "lora.rank",
    "lora_alpha": "lora.alpha",
    "lora_target_modules": "lora.targets",
    "lora.r": "lora.rank",
    "lora.lora_alpha": "lora.alpha",
    "lora.target_modules": "lora.targets",
}
"""What TRL and peft call a key, and what it is called here."""


def complaints(
    problem: ValidationError, data: Mapping[str, Any], sections: Mapping[str, type[BaseModel]], whole: type[BaseModel]
) -> list[str]:
    """A line for each thing that is wrong. `sections` are the models of dotted places, `whole` that of all of it."""
    lines = []
    for finding in problem.errors():
        names = [str(part) for part in finding["loc"] if part not in ("str", "ScratchModel", "dict[str,any]")]
        if names[:1] == ["model"] and finding["type"] == "string_type" and isinstance(data.get("model"), dict):
            continue  # the other branch of the union has the useful complaint
        known = sections.get(".".join(names[:-1]), whole).model_fields
        lines.append(_line(names, finding["type"], finding["input"], finding.get("ctx", {}), finding["msg"], known))
    return list(dict.fromkeys(lines))  # each branch of a union complains


def _line(
    names: list[str], kind: str, given: Any, known_of: Mapping[str, Any], message: str, known: Iterable[str]
) -> str:
    place = ".".join(names)
    if kind == "extra_forbidden":
        return f"unknown key {place!r}; {_hint(names, known)}"
    if kind == "missing" and names[-1].isdigit():
        return f"{'.'.join(names[:-1])}: a value is missing at the end of the list"
    if kind == "missing":
        return f"key {place!r} is missing"
    if kind in ("value_error", "assertion_error"):
        return _own_words(place, message.removeprefix("Value error, "), given)
    return f"{place}={shown(given)}: {_words(place, kind, given, known_of, message)}"


def _words(place: str, kind: str, given: Any, known_of: Mapping[str, Any], message: str) -> str:
    either = EITHER.get("grader" if place.startswith("watch.") else place)
    if either is not None:
        return f"expected {either}"
    if kind == "literal_error":
        allowed = str(known_of["expected"]).replace("'", "")
        return f"must be {allowed}"
    if kind == "string_pattern_mismatch" and place in PATTERNS:
        return PATTERNS[place]
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        example = SECTIONS.get(place)
        if example is None:
            return "a section is wanted: {key: value, ...}"
        if type(given) in (int, float) and place in ("lora", "kl"):
            example = f"{example.partition('=')[0]}={given}"
        return f"a section is wanted, as in {place}.{example}"
    if kind in WORDS:
        return WORDS[kind].format(**known_of)
    return message[:1].lower() + message[1:]


def _own_words(place: str, message: str, given: Any) -> str:
    """A validator's own sentence; where it opens with a key, that is told with its sections."""
    opening = message.partition("=")[0].partition(":")[0]
    if not place or opening == place or opening.startswith(f"{place}."):
        return message
    if "=" in message and opening.isidentifier():
        return f"{place}.{message}"
    return f"{place}: {message}" if repr(given) in message else f"{place}={shown(given)}: {message}"


def _hint(names: Sequence[str], known: Iterable[str]) -> str:
    """How the key is called here: as TRL's users know it, or nearly so; else all that is known."""
    if (ours := TRL.get(".".join(names))) is not None:
        return f"here it is {ours}"
    known = sorted(known)
    if close := difflib.get_close_matches(names[-1][:100], known, n=1):
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(known) or 'none'}"


def shown(value: Any, longest: int = 80) -> str:
    """A value as a recipe writes it, in one line."""
    if isinstance(value, str) and value == value.strip() and value.isprintable() and value:
        text = value
    else:
        try:
            text = json.dumps(value, ensure_ascii=False).replace('"', "") if value != "" else "''"
        except (TypeError, ValueError):
            text = repr(value)
    text = {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}.get(text, text)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
