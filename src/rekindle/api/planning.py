"""``rekindle.plan``: the command `rekindle plan` from a script."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rekindle.api.arguments import to_stderr
from rekindle.interrupts import Interrupts
from rekindle.notices import Say

if TYPE_CHECKING:
    from rekindle.planning.planner import Plan

__all__ = ["plan"]


def plan(
    profile: str | Path,
    *,
    recipes: Sequence[str] | str | None = None,
    group_sizes: Sequence[int] | str | None = None,
    groups_per_step: int | None = None,
    budget_rollouts: int | None = None,
    steps: int | None = None,
    prompts: int | None = None,
    model: str | Path | float | None = None,
    lengths: Sequence[float] | str | None = None,
    gain: float | str | Path | None = None,
    seed: int = 0,
    workers: int | None = None,
    slots: int = 8,
    latency: str = "lognormal",
    tokens_per_second: float = 30.0,
    update_seconds: float = 60.0,
    off_policy: Sequence[int] | str = (0, 1),
    progress: Callable[[str, float], None] | None = None,
    say: Say | None = None,
) -> "Plan":
    """Predict from success rates what share of the groups will have signal, and what that costs.

        found = rekindle.plan("profile.parquet", recipes=["grpo", "recycle"], group_sizes=[8])
        print(found.text)
        found.write("plan.html")

    Lists may also be texts as in the command, ``"4,8"``.

    Args:
        profile: A profile, a table of pass rates (CSV, JSON, JSONL or Parquet), or a run directory.
        recipes: Names of recipes, or ``"all"``; None: seven; on a cluster grpo and recycle.
        group_sizes: Group sizes; None: 4 and 8; on a cluster 8.
        groups_per_step: Groups of an update; None: the recipe's.
        budget_rollouts: Plan so many rollouts; None: one epoch, or ``steps``.
        steps: Plan so many updates.
        prompts: Prompts of the pool; None: those of the profile.
        model: For FLOPs: a number of parameters, such as 7e9 or ``"7B"``, a model directory, or a hub id.
        lengths: Mean tokens of a prompt and of a completion; None: those of the profile.
        gain: Rise of the log-odds of success in an update full of signal, or a run to measure it; None: assumed.
        seed: Of all draws.
        workers: Rollout workers of a cluster; None: none is planned.
        slots: Rollouts of a worker at a time.
        latency: Distribution of lengths, ``"lognormal"`` or ``"pareto"``.
        tokens_per_second: Of a rollout.
        update_seconds: Wall seconds of an update.
        off_policy: Values of ``train.max_off_policy_steps``.
        progress: Called often with what is done and its part of the whole, 0 to 1.
        say: Shows a line to the user; None: on standard error.

    Returns:
        The plan of every recipe at every group size; ``interrupted`` after Ctrl-C, then with what was finished.

    Raises:
        UserError: An argument or the profile cannot be used.
    """
    from rekindle.planning.plan_options import Asked, plan_options
    from rekindle.planning.planner import make_plan

    shown = say or to_stderr
    wanted = plan_options(
        Asked(
            profile=Path(profile),
            recipe=_listed(recipes),
            group_size=_listed(group_sizes),
            groups_per_step=groups_per_step,
            budget_rollouts=budget_rollouts,
            steps=steps,
            prompts=prompts,
            model=f"{model:.0f}" if isinstance(model, int | float) else None if model is None else str(model),
            lengths=_listed(lengths),
            gain=None if gain is None else str(gain),
            seed=seed,
            workers=workers,
            slots=slots,
            latency=latency,
            tokens_per_second=tokens_per_second,
            update_seconds=update_seconds,
            off_policy=_listed(off_policy) or "",
        )
    )
    with Interrupts(shown) as interrupts:
        interrupts.begin()
        pool, source = wanted.settings.prompts, wanted.rates.source
        shown(f"planning {wanted.settings.words} for {pool:,} prompts, from {source} ...")
        found = make_plan(
            wanted.rates,
            wanted.arms,
            wanted.settings,
            progress or (lambda name, part: None),
            lambda: interrupts.asked,
            wanted.cluster,
        )
    found.left_out[:0] = wanted.left_out
    found.parameters = wanted.parameters
    return found


def _listed(given: Sequence[object] | str | None) -> str | None:
    """A list as the command has it: ``"4,8"``."""
    return given if given is None or isinstance(given, str) else ",".join(map(str, given))
