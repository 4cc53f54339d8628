"""`rekindle plan`: what a run will cost and how much of it will have signal, from success rates alone."""

import argparse
import os
from pathlib import Path

from rekindle.cli.messages import messages, say
from rekindle.cli.options import user_path
from rekindle.types import UserError

__all__ = ["add"]

INTERRUPTED = 130


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    plan = commands.add_parser(
        "plan",
        help="predict signal, rollouts and FLOPs of recipes from a profile",
        description="Predicts from success rates what share of the groups will have signal, and what that costs.",
        epilog="e.g. rekindle plan profile.parquet --recipe grpo,recycle --group-size 4,8 --out plan.html",
    )
    plan.add_argument(
        "profile",
        type=user_path,
        metavar="PROFILE",
        help="a profile, a table of pass rates (CSV, JSON, JSONL or Parquet), or a run directory",
    )
    plan.add_argument(
        "--recipe", metavar="NAME,...", help='recipes, or "all" (default: seven; on a cluster grpo and recycle)'
    )
    plan.add_argument("--group-size", metavar="N,...", help="group sizes (default: 4,8; on a cluster 8)")
    plan.add_argument("--groups-per-step", type=int, metavar="N", help="groups of an update (default: the recipe's)")
    plan.add_argument("--budget-rollouts", type=int, metavar="N", help="plan so many rollouts (default: one epoch)")
    plan.add_argument("--steps", type=int, metavar="N", help="plan so many steps")
    plan.add_argument("--prompts", type=int, metavar="N", help="prompts of the pool (default: those of the profile)")
    plan.add_argument("--model", metavar="MODEL", help="for FLOPs: a number such as 7B, a model directory, or a hub id")
    plan.add_argument("--lengths", metavar="P,C", help="mean tokens of a prompt and of a completion")
    plan.add_argument(
        "--gain",
        metavar="G",
        help="rise of the log-odds of success in an update full of signal, or a run to measure it",
    )
    plan.add_argument("--out", type=user_path, metavar="FILE.html", help="write a page as well")
    plan.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all draws (default: 0)")
    _add_cluster(plan)
    plan.set_defaults(run=_plan)


def _add_cluster(plan: argparse.ArgumentParser) -> None:
    cluster = plan.add_argument_group(
        "a cluster", "with --workers the plan has throughput, staleness, waste and memory"
    )
    cluster.add_argument("--workers", type=int, metavar="N", help="rollout workers")
    cluster.add_argument(
        "--slots", type=int, default=8, metavar="N", help="rollouts of a worker at a time (default: 8)"
    )
    cluster.add_argument("--latency", default="lognormal", metavar="NAME", help="lengths: lognormal or pareto")
    cluster.add_argument(
        "--tokens-per-second", type=float, default=30.0, metavar="X", help="of a rollout (default: 30)"
    )
    cluster.add_argument("--update-seconds", type=float, default=60.0, metavar="X", help="of an update (default: 60)")
    cluster.add_argument(
        "--off-policy", metavar="N,...", default="0,1", help="train.max_off_policy_steps (default: 0,1)"
    )


def _plan(options: argparse.Namespace) -> int:
    from rekindle.api.planning import plan

    _check_out(options.out)
    found = plan(
        options.profile,
        recipes=options.recipe,
        group_sizes=options.group_size,
        groups_per_step=options.groups_per_step,
        budget_rollouts=options.budget_rollouts,
        steps=options.steps,
        prompts=options.prompts,
        model=options.model,
        lengths=options.lengths,
        gain=options.gain,
        seed=options.seed,
        workers=options.workers,
        slots=options.slots,
        latency=options.latency,
        tokens_per_second=options.tokens_per_second,
        update_seconds=options.update_seconds,
        off_policy=options.off_policy,
        progress=lambda name, part: messages.status(f"{part:4.0%}  {name}"),
        say=say,
    )
    messages.status("interrupted" if found.interrupted else "100%", last=True)
    print(found.text)
    if options.out is not None:
        found.write(options.out)
        print(options.out)
    return INTERRUPTED if found.interrupted else 0


def _check_out(out: Path | None) -> None:
    """Check before the work that the page can be written after it."""
    if out is not None and (out.is_dir() or not os.access(out.parent, os.W_OK)):
        raise UserError(f"--out {out} cannot be written; give a file in a directory that exists and can be written")
