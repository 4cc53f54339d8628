"""What the processor and the GPU of this machine are, without torch."""

import platform
import subprocess
from functools import cache
from pathlib import Path

__all__ = ["computes_bfloat16", "has_gpu_driver"]

DRIVERS = ("/dev/nvidiactl", "/dev/dxg")
"""Where a driver of NVIDIA's, or that of WSL, is there."""
CPU_INFO = Path("/proc/cpuinfo")
FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""Of processors with bfloat16 instructions; the last is that of ARM."""
FIRST_CAPABILITY = 8.0
"""Compute capability from which GPUs have bfloat16 units."""


def has_gpu_driver() -> bool:
    """Whether there may be a GPU."""
    return any(Path(driver).exists() for driver in DRIVERS)


def computes_bfloat16(device: str) -> bool:
    """Whether a device has bfloat16 units and does not emulate them; False where that is not known.

    Args:
        device: ``model.device``: "auto", "cpu", "cuda" or "cuda:N".
    """
    if device == "cpu" or (device == "auto" and not has_gpu_driver()):
        return bool(FLAGS & _cpu_flags())
    return _least_capability() >= FIRST_CAPABILITY


def _cpu_flags() -> set[str]:
    """Flags of the first processor; empty on other systems than Linux."""
    if platform.system() != "Linux" or not CPU_INFO.is_file():
        return set()
    lines = CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((set(line.split()) for line in lines if line.lower().startswith(("flags", "features"))), set())


@cache
def _least_capability() -> float:
    """Smallest compute capability of the GPUs; 0 where there is none that answers."""
    command = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout  # noqa: S603
        return min(map(float, found.split()), default=0.0)
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0.0
