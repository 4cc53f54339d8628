"""Tests of the trainer in verl; skipped, with the reason, where verl or its transfer queue is not installed."""

from importlib.util import find_spec

import pytest

MISSING = [name for name in ("verl", "transfer_queue", "ray") if find_spec(name) is None]


def pytest_ignore_collect(collection_path):
    return collection_path.name.startswith("test_") and bool(MISSING)
