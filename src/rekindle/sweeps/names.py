"""What ``--seeds 0-4,9`` and ``--recipes grpo,recycle`` name."""

import re
from collections.abc import Iterator, Sequence

from rekindle.config import ConfigError

__all__ = ["named_recipes", "named_seeds"]

MOST_SEEDS = 1000
_PART = re.compile(r"(\d+)(?:-(\d+))?", re.ASCII)
_EXAMPLE = "write e.g. 0-4 or 0,3,7"


def named_seeds(text: str) -> list[int]:
    """The seeds of ``"0-4"`` or ``"0,3,7-9"``, in this order.

    Raises:
        ConfigError: The text names none, one twice, more than 1,000, or is no such list.
    """
    seeds = [seed for part in _parts(text, "--seeds", _EXAMPLE) for seed in _range(part, text)]
    if len(seeds) > MOST_SEEDS:
        raise _too_many(text, len(seeds))
    _refuse_twice(seeds, "--seeds", text)
    return seeds


def named_recipes(text: str) -> list[str]:
    """The names of ``"grpo,recycle"``, in this order; whether there are such recipes is checked elsewhere.

    Raises:
        ConfigError: The text names none, or one twice.
    """
    names = list(_parts(text, "--recipes", "write e.g. grpo,recycle (`rekindle recipes` lists them)"))
    _refuse_twice(names, "--recipes", text)
    return names


def _parts(text: str, option: str, remedy: str) -> Iterator[str]:
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        what = "is empty" if not any(parts) else "has nothing between two commas or at an end"
        raise ConfigError(f"{option} {text!r} {what}; {remedy}")
    yield from parts


def _range(part: str, text: str) -> Sequence[int]:
    found = _PART.fullmatch(part)
    if found is None:
        raise ConfigError(f"--seeds {text}: {part!r} is no seed and no range of seeds; {_EXAMPLE}")
    if max(map(len, filter(None, found.groups()))) > 18:
        raise ConfigError(f"--seeds {text}: {part[:20]}... is too large for a seed; {_EXAMPLE}")
    first, last = int(found[1]), int(found[2] or found[1])
    if last < first:
        raise ConfigError(f"--seeds {text}: the range {part} goes down; write {last}-{first}")
    if last - first >= MOST_SEEDS:
        raise _too_many(text, last - first + 1)
    return range(first, last + 1)


def _too_many(text: str, count: int) -> ConfigError:
    return ConfigError(f"--seeds {text} names {count:,} seeds, and a sweep has at most {MOST_SEEDS:,}; name fewer")


def _refuse_twice(names: Sequence[object], option: str, text: str) -> None:
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise ConfigError(f"{option} {text} names {twice} twice; name it once")
