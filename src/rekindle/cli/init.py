"""`rekindle init`: writes a first configuration."""

import argparse
import os
import shlex
from pathlib import Path

from rekindle.cli.messages import say
from rekindle.cli.options import user_path
from rekindle.types import UserError

__all__ = ["add"]


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    init = commands.add_parser("init", help="write a commented configuration of about 15 lines")
    init.add_argument("--model", metavar="M", help="directory, name on the hub or GGUF file (default: a tiny model)")
    init.add_argument("--task", metavar="FILE", help="file of tasks with prompt and answer")
    init.add_argument("--reward", metavar="FILE.py:FUNCTION", help="a reward function of your own")
    init.add_argument("--out", type=user_path, default=Path("my.toml"), metavar="FILE", help="default: my.toml")
    init.set_defaults(run=_init)


def _init(options: argparse.Namespace) -> int:
    from rekindle.evaluation.atomic_write import atomic_write
    from rekindle.first_file import first_file
    from rekindle.preflight import check_rewards, policy_files, task_set

    out = options.out
    if os.path.lexists(out):
        raise UserError(f"{out} exists already; delete it, or choose another --out")
    if not out.absolute().parent.is_dir():
        raise UserError(f"there is no directory {out.parent} for {out.name}; make it, or choose another --out")
    text, config = first_file(out, options.model, options.task, options.reward)
    tasks = task_set(config, say)
    check_rewards(config, tasks)
    if config.model.path is not None:
        policy_files(config, None, say)
    with atomic_write(out, UserError, "make room, or choose another --out") as partial:
        partial.write_text(text, encoding="utf-8")
    print(f"{out}: {len(tasks.pool):,} prompts to train on, {len(tasks.held_out):,} to evaluate on")
    print(f"  next           {shlex.join(['rekindle', 'try', str(out)])}")
    return 0
