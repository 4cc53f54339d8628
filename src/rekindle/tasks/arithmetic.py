"""The task "arithmetic": sums, differences and products of small numbers, e.g. ``"What is 17 + 8?"`` -> ``"25"``.

It is for pretrained models; the tiny model cannot read it. All problems of the chosen kinds are listed, and a seeded
hash splits them into the pool and the held-out prompts.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import product
from operator import add, mul, sub

from rekindle.tasks.parts import Part, has, read_part
from rekindle.tasks.task_set import TaskError, TaskSet, hash_rank, refuse_unknown, split
from rekindle.types import Task

__all__ = ["load_arithmetic"]

KIND = re.compile(r"([1-3])([+*-])([1-3])")
SHOWN = re.compile(r"\d+ [+*-] \d+")
KINDS = ("1+1", "2+1", "1*1")
TEMPLATE = "What is {}?"
OPERATIONS = {"+": add, "-": sub, "*": mul}
LISTED = 100_000
"""Most problems of a kind that are listed; of larger kinds every n-th is taken."""


def load_arithmetic(params: Mapping[str, object], *, pool_size: int, eval_prompts: int, seed: int) -> TaskSet:
    """List the problems, and split them.

    Args:
        params: ``kinds``, e.g. ``["1+1", "2*1"]``: digits of the numbers and the operation, level 1 first;
            ``template``, with ``{}`` where the problem goes; ``part``, "development" or "final"; ``each``, the most
            problems of a kind, because there are thousands of times as many with large numbers as with small ones.
        pool_size: Most prompts in the pool.
        eval_prompts: Prompts held out.
        seed: Chooses the split, and the problems of ``each``.

    Differences are not negative. Where the first number has more digits than the second, both orders occur, in the same
    part. Problems that the template itself shows are left out.

    Raises:
        TaskError: A parameter is unknown or malformed.
    """
    kinds, template, each = _read(params)
    part = read_part(params)
    tasks: dict[str, Task] = {}
    for level, kind in enumerate(kinds, start=1):
        problems = list(_problems(kind, template, part, level))
        tasks |= {problems[place].prompt: problems[place] for place in hash_rank(problems, -1 - seed)[:each]}
    return split(tasks.values(), eval_prompts, pool_size, seed, "arithmetic")


def _read(params: Mapping[str, object]) -> tuple[tuple[str, ...], str, int | None]:
    """Check ``task.params``; return the kinds, the template and the most problems of a kind."""
    refuse_unknown(params, ("kinds", "template", "part", "each"), "arithmetic")
    kinds, template = params.get("kinds", KINDS), params.get("template", TEMPLATE)
    if not isinstance(kinds, list | tuple) or not kinds or not all(_is_kind(kind) for kind in kinds):
        raise TaskError(
            f'task.params kinds = {kinds!r} must be a list of kinds such as "2+1": the digits (1 to 3) of two numbers '
            "with +, - or * between them; differences are not negative"
        )
    if not isinstance(template, str) or template.count("{}") != 1:
        raise TaskError(f"task.params template = {template!r} must be a text with one {{}}, where the problem goes")
    each = params.get("each")
    if each is not None and (isinstance(each, bool) or not isinstance(each, int) or each < 1):
        raise TaskError(f"task.params each = {each!r} must be the most problems of a kind, a whole number above 0")
    return tuple(kinds), template, each


def _is_kind(kind: object) -> bool:
    found = KIND.fullmatch(kind) if isinstance(kind, str) else None
    return found is not None and (found[2] != "-" or found[1] >= found[3])


def _problems(kind: str, template: str, part: Part, level: int) -> Iterator[Task]:
    """Every problem of a kind in a part, or every n-th of too many, in a fixed order."""
    left, sign, right = kind[0], kind[1], kind[2]
    shown = set(SHOWN.findall(template))
    pairs = [(a, b) for a, b in product(_numbers(int(left)), _numbers(int(right))) if sign != "-" or a >= b]
    for a, b in pairs[:: len(pairs) // LISTED + 1]:
        if not has(part, f"{sign} {min(a, b)} {max(a, b)}"):
            continue
        for first, second in [(a, b), (b, a)] if left != right and sign != "-" else [(a, b)]:
            text = f"{first} {sign} {second}"
            answer = str(OPERATIONS[sign](first, second))
            if text not in shown:
                metadata = {"kind": kind, "level": level}
                yield Task(f"arithmetic/{text}", template.replace("{}", text), answer, metadata)


def _numbers(digits: int) -> range:
    """Every number of so many digits; 0 has one."""
    return range(10 ** (digits - 1) if digits > 1 else 0, 10**digits)
