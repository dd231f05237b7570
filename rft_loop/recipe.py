"""Recipe: everything a run can be told, in one model. Read from YAML, TOML or JSON, overridden with `-s a.b=value`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from graders.service.settings import service_address, variable_name
from graders.structured.json_schema import JsonSchema
from rewards.reward import LengthCharge, RewardSpec, SoftLimit
from rft_loop.complaints import complaints
from rft_loop.inputs import check_files


class Section(BaseModel):
    """A part of a recipe: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Scratch(Section):
    """A small Llama with random weights, and a tokenizer built from the training data. For demos and tests."""

    tokens: Literal["lines", "words", "characters"] = "lines"  # what one token stands for
    fields: tuple[str, ...] = ()  # keys of a row, besides its messages, whose texts the tokenizer should know
    hidden_size: int = Field(160, ge=8)
    intermediate_size: int = Field(480, ge=8)
    num_hidden_layers: int = Field(3, ge=1)
    num_attention_heads: int = Field(4, ge=1)
    num_key_value_heads: int | None = Field(None, ge=1)
    max_position_embeddings: int = Field(512, ge=8)
    tie_word_embeddings: bool = True

    @model_validator(mode="after")
    def _heads_share_out_evenly(self) -> Scratch:
        heads, shared = self.num_attention_heads, self.num_key_value_heads
        if self.hidden_size % (2 * heads):
            raise ValueError(
                f"hidden_size={self.hidden_size} with num_attention_heads={heads}: "
                f"each head needs the same even width; use a multiple of {2 * heads}"
            )
        if shared is not None and heads % shared:
            raise ValueError(f"num_key_value_heads={shared}: must divide num_attention_heads={heads}")
        return self


class ScratchModel(Section):
    """`model: {scratch: {...}}`"""

    scratch: Scratch


class WarmStart(Section):
    """Supervised training before step 1, on rows whose last message is the assistant's answer."""

    data: Path
    steps: int = Field(ge=1)
    batch_size: int = Field(32, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    warmup_steps: int = Field(20, ge=0)


REWARD = "reward"  # what the best checkpoint is chosen by, where a recipe says nothing else


class Supervised(Section):
    """What `method: supervised` learns, step by step, in the place of rewards."""

    answers: str = Field(min_length=1)  # rows whose last message is the assistant's, or a template over training rows
    learning_rate: float | None = Field(None, gt=0)  # None: the recipe's own

    @property
    def is_template(self) -> bool:
        """Whether the answers are made from the training rows, as in "{{item.answer}}"; else a file holds them."""
        return "{{" in self.answers


class KL(Section):
    """How far the policy may go from the model it started from: a charge of `weight` times their KL divergence."""

    weight: float = Field(0.0, ge=0)  # 0: no reference model is loaded
    estimator: Literal["k1", "k2", "k3"] = "k3"  # in the reward k1, which is all that it can be
    place: Literal["loss", "reward"] = (
        "loss"  # "reward": k1 summed over the answer, taken off before rewards are compared
    )

    @model_validator(mode="before")
    @classmethod
    def _estimates_as_its_place_has_it(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("estimator") is None:
            return {**data, "estimator": "k1" if data.get("place") == "reward" else "k3"}
        return data

    @model_validator(mode="after")
    def _estimates_what_it_charges(self) -> KL:
        if self.place == "reward" and self.estimator != "k1":
            raise ValueError(f"kl.estimator={self.estimator}: with place=reward use estimator=k1")
        if self.place == "loss" and self.estimator == "k1":
            raise ValueError(
                "kl.estimator=k1: with place=loss its gradient is 0 on average; use estimator=k3 or k2, or place=reward"
            )
        return self


class Reload(Section):
    """One `POST` that tells a sampling server of new weights; `{{folder}}` in its body stands for their folder."""

    url: str = Field(min_length=1)  # whole, or a path on the server
    body: dict[str, Any] = {}


class SamplingServer(Section):
    """An OpenAI-compatible server that samples in this process's place."""

    base_url: Annotated[str, AfterValidator(service_address)]  # with its /v1
    kind: Literal["vllm", "sglang", "other"]  # how it is told of new weights; other: by `reload`
    model: str  # its name on the server
    weights: Path  # folder that both can read, for the weights that are handed over
    reload: tuple[Reload, ...] = ()
    sync_every: int = Field(1, ge=1)  # steps from one hand-over to the next; validation always has the newest weights
    request: dict[str, Any] = {}  # further fields of each request
    api_key_env: Annotated[str, AfterValidator(variable_name)] | None = None
    concurrency: int = Field(256, ge=1)  # requests under way at once
    timeout: float = Field(600.0, gt=0)  # seconds that one try may take

    @model_validator(mode="after")
    def _is_told_in_one_way(self) -> SamplingServer:
        if (self.kind == "other") != bool(self.reload):
            raise ValueError(f"kind={self.kind}: reload is for kind: other, and needed there")
        return self


class Lora(Section):
    """Low-rank matrices beside frozen weights (Hu et al. 2021): they alone are trained."""

    rank: int = Field(16, ge=1)
    alpha: int = Field(32, ge=1)  # what the matrices add is multiplied by alpha / rank
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"  # names of linear layers; all but the output layer

    @field_validator("targets", mode="before")
    @classmethod
    def _names_layers(cls, given: Any) -> Any:
        if not given or (isinstance(given, str) and given != "all-linear"):
            raise ValueError(f"lora.targets={given}: expected all-linear, or a list of names such as [q_proj, v_proj]")
        return given


class Recipe(Section):
    """What to train, on what, judged by what, and how. Stored whole with the run."""

    # What
    name: str = Field("run", pattern=r"^[\w-][\w.-]*$", coerce_numbers_to_str=True)  # the run's folder is <runs>/<name>
    runs: Path = Path("runs")
    model: str | ScratchModel  # hub id, local folder, file.gguf, or {scratch: {...}}
    train: Path  # JSON Lines; the last message of each row is the user's
    validation: Path
    grader: str | dict[str, Any]  # a file.json, file.py:name, or the grader's JSON itself
    reward: RewardSpec = RewardSpec()
    warm_start: WarmStart | None = None
    method: Literal["reinforcement", "supervised"] = "reinforcement"  # what a step is
    supervised: Supervised | None = None
    judges: Path | None = None  # file of judges: services, models, prices; None: the one that ASSAY_JUDGES names
    budget: float | None = Field(None, gt=0)  # most dollars that judges may cost over the whole run

    # Rollouts
    steps: int = Field(100, ge=0)
    items_per_step: int = Field(16, ge=1)
    refill: int = Field(0, ge=0)  # times more items are drawn for groups whose rewards are all equal
    group_size: int = 8  # rollouts of one item; advantages compare within it
    max_new_tokens: int = Field(256, ge=1)
    max_prompt_tokens: int = Field(4096, ge=1)
    drawing: Literal["shuffled", "by_difficulty"] = "shuffled"  # by_difficulty: groups without spread come less often
    thinking: str | None = Field("think", pattern=r"^[A-Za-z][\w-]*$")  # tag of what graders do not see; None: they do
    response_format: dict[str, Any] | None = None  # OpenAI's: a JSON schema that every answer is held against
    temperature: float = Field(1.0, gt=0)
    top_k: int | None = Field(None, ge=1)  # only the likeliest k are drawn from; the trainer leaves out the same
    top_p: float = Field(1.0, gt=0, le=1)  # only the fewest whose probabilities sum to it
    sampler: SamplingServer | None = None  # None: this process decodes, with the weights that it trains

    # Update
    learning_rate: float = Field(1e-5, gt=0)
    warmup_steps: int = Field(0, ge=0)
    schedule: Literal["constant", "linear"] = "constant"  # linear falls evenly, to reach 0 after the last step
    advantage: Literal["grpo", "mean", "rloo", "batch", "reinforce++", "maxrl", "gdpo"] = "grpo"
    loss: Literal["clip", "reinforce", "gspo", "cispo"] = "clip"
    clip_low: float = Field(0.2, gt=0, lt=1)
    clip_high: float = Field(0.2, gt=0)
    aggregation: Literal["token", "sequence", "constant", "prompt"] = "token"
    overlong: Literal["keep", "mask"] = "keep"  # mask: an answer cut at max_new_tokens is compared, and not trained on
    kl: KL = KL()
    importance_correction: Literal["none", "token", "sequence"] = "none"  # of a sampler that differs from the trainer
    importance_cap: float = Field(2.0, ge=1)
    updates_per_step: int = Field(1, ge=1)  # passes over one step's rollouts
    micro_batch_rows: int = Field(16, ge=1)  # rollouts per forward pass; the gradient does not depend on it
    micro_batch_tokens: int | None = Field(None, ge=1)  # the same in tokens, padding counted
    entropy_bonus: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    lora: Lora | None = None  # None: every weight is trained

    # Memory
    precision: Literal["float32", "bfloat16"] = "float32"  # of the arithmetic; trained weights stay in float32
    gradient_checkpointing: bool = False  # activations are made again for the gradient instead of kept
    optimizer: Literal["adamw", "adamw_8bit"] = "adamw"
    offload_optimizer: bool = False  # its state lies in main memory, and its step is made there

    # Watching
    eval_every: int = Field(20, ge=1)
    save_every: int = Field(20, ge=1)  # also the warm start's interval
    keep_checkpoints: int = Field(2, ge=1)  # the newest ones; step 0 and the best are kept besides
    best_by: str = REWARD  # whose highest validation mean is best: or a name of `watch`, or a part of the grader
    tracker: Literal["none", "tensorboard", "wandb", "trackio", "mlflow"] = "none"
    watch: dict[str, str | dict[str, Any]] = {}  # graders that are only watched, by the names their figures bear
    max_error_rate: float = Field(0.05, ge=0, le=1)  # undecided share of ten steps past which the run stops

    # Machine
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    shard: bool = False  # with torchrun: split weights, gradients and the optimiser's state over the ranks
    decode_rows: int = Field(512, ge=1)  # rollouts decoded side by side
    grader_concurrency: int = Field(16, ge=1)  # calls under way at once, for graders that wait on a network

    @model_validator(mode="before")
    @classmethod
    def _corrects_what_rounding_sets_apart(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("precision") == "bfloat16":
            return {"importance_correction": "token"} | data
        return data

    @model_validator(mode="after")
    def _keeps_one_state_of_the_optimiser(self) -> Recipe:
        if self.offload_optimizer and self.optimizer != "adamw":
            raise ValueError(f"offload_optimizer=true goes with optimizer=adamw, not {self.optimizer}; choose one")
        return self

    @model_validator(mode="after")
    def _shards_what_is_worth_it(self) -> Recipe:
        given = [] if self.lora is None else [f"lora.rank={self.lora.rank}"]
        given += ["offload_optimizer=true"] if self.offload_optimizer else []
        given += [f"optimizer={self.optimizer}"] if self.optimizer != "adamw" else []
        if self.shard and given:
            raise ValueError(
                "shard=true needs optimizer=adamw and all weights trained: it does not go with "
                f"{', '.join(given)}; leave out one or the other"
            )
        if self.shard and self.sampler is not None:
            raise ValueError("shard=true: a sampling server is handed whole weights; leave out one of the two")
        return self

    @field_validator("group_size")
    @classmethod
    def _a_group_compares(cls, size: int) -> int:
        if size < 2:
            raise ValueError(f"group_size={size}: a group of one has no one to be compared with; use 2 or more")
        return size

    @field_validator("response_format")
    @classmethod
    def _holds_a_schema(cls, given: dict[str, Any] | None) -> dict[str, Any] | None:
        if given is not None:
            if given.get("type") != "json_schema":
                raise ValueError("a response_format is {type: json_schema, json_schema: {name: ..., schema: {...}}}")
            JsonSchema(schema=given)
        return given

    @model_validator(mode="after")
    def _charges_within_what_is_allowed(self) -> Recipe:
        soft = self.reward.soft_limit
        if soft is not None and soft.buffer > self.max_new_tokens:
            raise ValueError(
                f"reward.soft_limit.buffer={soft.buffer} is more than max_new_tokens={self.max_new_tokens}"
            )
        return self

    @model_validator(mode="after")
    def _validates_on_items_it_does_not_train_on(self) -> Recipe:
        if self.train.resolve() == self.validation.resolve():
            raise ValueError(f"train and validation are one file, {self.train}: validation is for items held out")
        return self

    @model_validator(mode="after")
    def _compares_parts_as_they_are(self) -> Recipe:
        if self.advantage == "gdpo" and (self.reward != RewardSpec() or self.kl.place == "reward"):
            raise ValueError("advantage=gdpo compares each grader's score by itself: shape none of them (reward, kl)")
        return self

    @model_validator(mode="after")
    def _divides_by_what_is_above_0(self) -> Recipe:
        spec, below = self.reward, ""
        if self.kl.weight > 0 and self.kl.place == "reward":
            below = f"kl.place=reward with kl.weight={self.kl.weight:g}"
        elif spec.clip is not None and spec.clip[0] < 0:
            below = f"reward.clip={list(spec.clip)}"
        elif spec.clip is None and spec.soft_limit is not None:
            below = f"reward.soft_limit.charge={spec.soft_limit.charge:g}"
        elif spec.clip is None and spec.length is not None:
            below = f"reward.length.per_token={spec.length.per_token:g}"
        if self.advantage == "maxrl" and below:
            remedy = "take advantage=grpo" + ("" if "kl" in below else ", or reward.clip with 0 as its lowest")
            raise ValueError(f"advantage=maxrl divides by the mean reward, which {below} can take below 0; {remedy}")
        return self

    @model_validator(mode="after")
    def _has_answers_to_learn(self) -> Recipe:
        if self.method == "supervised" and self.supervised is None:
            need = "a file of rows whose last message is the assistant's, or a template such as '{{item.answer}}'"
            raise ValueError(f"method=supervised needs supervised.answers: {need}")
        return self

    @model_validator(mode="after")
    def _leaves_out_nothing_that_a_server_draws(self) -> Recipe:
        if self.sampler is not None and (self.top_k is not None or self.top_p < 1):
            raise ValueError("sampler: a server draws from all tokens; leave out top_k and top_p")
        return self

    @model_validator(mode="after")
    def _has_something_to_do(self) -> Recipe:
        if self.steps == 0 and self.warm_start is None:
            raise ValueError("steps=0 without a warm_start: there is nothing to train; set steps, or use assay eval")
        return self


# Paths inside a recipe file are relative to the file; those given with -s, to the working directory.
PATH_KEYS = (
    "train", "validation", "grader", "model", "warm_start.data", "judges", "sampler.weights", "supervised.answers",
)  # fmt: skip


def load_recipe(path: str | Path, overrides: Sequence[str] = (), *, to_begin: bool = False) -> Recipe:
    """The recipe in a `.yaml`, `.toml` or `.json` file, with `key=value` overrides (dots go into sections).

    With `to_begin` the files that it names must be there. Raises FileNotFoundError for a missing file, ValueError
    naming key, value and remedy for anything malformed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no recipe {str(path)!r}")
    data, written = _parse(path), _parse(path)
    for key in _path_keys(data):
        _anchor(data, key.split("."), path.parent)
    for override in overrides:
        _override(data, override)
        _override(written, override)
    for key in _path_keys(data):  # absolute as well: the stored recipe must mean the same from any other folder
        _anchor(data, key.split("."), Path.cwd())
    recipe = recipe_from(data, str(path))
    if to_begin:
        check_files(recipe, written, path.parent)
    return recipe


def recipe_from(data: dict[str, Any], place: str) -> Recipe:
    """The recipe in plain data; `place` opens every complaint."""
    try:
        return Recipe.model_validate(data)
    except ValidationError as problem:
        raise ValueError(f"{place}: " + "; ".join(complaints(problem, data, SECTIONS, Recipe))) from None


def _path_keys(data: dict[str, Any]) -> list[str]:
    watched = data.get("watch")
    return [*PATH_KEYS, *(f"watch.{name}" for name in watched)] if isinstance(watched, dict) else [*PATH_KEYS]


def _parse(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        match path.suffix:
            case ".yaml" | ".yml":
                data = yaml.safe_load(text)
            case ".toml":
                data = tomllib.loads(text)
            case ".json":
                data = json.loads(text) if text.strip() else None
            case other:
                raise ValueError(f"a recipe is .yaml, .toml or .json, not {other or 'without a suffix'!r}")
    except yaml.YAMLError as problem:
        raise ValueError(_broken_yaml(path, problem)) from None
    except ValueError as problem:
        raise ValueError(f"{path}: {problem}") from None
    if not data and not isinstance(data, list):
        raise ValueError(f"{path}: is empty; a recipe has at least the keys model, train, validation and grader")
    if not isinstance(data, dict):
        raise ValueError(f"{path}: a recipe is a mapping of keys to values, not {type(data).__name__}")
    return data


def _broken_yaml(path: Path, problem: yaml.YAMLError) -> str:
    mark, said = getattr(problem, "problem_mark", None), getattr(problem, "problem", None)
    if mark is None:
        return f"{path}: broken YAML: {' '.join(str(problem).split())}"
    context = getattr(problem, "context", None)
    return f"{path}:{mark.line + 1}:{mark.column + 1}: broken YAML: {said}" + (f" ({context})" if context else "")


def _anchor(data: dict[str, Any], keys: list[str], folder: Path) -> None:
    """Make a relative path absolute when such a file or folder stands beside the recipe."""
    for key in keys[:-1]:
        data = data.get(key) or {}
        if not isinstance(data, dict):
            return
    value = data.get(keys[-1])
    if isinstance(value, str) and value.startswith("~/"):
        value = data[keys[-1]] = str(Path(value).expanduser())
    if not isinstance(value, str) or not value or Path(value).is_absolute() or "{{" in value:
        return
    is_path = keys[0] not in ("model", "grader", "watch") or (folder / value.rpartition(":")[0]).is_file()
    if is_path or (folder / value).exists():
        data[keys[-1]] = str((folder / value).resolve())


def _override(data: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    if not equals:
        raise ValueError(f"-s {override!r}: expected key=value, as in -s learning_rate=3e-4")
    *sections, key = name.strip().split(".")
    for section in sections:
        inner = data.setdefault(section, {})
        if not isinstance(inner, dict):
            raise ValueError(f"-s {override!r}: {section!r} is {inner!r}, not a section")
        data = inner
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ValueError(f"-s {override!r}: {text!r} is no YAML value; quote it if it is meant as text") from None
    data[key] = value  # YAML 1.1 reads 3e-4 as a string; a field that is a number takes it as one


SECTIONS: dict[str, type[BaseModel]] = {
    "warm_start": WarmStart,
    "supervised": Supervised,
    "kl": KL,
    "lora": Lora,
    "sampler": SamplingServer,
    "reward": RewardSpec,
    "reward.length": LengthCharge,
    "reward.soft_limit": SoftLimit,
    "model": ScratchModel,
    "model.scratch": Scratch,
}


MAY_CHANGE = ("judges", "budget", "sampler", "shard")
"""Keys that a run may go on with otherwise than it began; which model judges is part of the grader's identity."""


def differing_key(one: Recipe, other: Recipe) -> str | None:
    """The first key in which two recipes differ; where they are stored, and what judges may cost, is aside."""
    keys = (key for key in Recipe.model_fields if key not in ("name", "runs", *MAY_CHANGE))
    return next((key for key in keys if getattr(one, key) != getattr(other, key)), None)


def resolved(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON-ready data with every default filled in."""
    return recipe.model_dump(mode="json")
