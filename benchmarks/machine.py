"""The processor of this machine, as a few words of the pages."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

from rekindle.hardware import computes_bfloat16

__all__ = ["machine"]

CPUS = Path("/proc/cpuinfo")


def machine() -> str:
    """``"2 cores of an AMD EPYC without bfloat16 instructions, Python 3.11.7, torch 2.13.0+cpu"``."""
    model = platform.processor() or platform.machine()
    if CPUS.is_file():
        names = [line.partition(":")[2].strip() for line in CPUS.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    with_them = "with" if computes_bfloat16("cpu") else "without"
    return (
        f"{os.cpu_count()} cores of {model}, {with_them} bfloat16 instructions, Python {platform.python_version()}, "
        f"torch {version('torch')}"
    )
