"""A platform of verl's that is the CPU: one device, no memory to manage, gloo between processes."""

import contextlib
import functools
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch

__all__ = ["CpuModule", "use_cpu", "use_gloo", "without_pinned_memory"]

DEVICE = "cpu"
BACKEND = "cpu:gloo"
"""torch's name of the backend. verl makes ``cpu:gloo,cpu:gloo`` of it, which torch refuses."""


class CpuModule:
    """In place of ``torch.cuda``: counts of bytes are 0, random numbers are torch's, and the rest does nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return {**_COUNTS, **_FUNCTIONS}.get(name, _nothing)


def _nothing(*args: Any, **named: Any) -> None:
    """Do nothing."""


def _zero(*args: Any, **named: Any) -> int:
    """No byte is counted."""
    return 0


_COUNTS = dict.fromkeys(("max_memory_allocated", "max_memory_reserved", "memory_allocated", "memory_reserved"), _zero)
_FUNCTIONS: dict[str, Any] = {
    "is_available": lambda: True,
    "device_count": lambda: 1,
    "current_device": lambda: torch.device(DEVICE),
    "get_device_name": lambda *_: DEVICE,
    "mem_get_info": lambda *_: (1 << 33, 1 << 34),
    "get_rng_state": lambda *_: torch.get_rng_state(),
    "set_rng_state": lambda state, *_: torch.set_rng_state(state),
    "manual_seed": torch.manual_seed,
    "manual_seed_all": torch.manual_seed,
}


def use_cpu(module: ModuleType) -> None:
    """Make the CPU the platform of ``verl.plugin.platform``."""

    class CpuPlatform(module.PlatformBase):  # type: ignore[name-defined]
        device_name = vendor_name = DEVICE
        device_module = CpuModule()

        def is_available(self) -> bool:
            return True

        def current_device(self) -> torch.device:
            return torch.device(DEVICE)

        def device_count(self) -> int:
            return 1

        def manual_seed(self, seed: int) -> None:
            torch.manual_seed(seed)

        def get_device_capability(self, device_index: int = 0) -> tuple[None, None]:
            return None, None

        def communication_backend_name(self) -> str:
            return "gloo"

        def visible_devices_envvar(self) -> str:
            return "CUDA_VISIBLE_DEVICES"

        def ray_resource_name(self) -> str:
            return "GPU"  # made up: verl counts ranks in this resource or in NPUs

        def ray_noset_envvars(self) -> list[str]:
            return []

        def is_ipc_supported(self) -> bool:
            return False

        @contextlib.contextmanager
        def nvtx_range(self, msg: str) -> Iterator[None]:
            yield

        manual_seed_all = manual_seed
        set_device = synchronize = empty_cache = set_allocator_settings = _nothing
        profiler_start = profiler_stop = cudart = _nothing

    module.PlatformRegistry.register(platform=DEVICE)(CpuPlatform)
    module.set_platform(CpuPlatform())


def use_gloo(module: ModuleType) -> None:
    """Let the process groups that ``verl.utils.distributed`` makes in Ray's workers be gloo's."""
    theirs = module.initialize_global_process_group_ray
    module.initialize_global_process_group_ray = functools.partial(theirs, backend=BACKEND)  # type: ignore[attr-defined]


def without_pinned_memory(module: ModuleType) -> None:
    """Let ``verl.workers.engine.fsdp.transformer_impl`` keep a reference in memory that no GPU reads."""
    theirs = module.CPUOffloadPolicy
    module.CPUOffloadPolicy = lambda **_: theirs(pin_memory=False)  # type: ignore[attr-defined]
