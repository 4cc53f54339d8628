"""Shared by all tests: one thread, and one warm start for the whole session."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from embedded import EXAMPLE, QUICK

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# Time limits of single examples say more about the machine's other work than about the code.
settings.register_profile("rekindle", deadline=None)
settings.load_profile("rekindle")


@pytest.fixture(scope="session", autouse=True)
def _shared_cache(tmp_path_factory):
    """Workers of one test session share warm starts, and the user's own cache is left alone."""
    root = tmp_path_factory.getbasetemp()
    shared = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    os.environ["REKINDLE_CACHE"] = str(shared / "rekindle-cache")


@pytest.fixture(scope="session")
def quick_config():
    """``quick_config("recycle", "train.steps=9")``: the embedded task, small."""
    from rekindle.recipes import resolve

    return lambda recipe="recycle", *overrides, seed=0: resolve(EXAMPLE, recipe, [*QUICK, *overrides], seed)


@pytest.fixture(scope="session")
def data():
    """Where the shared data sets are."""
    place = Path(os.environ.get("REKINDLE_DATA", Path(__file__).resolve().parents[1].parent / "shared" / "data"))
    if not place.is_dir():
        pytest.skip("the shared data sets are not here; set REKINDLE_DATA to their directory")
    return place
