"""Constraints made from pyproject.toml: each dependency at its lower bound, or only what must not be newer."""

import re
import sys
import tomllib
from pathlib import Path

ELSEWHERE = {"dev", "trl", "verl"}
"""Extras that `.ci/bounds` does not install; those of TRL and verl are ranges that `.ci/trl` and `.ci/verl` test."""


def main(which: str, torch: str) -> None:
    """Print the constraints; torch is what the caller says."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [names for extra, names in project["optional-dependencies"].items() if extra not in ELSEWHERE]
    print(f"torch=={torch}")
    for requirement in [*project["dependencies"], *(one for extra in extras for one in extra)]:
        name, lowest = re.match(r"([\w.-]+)>=([\w.]+)", requirement).groups()
        if which == "lowest" and name != "torch":
            print(f"{name}=={lowest}")


if __name__ == "__main__":
    main(*sys.argv[1:])
