"""Assembly: builds the objects of a run from its configuration."""

from rekindle.assembly.bench import Workbench
from rekindle.assembly.opening import workbench
from rekindle.assembly.profiles import endpoint_profile, make_profile
from rekindle.assembly.run import open_run

__all__ = [
    "Workbench",
    "endpoint_profile",
    "make_profile",
    "open_run",
    "workbench",
]
