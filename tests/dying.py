"""The command line in a process that sends itself a signal at a named moment, so that no test waits for one by luck."""

import inspect
import os
import signal
import subprocess
import sys


def signal_at(moment, at, number, instead=None):
    """Let this process send itself a signal at call ``at`` of ``MODULE:PATH``, after a call of ``instead``."""
    import importlib
    import os

    module, _, path = moment.partition(":")
    *outer, name = path.split(".")
    owner = importlib.import_module(module)
    for one in outer:
        owner = getattr(owner, one)
    inner, calls = getattr(owner, name), 0

    def counted(*args, **named):
        nonlocal calls
        calls += 1
        if calls == at:
            if instead is not None:
                instead(*args, **named)
            os.kill(os.getpid(), number)
        return inner(*args, **named)

    setattr(owner, name, counted)


_PROGRAM = f"""
{inspect.getsource(signal_at)}

import sys

moment, at, number, *arguments = sys.argv[1:]
signal_at(moment, int(at), int(number))
from rekindle.cli import main

sys.exit(main(arguments))
"""

UPDATE = "rekindle.training.trainer:Trainer.update"
"""The rollouts of a step are there, and nothing of the step is written yet."""
JOURNAL_LINE = "rekindle.evaluation.journal:Journal.add"
"""A question or a prompt was played."""


def signalled(arguments, moment, at, number=signal.SIGKILL):
    """What is left of ``rekindle ARGUMENTS`` that signals itself at the beginning of call ``at`` of ``moment``."""
    command = [sys.executable, "-c", _PROGRAM, moment, str(at), str(int(number)), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    if number == signal.SIGKILL:
        assert done.returncode == -signal.SIGKILL, done.stderr
    return done
