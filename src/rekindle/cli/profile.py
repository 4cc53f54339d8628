"""`rekindle profile`: one pass over the pool, its success rates in a Parquet file."""

import argparse
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from rekindle.cli.interrupts import Interrupts, say
from rekindle.cli.options import add_config, resolved
from rekindle.config import Config
from rekindle.observability.formatting import duration
from rekindle.types import UserError

if TYPE_CHECKING:
    from rekindle.scheduling.profiling import Profile

__all__ = ["add"]

INTERRUPTED = 130
KEY = "OPENAI_API_KEY"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    profile = commands.add_parser("profile", help="measure the success rate of every prompt of the pool")
    add_config(profile)
    profile.add_argument("--samples", type=int, default=8, metavar="N", help="rollouts per prompt (default: 8)")
    profile.add_argument("--out", type=Path, required=True, metavar="FILE", help="Parquet file; repeat to go on")
    profile.add_argument(
        "--checkpoint",
        type=Path,
        metavar="DIR",
        help="a run, a checkpoint or a model directory (default: the start policy)",
    )
    profile.add_argument("--endpoint", metavar="URL", help="an OpenAI-compatible server instead, e.g. .../v1")
    profile.add_argument("--endpoint-model", metavar="NAME", help=f"its model (its key is read from {KEY})")
    profile.set_defaults(run=_profile)


def _profile(options: argparse.Namespace) -> int:
    config = resolved(options)
    _check(options)
    with Interrupts() as interrupts:
        profile = (_with_endpoint if options.endpoint else _with_policy)(config, options, interrupts)
    sys.stderr.write("\n")
    if profile is None:
        say("interrupted; to go on, repeat the command")
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


def _check(options: argparse.Namespace) -> None:
    if options.samples < 1:
        raise UserError(f"--samples {options.samples}: a success rate needs at least one rollout; use --samples 8")
    if options.out.exists():
        raise UserError(f"--out {options.out} exists already; delete it, or choose another file")
    if bool(options.endpoint) != bool(options.endpoint_model):
        raise UserError("--endpoint and --endpoint-model belong together; give both, or neither")
    if options.endpoint and options.checkpoint:
        raise UserError("--endpoint and --checkpoint both name the policy; give one of them")


def _with_policy(config: Config, options: argparse.Namespace, interrupts: Interrupts) -> "Profile | None":
    from rekindle.assembly import make_profile, model_directory, workbench
    from rekindle.warm_starts.stage import start_model

    model = model_directory(options.checkpoint) or start_model(config, say)
    with workbench(config, model, say) as bench:
        return make_profile(bench, options.out, options.samples, _progress, lambda: interrupts.asked)


def _with_endpoint(config: Config, options: argparse.Namespace, interrupts: Interrupts) -> "Profile | None":
    from rekindle.assembly import endpoint_profile
    from rekindle.engines.endpoint import Endpoint

    endpoint = Endpoint(
        options.endpoint,
        options.endpoint_model,
        api_key=os.environ.get(KEY),
        chat=config.model.chat_template,
        system_prompt=config.model.system_prompt,
    )
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: say(f"\n{message}")
        return endpoint_profile(config, endpoint, options.out, options.samples, _progress, lambda: interrupts.asked)


def _progress(done: int, total: int, left: float) -> None:
    sys.stderr.write(f"\rprofile: {done:,} of {total:,} prompts, {duration(left)} left   ")
    sys.stderr.flush()
