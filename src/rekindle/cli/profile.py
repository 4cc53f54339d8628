"""`rekindle profile`: one pass over the pool that writes its success rates to a Parquet file."""

import argparse
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rekindle.cli.messages import messages, say
from rekindle.cli.options import add_config, resolved, saved_policy, user_path
from rekindle.interrupts import Interrupts
from rekindle.observability.formatting import duration
from rekindle.types import UserError

if TYPE_CHECKING:
    from rekindle.config import Config
    from rekindle.scheduling.profiling import Profile
    from rekindle.tasks.task_set import TaskSet

__all__ = ["add"]

INTERRUPTED = 130
KEY = "OPENAI_API_KEY"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    profile = commands.add_parser("profile", help="measure the success rate of every prompt of the pool")
    add_config(profile)
    profile.add_argument("--samples", type=int, default=8, metavar="N", help="rollouts per prompt (default: 8)")
    profile.add_argument(
        "--out", type=user_path, required=True, metavar="FILE", help="Parquet file; repeat to continue"
    )
    profile.add_argument(
        "--checkpoint",
        type=user_path,
        metavar="DIR",
        help="a run, a checkpoint or a model directory (default: the start policy)",
    )
    profile.add_argument("--endpoint", metavar="URL", help="an OpenAI-compatible server instead, e.g. .../v1")
    profile.add_argument("--endpoint-model", metavar="NAME", help=f"its model (its key is read from {KEY})")
    profile.set_defaults(run=_profile)


def _profile(options: argparse.Namespace) -> int:
    _check(options)
    config = resolved(options)
    from rekindle.preflight import task_set

    with Interrupts(say, "part of the prompts") as interrupts:
        measure = _with_endpoint if options.endpoint else _with_policy
        _look(config, options)
        profile = measure(config, task_set(config, say), options, interrupts)
    if profile is None:
        say("interrupted; to continue, repeat the command")
        return INTERRUPTED
    rates = profile.success_rates[profile.samples > 0]
    print(f"{len(profile):,} prompts, {profile.total_samples:,} rollouts, {profile.total_tokens:,} tokens")
    print(f"  success rate   {rates.mean():.2f} on average")
    print(f"  never solved   {(rates == 0).mean():.2f} of the prompts")
    print(f"  above 0.75     {(rates > 0.75).mean():.2f} of the prompts")
    if profile.failed:
        print(f"  not playable   {len(profile.failed)} prompts, e.g. {profile.failed[0]!r}")
    print(f"  profile        {options.out}")
    return 0


def _look(config: "Config", options: argparse.Namespace) -> None:
    """Check that there is something to profile, and the files that it needs."""
    from rekindle.preflight import check_profilable, check_retriever

    check_profilable(config, endpoint=bool(options.endpoint))
    check_retriever(config)


def _check(options: argparse.Namespace) -> None:
    if options.samples < 1:
        raise UserError(f"--samples {options.samples} must be at least 1; use e.g. --samples 8")
    if options.out.exists():
        raise UserError(f"--out {options.out} exists already; delete it, or choose another file")
    if bool(options.endpoint) != bool(options.endpoint_model):
        raise UserError("--endpoint and --endpoint-model belong together; give both, or neither")
    if options.endpoint and options.checkpoint:
        raise UserError("--endpoint and --checkpoint both name the policy; give one of them")


def _with_policy(
    config: "Config", tasks: "TaskSet", options: argparse.Namespace, interrupts: Interrupts
) -> "Profile | None":
    from rekindle.preflight import policy_files

    files = policy_files(config, saved_policy(options.checkpoint), say)
    say(files.loading)
    from rekindle.assembly import make_profile, workbench
    from rekindle.observability.warnings_log import warnings_kept_in
    from rekindle.warm_starts.stage import policy_directories

    model, base = policy_directories(config, files, say, tasks)
    with workbench(config, model, say, base=base, tasks=tasks) as bench, warnings_kept_in(_warnings_file(options)):
        _begin(tasks, options, interrupts)
        return make_profile(
            bench, options.out, options.samples, partial(_progress, interrupts), lambda: interrupts.asked
        )


def _begin(tasks: "TaskSet", options: argparse.Namespace, interrupts: Interrupts) -> None:
    say(f"profiling {len(tasks.pool):,} prompts with {options.samples} rollouts each ...")
    interrupts.begin()


def _warnings_file(options: argparse.Namespace) -> Path:
    """The warnings file next to the profile, named after it."""
    out: Path = options.out
    return out.with_name(f"{out.name}.warnings.jsonl")


def _with_endpoint(
    config: "Config", tasks: "TaskSet", options: argparse.Namespace, interrupts: Interrupts
) -> "Profile | None":
    from rekindle.assembly import endpoint_profile
    from rekindle.engines.endpoint import Endpoint

    endpoint = Endpoint(
        options.endpoint,
        options.endpoint_model,
        api_key=os.environ.get(KEY),
        chat=config.model.chat_template,
        system_prompt=config.model.system_prompt,
    )
    from rekindle.observability.warnings_log import warnings_kept_in

    with warnings_kept_in(_warnings_file(options)):
        _begin(tasks, options, interrupts)
        return endpoint_profile(
            config,
            endpoint,
            tasks,
            options.out,
            options.samples,
            partial(_progress, interrupts),
            lambda: interrupts.asked,
        )


def _progress(interrupts: Interrupts, done: int, total: int, left: float) -> None:
    interrupts.pace.mark()
    messages.status(f"profile: {done:,} of {total:,} prompts, {duration(left)} left", last=done == total)
