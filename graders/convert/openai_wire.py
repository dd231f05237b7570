"""OpenAI's fine-tuning jobs and evals: their graders, the schema of their items, and their pass rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graders.convert.converted import Converted, part_key
from graders.grader import Grader
from graders.registry import load
from graders.template import short
from graders.variables import missing_variables

JOB_KEYS: Mapping[str, str] = {
    "hyperparameters": "training options are keys of a recipe here (docs/training.md), under other names",
    "response_format": "the form of the output is asked for where it is decoded; a `json_schema` grader can demand it",
    "tools": "tools of agentic fine-tuning are not called here",
    "max_episode_steps": "tools of agentic fine-tuning are not called here",
    "model": "the model to train is named in a recipe",
    "training_file": "the data set is named in a recipe; download the file",
    "validation_file": "the data set is named in a recipe; download the file",
    "suffix": "a run is named in its recipe",
    "seed": "the seed is set in a recipe",
    "integrations": "runs are recorded in their own folder",
    "item": "a row needs an output beside it, a text in `model_sample`",
    "model_sample": "the output of a row is a text",
    "metadata": "a grader file has no place for notes",
}
"""What a job holds besides its grader, and why it stays behind."""

SERVICE_KEYS = frozenset(
    {
        *("object", "id", "created_at", "finished_at", "estimated_finish", "fine_tuned_model", "organization_id"),
        *("status", "result_files", "trained_tokens", "error", "eval_id", "user_provided_suffix", "usage_metrics"),
        "shared_with_openai",
    }
)
"""What the service says about a job: no part of a definition."""

OF_A_RUN = ("model_sample", "item")
"""What a request to run a grader once holds besides it."""


def is_job(source: Mapping[str, Any]) -> bool:
    return isinstance(source.get("method"), Mapping) or isinstance(source.get("grader"), Mapping)


def is_eval(source: Mapping[str, Any]) -> bool:
    return "testing_criteria" in source


def from_job(source: Mapping[str, Any]) -> Converted:
    """The grader of a fine-tuning job (a request or the job object), or of a request to run or validate one."""
    method = source.get("method")
    converted = Converted(_named(source))
    if isinstance(method, Mapping):
        kind = method.get("type", "reinforcement" if "reinforcement" in method else None)
        reinforcement = method.get("reinforcement")
        if kind != "reinforcement" or not isinstance(reinforcement, Mapping):
            raise ValueError(f"method: only reinforcement fine-tuning has a grader, and this is {short(kind)}")
        _left_behind(converted, reinforcement, "method.reinforcement", {"grader"})
        _left_behind(converted, method, "method", {"type", "reinforcement"})
        holder, place = reinforcement, "method.reinforcement.grader"
    else:
        holder, place = source, "grader"
    if not isinstance(holder.get("grader"), Mapping):
        raise ValueError(f"{place}: a grader is an object with a 'type', not {short(holder.get('grader'))}")
    used = {"method", "grader"} | SERVICE_KEYS
    if not isinstance(method, Mapping) and isinstance(source.get("model_sample"), str):
        used |= set(OF_A_RUN)
        converted.rows["rows"] = [_row_of_run(converted, source)]
    _left_behind(converted, source, "", used)
    grader = _loaded(holder["grader"], place)
    converted.add(grader.label, grader)
    return converted


def _named(source: Mapping[str, Any]) -> str:
    """What a definition with one grader is, in words."""
    if isinstance(source.get("method"), Mapping):
        return "an OpenAI fine-tuning job"
    return f"a request to {'run' if any(key in source for key in OF_A_RUN) else 'validate'} a grader of OpenAI's"


def _row_of_run(converted: Converted, source: Mapping[str, Any]) -> dict[str, Any]:
    """The item and the output that a request to run a grader holds, as a row that `assay grade` reads."""
    item = source.get("item")
    if item is not None and not isinstance(item, Mapping):
        converted.lost("item", item, "an item is an object; the row has an empty one")
    return {"item": dict(item) if isinstance(item, Mapping) else {}, "sample": {"output_text": source["model_sample"]}}


def _left_behind(converted: Converted, holder: Mapping[str, Any], place: str, used: set[str] | frozenset[str]) -> None:
    for key, value in holder.items():
        if key not in used and value not in (None, [], {}):
            what = converted.source.replace("an OpenAI", "a")
            why = JOB_KEYS.get(key, f"no such key of {what} is known")
            converted.lost(f"{place}.{key}".lstrip("."), value, why)


def _loaded(definition: Any, place: str) -> Grader:
    try:
        return load(definition)
    except (ValueError, LookupError, TypeError) as problem:
        raise ValueError(f"{place}: {problem.args[0]}") from None


def from_eval(source: Mapping[str, Any]) -> Converted:
    """A grader for each testing criterion of an eval (a request or the eval object), and one for its pass rule."""
    converted = Converted("an OpenAI eval")
    criteria = source["testing_criteria"]
    if not isinstance(criteria, list | tuple) or not criteria:
        raise ValueError(f"testing_criteria: a list of graders is expected, not {short(criteria)}")
    converted.schema = _item_schema(converted, source.get("data_source_config"))
    names = {}
    for number, definition in enumerate(criteria):
        grader = _loaded(definition, f"testing_criteria.{number}")
        names[converted.add(grader.label, grader)] = grader
        for missing in missing_variables(grader, schema=converted.schema):
            converted.otherwise(
                f"testing_criteria.{number}.{missing.place}", f"{{{{ {missing.variable} }}}}", missing.hint
            )
    for key in source.keys() - {"testing_criteria", "data_source_config", "object", "id", "created_at", "name"}:
        if source[key]:
            converted.lost(key, source[key], "a grader file has no place for notes")
    _pass_rule(converted, names)
    return converted


def _item_schema(converted: Converted, config: Any) -> dict[str, Any] | None:
    """The JSON schema of an item: `item_schema` of a request, or what a returned eval's `schema` says of `item`."""
    if not isinstance(config, Mapping):
        return None
    place = "data_source_config"
    if config.get("type") in ("logs", "stored_completions"):
        converted.lost(f"{place}.type", config["type"], "rows come from a file here; export them from the service")
    if config.get("metadata"):
        converted.lost(f"{place}.metadata", config["metadata"], "it chose rows on the service; choose them in the data")
    schema = config.get("item_schema")
    whole = config.get("schema", config.get("schema_"))  # the second as the client's model_dump() has it
    if schema is None and isinstance(whole, Mapping):
        properties = whole.get("properties")
        schema = properties.get("item") if isinstance(properties, Mapping) else None
        if isinstance(schema, Mapping) and "$defs" in whole:
            schema = {"$defs": whole["$defs"], **schema}
    if schema is not None and not isinstance(schema, Mapping):
        raise ValueError(f"{place}: a JSON schema is an object, not {short(schema)}")
    return None if schema is None else dict(schema)


def _pass_rule(converted: Converted, criteria: Mapping[str, Grader]) -> None:
    """An item passes when every criterion does: 1 of a `string_check` or label, else its `pass_threshold`."""
    parts: dict[str, Any] = {}
    for name, grader in criteria.items():
        definition, key = grader.to_wire(), part_key(name, parts)
        if grader.type in ("string_check", "label_model"):
            parts[key] = definition
        elif (threshold := getattr(grader, "pass_threshold", None)) is not None:
            parts[key] = {"type": "threshold", "name": key, "grader": definition, "at": threshold}
        else:
            why = "it has no pass_threshold, and OpenAI does not publish the default; its grader gives the score alone"
            converted.lost(f"testing_criteria {name!r}", "whether it passes", why)
            return
    if len(parts) == 1 and next(iter(criteria.values())).type in ("string_check", "label_model"):
        return  # its score is its pass rule
    whole = {"type": "min", "name": "passes", "graders": parts} if len(parts) > 1 else next(iter(parts.values()))
    try:
        converted.add("passes", load({**whole, "name": "passes"}))
    except ValueError as problem:  # a threshold that every output passes, or none
        converted.lost("testing_criteria", "whether an item passes", str(problem))
