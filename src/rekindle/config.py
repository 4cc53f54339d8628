"""The strict configuration model, and nothing that acts on it.

A configuration is TOML: ``recipe = "..."`` and the tables below. Every key has a type, a bound and a default; unknown
keys, wrong types and combinations that cannot work are refused with the key's path and the remedy.
"""

import difflib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from rekindle.types import UserError

__all__ = ["Config", "ConfigError", "dump_toml", "merge", "parse_override", "read_toml", "validate"]


class ConfigError(UserError):
    """Something is wrong with the configuration; the message says what, where, and the remedy."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, validate_default=True, protected_namespaces=())


class TinyModel(_Table):
    """A decoder made from scratch for the embedded tasks; used when ``model.path`` is absent."""

    layers: int = Field(default=4, ge=1)
    hidden_size: int = Field(default=64, ge=8)
    heads: int = Field(default=4, ge=1)
    kv_heads: int = Field(default=4, ge=1)
    intermediate_size: int = Field(default=192, ge=8)
    max_length: int = Field(default=128, ge=16, description="longest prompt plus completion, tokens")

    @model_validator(mode="after")
    def _heads_divide(self) -> "TinyModel":
        if self.hidden_size % self.heads or (self.hidden_size // self.heads) % 2:
            raise ValueError(
                f"heads = {self.heads} must divide hidden_size = {self.hidden_size} into even parts; choose heads = 4"
            )
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads = {self.kv_heads} must divide heads = {self.heads}")
        return self


class ModelTable(_Table):
    """Which policy: a Hugging Face causal LM directory, or a tiny one made from scratch."""

    path: str | None = Field(default=None, description="directory with config, weights and tokenizer")
    dtype: Literal["float32", "bfloat16"] = "float32"
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N")
    trust_remote_code: bool = Field(default=False, description="run code that came with the model directory")
    chat_template: bool = Field(
        default=True, description="render prompts with the tokenizer's chat template when it has one"
    )
    system_prompt: str | None = Field(
        default=None, description="system message put before every prompt (needs a chat template)"
    )
    tiny: TinyModel = TinyModel()


class WarmStartTable(_Table):
    """Supervised start of a tiny model on noisy demonstrations; cached by its settings."""

    steps: int = Field(default=550, ge=0)
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    seed: int = Field(default=0, ge=0)
    sampled_accuracy: tuple[float, float] = Field(
        default=(0.2, 0.6),
        description="accepted range of pass@1 on 256 pool prompts after the warm start; RL is refused outside",
    )


class TaskTable(_Table):
    """Where prompts come from and how answers are judged."""

    source: Literal["spell_backward", "reasoning_gym", "jsonl", "parquet", "gsm8k"] = "spell_backward"
    name: str | None = Field(default=None, description="data set name (reasoning_gym)")
    path: str | None = Field(default=None, description="file (jsonl, parquet, gsm8k)")
    eval_path: str | None = Field(default=None, description="held-out file; absent: eval.prompts rows are split off")
    params: dict[str, Any] = Field(default_factory=dict, description="parameters of the generator")
    pool_size: int | None = Field(
        default=None, ge=1, description="prompts in the pool; absent: all of the file, 4096 if generated"
    )
    verifier: Literal["auto", "exact_match", "math", "reasoning_gym"] = "auto"
    binary_rewards: bool = Field(default=True, description="turn scores into 0 or 1 at success_threshold")
    success_threshold: float = Field(default=1.0, gt=0, le=1, description="a score of at least this much is a success")


class VerifyTable(_Table):
    """Worker processes for verifiers that are not ours."""

    workers: int = Field(default=2, ge=1)
    timeout_seconds: float = Field(default=5.0, gt=0, description="wall-clock limit of one verdict")


class PoolTable(_Table):
    """Which prompts may be drawn."""

    kind: Literal["cycling", "recycling"] = "cycling"
    alpha: float = Field(default=0.0, ge=0, lt=1, description="weight left to a trained prompt (soft recycling)")
    on_empty: Literal["reset", "stop"] = "reset"
    reset_below: float = Field(default=0.0, ge=0, lt=1, description="reset when the live fraction falls below it")

    @model_validator(mode="after")
    def _only_recycling(self) -> "PoolTable":
        if self.kind == "cycling" and (self.alpha or self.reset_below or self.on_empty != "reset"):
            raise ValueError(
                'pool.alpha, pool.reset_below and pool.on_empty belong to pool.kind = "recycling"; set it or drop them'
            )
        return self


class RefillTable(_Table):
    """DAPO's dynamic sampling: draw again inside the step until enough groups carry signal."""

    max_rounds: int = Field(default=0, ge=0, description="extra rounds per step; 0 switches refill off")
    on_exhausted: Literal["train", "stop"] = Field(default="train", description="when the rounds are spent")

    @model_validator(mode="after")
    def _has_rounds(self) -> "RefillTable":
        if not self.max_rounds and self.on_exhausted != "train":
            raise ValueError(
                "refill.on_exhausted is about refill rounds, and there are none; set refill.max_rounds = 4"
            )
        return self


class TrainTable(_Table):
    """The update."""

    steps: int | None = Field(default=None, ge=1, description="steps to make; absent: until train.rollouts are spent")
    rollouts: int | None = Field(
        default=None, ge=1, description="rollouts to spend; with train.steps, the most that may be spent"
    )
    seed: int = Field(default=0, ge=0)
    groups_per_step: int = Field(default=64, ge=1)
    group_size: int = Field(default=4, ge=1)
    oversample: int = Field(default=1, ge=1, description="k: prompts drawn per step = oversample x groups_per_step")
    temperature: float = Field(default=1.0, gt=0)
    gate: Literal["has_signal", "not_all_wrong", "everything"] = "has_signal"
    estimator: Literal["grpo", "dr_grpo", "rloo", "batch_standardize"] = "grpo"
    clip_low: float = Field(default=0.2, gt=0, lt=1)
    clip_high: float = Field(default=0.2, gt=0)
    aggregation: Literal["token_mean", "group_token_mean", "sequence_mean", "constant_length"] = "group_token_mean"
    epochs: int = Field(default=1, ge=1, description="passes over a batch")
    minibatches: int = Field(default=1, ge=1, description="optimizer steps per pass")
    old_logprobs: Literal["auto", "engine", "recompute"] = Field(
        default="auto",
        description="auto: the ratio's denominator is the current policy when it is the one that sampled",
    )
    kl_coefficient: float = Field(default=0.0, ge=0, description="weight of the KL to the start policy")
    learning_rate: float = Field(default=5e-4, gt=0)
    warmup_steps: int = Field(default=20, ge=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    weight_decay: float = Field(default=0.0, ge=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    grad_clip: float = Field(default=1.0, gt=0)
    microbatch_tokens: int = Field(default=8192, ge=1, description="padded tokens of one forward and backward pass")
    threads: int = Field(default=1, ge=1, description="CPU threads; two can be slower than one for tiny models")
    max_barren_steps: int = Field(
        default=20, ge=1, description="steps in a row without any signal before the run stops"
    )

    @model_validator(mode="after")
    def _can_work(self) -> "TrainTable":
        if self.group_size == 1 and self.estimator != "batch_standardize":
            raise ValueError(
                f'train.estimator = "{self.estimator}" compares rollouts of one group, and train.group_size = 1 leaves '
                'nothing to compare; set train.group_size = 4 or train.estimator = "batch_standardize"'
            )
        if self.group_size == 1 and self.gate != "everything":
            raise ValueError(
                f'train.gate = "{self.gate}" drops every group of one rollout, because a single reward never disagrees;'
                ' set train.gate = "everything"'
            )
        if self.minibatches > self.groups_per_step:
            raise ValueError(
                f"train.minibatches = {self.minibatches} is more than train.groups_per_step = {self.groups_per_step}; "
                "a minibatch needs at least one group"
            )
        if self.schedule != "constant" and self.steps is None:
            raise ValueError(f'train.schedule = "{self.schedule}" needs train.steps to know where it ends')
        return self


class EngineTable(_Table):
    """Sampling limits."""

    max_new_tokens: int = Field(default=24, ge=1)
    top_p: float = Field(default=1.0, gt=0, le=1)
    min_p: float = Field(default=0.0, ge=0, lt=1)
    stop: tuple[str, ...] = ()
    max_rows: int = Field(default=256, ge=1, description="rollouts decoded at the same time")


class EvalTable(_Table):
    """Evaluation on held-out prompts."""

    every: int = Field(
        default=20, ge=1, description="steps between evaluations; one is made before the first and after the last"
    )
    prompts: int = Field(default=256, ge=1)
    samples: int = Field(default=1, ge=1, description="rollouts per held-out prompt at temperature 1")


class CheckpointTable(_Table):
    """When to save."""

    every: int = Field(default=50, ge=1)
    keep: int = Field(default=2, ge=1, description="checkpoints kept; older ones are deleted")


class Config(_Table):
    """A complete run."""

    recipe: str = "grpo"
    model: ModelTable = ModelTable()
    warm_start: WarmStartTable = WarmStartTable()
    task: TaskTable = TaskTable()
    verify: VerifyTable = VerifyTable()
    pool: PoolTable = PoolTable()
    refill: RefillTable = RefillTable()
    train: TrainTable = TrainTable()
    engine: EngineTable = EngineTable()
    eval: EvalTable = EvalTable()
    checkpoint: CheckpointTable = CheckpointTable()

    @model_validator(mode="after")
    def _tables_agree(self) -> "Config":
        if self.model.path is None and self.task.source != "spell_backward":
            raise ValueError(
                f'task.source = "{self.task.source}" needs a model that can read it; set model.path to a model '
                'directory (the tiny model only knows task.source = "spell_backward")'
            )
        if self.model.path is not None and (self.model.tiny, self.warm_start) != (TinyModel(), WarmStartTable()):
            raise ValueError(
                "model.tiny and warm_start make a model, and model.path names one; remove the one or the other"
            )
        longest = self.task.params.get("max_length", 14)
        if self.model.path is None and isinstance(longest, int) and self.model.tiny.max_length < 2 * longest + 2:
            raise ValueError(
                f"model.tiny.max_length = {self.model.tiny.max_length} is too short for words of {longest} letters and "
                f"their answers; set it to at least {2 * longest + 2}"
            )
        if self.model.path is None and self.model.system_prompt is not None:
            raise ValueError(
                "model.system_prompt needs a chat template, which the tiny model has not; set model.path or remove it"
            )
        if self.task.source in {"jsonl", "parquet", "gsm8k"} and self.task.path is None:
            raise ValueError(f'task.source = "{self.task.source}" needs task.path, the file to read')
        if self.task.source == "reasoning_gym" and self.task.name is None:
            raise ValueError('task.source = "reasoning_gym" needs task.name, e.g. "spell_backward"')
        if self.task.verifier == "reasoning_gym" and self.task.source != "reasoning_gym":
            raise ValueError(
                'task.verifier = "reasoning_gym" only judges its own tasks; set task.source = "reasoning_gym"'
            )
        if not self.task.binary_rewards and self.train.gate == "not_all_wrong":
            raise ValueError('train.gate = "not_all_wrong" needs 0/1 rewards; set task.binary_rewards = true')
        return self


def read_toml(path: Path) -> dict[str, Any]:
    """Read a configuration file into nested dictionaries, not validated yet."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path} does not exist; give the path of a TOML file, e.g. examples/spell_backward.toml"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); give the path of a TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def parse_override(text: str) -> dict[str, Any]:
    """Turn ``train.steps=3`` into ``{"train": {"steps": 3}}``; a value that is no TOML value is a string."""
    key, sign, value = text.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not sign or not all(parts):
        raise ConfigError(f"--set {text}: expected key.sub=value, e.g. --set train.steps=100")
    try:
        nested: Any = tomllib.loads(f"value = {value.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        nested = value.strip()
    for part in reversed(parts):
        nested = {part: nested}
    return dict(nested)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dictionaries, ``over`` winning key by key."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def validate(values: Mapping[str, Any], where: str) -> Config:
    """Check everything and return the complete configuration.

    Raises:
        ConfigError: One line per problem: ``where``, the key's path, what is wrong, and the remedy.
    """
    try:
        config = Config.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        problems = [_problem(details) for details in error.errors()]
        raise ConfigError("\n".join(f"{where}: {problem}" for problem in problems)) from None
    if config.train.steps is None and config.train.rollouts is None:
        raise ConfigError(f"{where}: the run has no end; set train.steps or train.rollouts")
    return config


def dump_toml(config: Config) -> str:
    """The complete configuration as TOML; absent optional keys are left out."""
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))


def _problem(details: ErrorDetails) -> str:
    path = ".".join(str(part) for part in details["loc"])
    if details["type"] == "extra_forbidden":
        return f"{path}: unknown key{_did_you_mean(details['loc'])}"
    message = details["msg"].removeprefix("Value error, ")
    if details["type"] == "value_error":
        return message
    return f"{path} = {json.dumps(details['input'], default=str)}: {message[:1].lower()}{message[1:]}"


def _did_you_mean(loc: tuple[int | str, ...]) -> str:
    table: Any = Config
    for part in loc[:-1]:
        table = table.model_fields[part].annotation
    known = sorted(table.model_fields)
    close = difflib.get_close_matches(str(loc[-1]), known, n=1)
    prefix = "".join(f"{part}." for part in loc[:-1])
    return (
        f"; did you mean {prefix}{close[0]}?" if close else f"; known keys: {', '.join(prefix + key for key in known)}"
    )
