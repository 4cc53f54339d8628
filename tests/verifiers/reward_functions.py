"""Reward functions of the tests, as a user writes them: a file that imports its neighbour."""

import asyncio
import functools
import math
import random
import time

from reward_neighbour import BONUS

CALLS = []


def score(completions, answer, **columns):
    CALLS.append(list(completions))
    return [float(text == right) for text, right in zip(completions, answer, strict=True)]


def verl(data_source, solution_str, ground_truth, extra_info=None):
    return {"score": 0.5 * (solution_str == ground_truth), "source": data_source, "info": extra_info}


def everything(**arguments):
    return [float(len(arguments["completion_ids"][row])) for row, _ in enumerate(arguments["prompts"])]


async def slowly(completions, **columns):
    await asyncio.sleep(0)
    return [BONUS] * len(completions)


async def each(solution_str, ground_truth):
    if solution_str == "hang":
        await asyncio.sleep(60)
    return solution_str == ground_truth


class Length:
    """An instance is a function as well."""

    def __call__(self, completions, *, unit=1.0):
        return [len(text) / unit for text in completions]


length = Length()
halves = functools.partial(length, unit=2.0)


def only_even(completions, level):
    return [None if one % 2 else 1.0 for one in level]


def chance(completions):
    return [random.random() for _ in completions]


def behave(completions):
    """What a user's code may do, by the first completion."""
    values: list = [1.0] * len(completions)
    match completions[0]:
        case "raise":
            raise KeyError("no such key\nand more")
        case "exit":
            raise SystemExit(3)
        case "hang":
            time.sleep(60)
        case "die":
            import os

            os._exit(1)
        case "nan":
            values[0] = math.nan
        case "inf":
            values[0] = -math.inf
        case "huge":
            values[0] = 10**400
        case "text":
            values[0] = "good"
        case "word":
            return "good"
        case "number":
            return 1.0
        case "none":
            return None
        case "few":
            return values[1:]
        case "coroutine":
            return slowly(completions)
    return values


def verdict(solution_str, ground_truth):
    return {"no score": {"reward": 1.0}, "list": [1.0], "word": "right"}.get(solution_str, 1)
