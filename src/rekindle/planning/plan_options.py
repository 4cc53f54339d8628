"""What a user asks of a plan, checked and completed with what the profile says."""

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rekindle.planning.cluster import LATENCIES, MEAN_TOKENS, ClusterSettings
from rekindle.planning.cluster_plan import ClusterPlan
from rekindle.planning.first_visits import rates_of_run
from rekindle.planning.gains import GAIN
from rekindle.planning.pass_rates import PassRates
from rekindle.planning.plan_recipes import FEW, FEW_ON_CLUSTER, Arm, arms_of
from rekindle.planning.planner import PlanSettings
from rekindle.planning.shapes import SHAPES, shape_of
from rekindle.planning.sources import load_rates
from rekindle.planning.totals import Horizon
from rekindle.recipes import RECIPES, unknown_recipe
from rekindle.types import UserError

__all__ = ["Asked", "PlanOptions", "plan_options"]

MOST_PROMPTS = 10**8
SCALES = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Options as they were given; lists are texts such as ``"4,8"``."""

    profile: Path
    recipe: str | None
    group_size: str | None
    groups_per_step: int | None
    budget_rollouts: int | None
    steps: int | None
    prompts: int | None
    model: str | None
    lengths: str | None
    gain: str | None
    seed: int
    workers: int | None
    slots: int
    latency: str
    tokens_per_second: float
    update_seconds: float
    off_policy: str


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """A plan to make.

    Attributes:
        rates: What is known of the pool.
        arms: Recipes at their group sizes.
        left_out: A sentence for each recipe that cannot be planned.
        settings: How far, and with which assumptions.
        parameters: Of the model; 0 where they are not known.
        cluster: The cluster; None: none is planned.
    """

    rates: PassRates
    arms: list[Arm]
    left_out: list[str]
    settings: PlanSettings
    parameters: int
    cluster: ClusterPlan | None


def plan_options(asked: Asked) -> PlanOptions:
    """Check the options, and read the profile.

    Raises:
        UserError: An option or the profile cannot be used.
    """
    _check(asked)
    usual, sizes = (FEW, "4,8") if asked.workers is None else (FEW_ON_CLUSTER, "8")
    names = list(RECIPES) if asked.recipe == "all" else asked.recipe.split(",") if asked.recipe else list(usual)
    arms, left_out = arms_of(_known(names), _numbers("group-size", asked.group_size or sizes, 1), asked.groups_per_step)
    rates = load_rates(asked.profile)
    if asked.lengths:
        rates = _with_lengths(rates, asked.lengths)
    gain, known = _gain(asked.gain, rates)
    prompts = asked.prompts or rates.pool
    horizon, words = _horizon(asked, prompts)
    return PlanOptions(
        rates=rates,
        arms=arms,
        left_out=left_out,
        settings=PlanSettings(
            prompts=prompts, horizon=horizon, words=words, gain=gain, gain_known=known, seed=asked.seed
        ),
        parameters=_parameters(asked.model) if asked.model else rates.parameters,
        cluster=_cluster(asked, rates),
    )


def _check(asked: Asked) -> None:
    for name, least in (("groups_per_step", 1), ("budget_rollouts", 1), ("steps", 1), ("prompts", 2), ("workers", 1)):
        value = getattr(asked, name)
        if value is not None and value < least:
            raise UserError(f"--{name.replace('_', '-')} {value} must be at least {least}")
    if asked.prompts and asked.prompts > MOST_PROMPTS:
        raise UserError(
            f"--prompts {asked.prompts:,} is above {MOST_PROMPTS:,}; plan a smaller pool, the shares are the same"
        )
    if asked.seed < 0:
        raise UserError(f"--seed {asked.seed} must be at least 0")
    if asked.slots < 1:
        raise UserError(f"--slots {asked.slots} must be at least 1")
    for name in ("tokens_per_second", "update_seconds"):
        value = getattr(asked, name)
        if not 0 < value < math.inf:
            raise UserError(f"--{name.replace('_', '-')} {value:g} must be above 0")
    if asked.latency not in LATENCIES:
        raise UserError(f"--latency {asked.latency} is unknown; give one of {', '.join(LATENCIES)}")


def _known(names: Iterable[str]) -> list[str]:
    found = list(dict.fromkeys(name.strip() for name in names if name.strip()))
    for name in found:
        if name not in RECIPES:
            raise unknown_recipe(name, "--recipe")
    if not found:
        raise UserError('--recipe names no recipe; give e.g. --recipe grpo,recycle, or "all"')
    return found


def _numbers(option: str, text: str, least: int) -> tuple[int, ...]:
    try:
        found = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise UserError(f"--{option} {text}: expected numbers separated by commas, e.g. --{option} 4,8") from None
    if min(found) < least:
        raise UserError(f"--{option} {text}: every number must be at least {least}")
    return found


def _with_lengths(rates: PassRates, text: str) -> PassRates:
    try:
        prompt, completion = (float(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--lengths {text}: expected two numbers, e.g. --lengths 256,1800") from None
    if not (0 <= prompt < math.inf and 0 < completion < math.inf):
        raise UserError(f"--lengths {text}: a prompt has at least 0 tokens, and a completion more than 0")
    return replace(rates, prompt_tokens=prompt, sampled_tokens=np.full(len(rates.prompts), completion))


def _gain(text: str | None, rates: PassRates) -> tuple[float, bool]:
    """The gain, and whether it is known."""
    if text is None:
        return (GAIN, False) if rates.gain is None else (rates.gain, True)
    try:
        value = float(text)
    except ValueError:
        found = rates_of_run(Path(text).expanduser()).gain
        if found is None:
            raise UserError(
                f"--gain {text}: the run is too short to say how fast its policy learns; give a longer one, or a number"
            ) from None
        return found, True
    if not 0 <= value < math.inf:
        raise UserError(f"--gain {text} must be at least 0; 0 is a policy that does not learn")
    return value, True


def _horizon(asked: Asked, prompts: int) -> tuple[Horizon, str]:
    if asked.budget_rollouts or asked.steps:
        parts = [f"{asked.steps:,} steps"] if asked.steps else []
        parts += [f"{asked.budget_rollouts:,} rollouts"] if asked.budget_rollouts else []
        return Horizon(rollouts=asked.budget_rollouts, steps=asked.steps), " or ".join(parts)
    return Horizon(groups=prompts), "one epoch"


def _parameters(text: str) -> int:
    """Parameters of a model: a number, a directory with a config.json, such a file, or a known hub id."""
    if match := re.fullmatch(r"(\d+(?:\.\d+)?(?:e\d+)?)([kmbt]?)", text.strip().lower()):
        number = float(match[1]) * SCALES[match[2]]
        if 1 <= number < 1e15:
            return round(number)
    if text in SHAPES:
        return SHAPES[text].parameters
    path = Path(text).expanduser()
    file = path / "config.json" if path.is_dir() else path
    if not file.is_file():
        raise UserError(
            f"--model {text} is no number of parameters, no directory with a config.json, and none of "
            f"{', '.join(SHAPES)}; give e.g. --model 7B"
        )
    try:
        return shape_of(json.loads(file.read_bytes())).parameters
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{file} is no configuration of a Qwen or Llama model ({type(error).__name__}: {error}); give the number "
            "of parameters, e.g. --model 7B"
        ) from None


def _cluster(asked: Asked, rates: PassRates) -> ClusterPlan | None:
    if asked.workers is None:
        return None
    if asked.steps is None:
        raise UserError("--workers needs --steps, the updates to simulate; give e.g. --steps 100")
    mean = rates.mean_tokens if math.isfinite(rates.mean_tokens) else MEAN_TOKENS
    return ClusterPlan(
        ClusterSettings(
            workers=asked.workers,
            slots=asked.slots,
            tokens_per_second=asked.tokens_per_second,
            update_seconds=asked.update_seconds,
            latency=asked.latency,
            mean_tokens=mean,
            seed=asked.seed,
        ),
        _numbers("off-policy", asked.off_policy, 0),
        asked.steps,
    )
