"""The first configuration of a run: a commented file of about 15 lines that suits a model and its tasks."""

import json
import tomllib
from pathlib import Path

from rekindle.config import Config, ConfigError
from rekindle.recipes import resolve
from rekindle.tasks.loading import source_of_file

__all__ = ["first_file"]

STEPS, GROUPS, SIZE = 100, 16, 8
"""Of a run with a pretrained model: a first look at whether it learns."""
HEAD = """# A run of rekindle.
#   rekindle try {name}       shows a few rollouts, what is wrong with them, and what the run would cost
#   rekindle train {name}     trains
"""
EMBEDDED = """recipe = "recycle"               # `rekindle recipes` lists the others

[task]
source = "spell_backward"        # an embedded task with a tiny model of its own; --model and --task name yours

[train]
steps = 60
groups_per_step = 64             # prompts a step
group_size = 4                   # rollouts of each prompt
"""
BODY = """recipe = "recycle"               # `rekindle recipes` lists the others

[model]
path = {model}
# lora.rank = 16                 # trains an adapter, with less memory

[task]
{task}
[train]
steps = {steps}
groups_per_step = {groups:<16} # prompts a step
group_size = {size:<21} # rollouts of each prompt
learning_rate = {rate:<18} # of all weights; ten times as much for an adapter

[engine]
max_new_tokens = {tokens:<17} # longest completion

[eval]
every = 10
"""


def first_file(out: Path, model: str | None, task: str | None, reward: str | None) -> tuple[str, Config]:
    """Text of the file and the complete configuration that it stands for.

    Args:
        out: Where it will be written.
        model: Directory, name on the hub or GGUF file; None: the tiny model of the embedded task.
        task: File of tasks; None: sums and products for a pretrained model.
        reward: ``FILE.py:FUNCTION``; None: the built-in verifier.

    Raises:
        ConfigError: The parts do not go together.
    """
    if model is None and task is not None:
        raise ConfigError("--task needs --model, because the tiny model knows the embedded tasks only; add it")
    text = HEAD.format(name=out) + (EMBEDDED if model is None else _body(model, task))
    if reward is not None:
        text += f"\n[[rewards]]\nfunction = {_quoted(reward)}\n"
    return text, resolve(tomllib.loads(text))


def _body(model: str, task: str | None) -> str:
    return BODY.format(
        model=_quoted(model),
        task=_task(task),
        steps=STEPS,
        groups=GROUPS,
        size=SIZE,
        rate="1e-5" if task is None else "1e-6",
        tokens=24 if task is None else 512,
    )


def _task(task: str | None) -> str:
    if task is None:
        return 'source = "arithmetic"            # sums and products of small numbers\n'
    return f'source = "{source_of_file(Path(task))}"\npath = {_quoted(task)}\n'


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
