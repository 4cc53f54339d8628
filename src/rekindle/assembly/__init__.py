"""The one place where a configuration becomes objects."""

from rekindle.assembly.bench import Workbench
from rekindle.assembly.opening import model_directory, workbench
from rekindle.assembly.profiles import endpoint_profile, make_profile
from rekindle.assembly.run import open_run

__all__ = [
    "Workbench",
    "endpoint_profile",
    "make_profile",
    "model_directory",
    "open_run",
    "workbench",
]
