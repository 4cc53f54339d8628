"""Rules about the model of a run and its task."""

from collections.abc import Iterator

from rekindle.config.facts import FILE_SOURCES, invents_its_world
from rekindle.config.tables import Config
from rekindle.hub import HUB_NAME

__all__ = [
    "model_reads_the_task",
    "task_is_named",
    "warm_start_decays",
]


def model_reads_the_task(config: Config) -> Iterator[str]:
    """A task that the tiny model cannot read, or that exceeds its length."""
    if config.model.path is not None:
        return
    if config.task.source != "spell_backward" and not invents_its_world(config):
        yield (
            f'task.source = "{config.task.source}" needs a model that can read it; set model.path to a model '
            'directory (the tiny model only reads task.source = "spell_backward" and "search_world", and "self_play" '
            "without task.path)"
        )
        return
    longest = config.task.params.get("max_length", 14)
    spells = config.task.source == "spell_backward" and isinstance(longest, int)
    if spells and config.model.tiny.max_length < 2 * longest + 2:
        yield (
            f"model.tiny.max_length = {config.model.tiny.max_length} is too short for words of {longest} letters and "
            f"their answers; set it to at least {2 * longest + 2}"
        )


def warm_start_decays(config: Config) -> Iterator[str]:
    """A warm start with decay_below but no decay_steps, or the reverse."""
    table = config.warm_start
    if (table.decay_below is None) != (table.decay_steps == 0):
        yield (
            f"warm_start.decay_below = {table.decay_below} and warm_start.decay_steps = {table.decay_steps} belong "
            "together (loss at which the learning rate begins to fall, and steps of the fall); set both or neither"
        )


def task_is_named(config: Config) -> Iterator[str]:
    """A source without its file or name, or with the verifier of another source."""
    task = config.task
    if task.source in FILE_SOURCES and task.path is None:
        yield f'task.source = "{task.source}" needs task.path, the file to read; set it'
    if task.source == "hub" and not (task.path and HUB_NAME.fullmatch(task.path)):
        given = "" if task.path is None else f", and {task.path!r} is none"
        yield (
            f'task.source = "hub" needs task.path, the name of a data set on the hub ("owner/name"){given}; set it, or '
            'set task.source = "jsonl" for a file'
        )
    if task.source == "hub" and "[" in f"{task.split}{task.eval_split}":
        yield (
            f"task.split = {task.split!r}: a part of a split cannot be named; set task.split to the name of the split, "
            "and task.pool_size to the number of prompts"
        )
    if task.source == "reasoning_gym" and task.name is None:
        yield 'task.source = "reasoning_gym" needs task.name; set it, e.g. to "spell_backward"'
    if task.verifier == "reasoning_gym" and task.source != "reasoning_gym":
        yield 'task.verifier = "reasoning_gym" only judges its own tasks; set task.source = "reasoning_gym"'
