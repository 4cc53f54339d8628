"""Tests with the real verl: skipped where it is not installed (`make test-verl` makes an environment that has it)."""

import importlib.util
import os

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")

# This folder is called verl too: without the real one, `import verl` finds an empty namespace here.
MISSING = importlib.util.find_spec("verl.trainer") is None


class WithoutVerl(pytest.Module):
    """A file of tests that is skipped before it is imported."""

    def collect(self):
        pytest.skip("verl is not installed: make test-verl", allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    return WithoutVerl.from_parent(parent, path=module_path) if MISSING else None
