"""Shared by all tests: how properties are played, one thread, and one warm start for the whole session."""

import functools
import gc
import importlib
import os
import random
import sys
import time
from pathlib import Path

import pytest
from hypothesis import settings

from embedded import EXAMPLE, QUICK
from fast import COLLECTED, ELSEWHERE, has

TESTS = Path(__file__).parent

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# Time limits of single examples say more about the machine's other work than about the code.
settings.register_profile("fixed", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("fuzz", derandomize=False, deadline=None, print_blob=True)


def pytest_addoption(parser):
    parser.addoption("--fuzz-until", type=float, metavar="TIME", help="properties only; none begins after this time")
    parser.addoption("--examples", type=float, default=1.0, metavar="FACTOR", help="times the examples of a property")


def pytest_configure(config):
    settings.load_profile("fixed" if _fuzz_until(config) is None else "fuzz")


class NotHere(pytest.Module):
    """A module of tests whose library is not installed; it is skipped without being imported."""

    def collect(self):
        room = self.path.relative_to(TESTS).parts[0]
        pytest.skip(f"{room} is not installed; {ELSEWHERE[room]} has an environment with it")


def pytest_pycollect_makemodule(module_path, parent):
    room = module_path.relative_to(TESTS).parts[0]
    return NotHere.from_parent(parent, path=module_path) if room in ELSEWHERE and not has(room) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    config.stash[COLLECTED] = [(item.nodeid, item.get_closest_marker("slow") is not None) for item in items]
    if _fuzz_until(config) is not None:
        _keep_the_properties(config, items)
    _multiply_examples(items, config.getoption("--examples"))


def pytest_collection_finish():
    """The garbage collector leaves the modules and the tests themselves alone: they never become garbage."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item):
    until = _fuzz_until(item.config)
    if until is not None and time.time() > until:
        pytest.skip("the time for fuzzing is over")


def _fuzz_until(config):
    return config.getoption("--fuzz-until")


def _keep_the_properties(config, items):
    """In a random order, each once."""
    others = [item for item in items if not _is_property(item)]
    config.hook.pytest_deselected(items=others)
    items[:] = sorted(set(items) - set(others), key=lambda item: item.nodeid)
    random.Random(config.getoption("--hypothesis-seed")).shuffle(items)


def _multiply_examples(items, factor):
    given = {}
    for item in filter(_is_property, items):
        function = getattr(item.obj, "__func__", item.obj)
        if hasattr(function, "_hypothesis_state_machine_class"):
            given.setdefault((item.cls, "settings"), item.cls.settings)
        else:
            name = "_hypothesis_internal_use_settings"
            given.setdefault((function, name), getattr(function, name))
    for (owner, name), before in given.items():
        setattr(owner, name, settings(before, max_examples=max(1, round(factor * before.max_examples))))


def _is_property(item):
    return getattr(getattr(item, "obj", None), "is_hypothesis_test", False)


@pytest.fixture(autouse=True)
def _same_random_numbers():
    """What draws from a library's global generator draws the same in every order of the tests."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.manual_seed(0)  # of the CPU alone: ten times as fast


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
def policies():
    """``policies("qwen3")``: a small random policy, built once per session; leave its weights as they are."""
    from small_policies import build

    return functools.cache(build)


@pytest.fixture
def fresh_policy():
    """``fresh_policy("llama")``: a policy of one's own, to change its weights."""
    from small_policies import build

    return build


@pytest.fixture(scope="session")
def data():
    """Where the shared data sets are."""
    place = Path(os.environ.get("REKINDLE_DATA", Path(__file__).resolve().parents[1].parent / "shared" / "data"))
    if not place.is_dir():
        pytest.skip("the shared data sets are not here; set REKINDLE_DATA to their directory")
    return place


@pytest.fixture(scope="session")
def _offline(tmp_path_factory):
    """Local stores for the whole session, because some libraries read their variables once."""
    root = tmp_path_factory.mktemp("trackers")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("WANDB_MODE", "offline")
        patched.delenv("WANDB_DIR", raising=False)
        patched.setenv("WANDB_CONFIG_DIR", str(root / "wandb"))
        patched.setenv("MLFLOW_TRACKING_URI", str(root / "mlruns"))
        patched.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        patched.setenv("TRACKIO_DIR", str(root / "trackio"))
        patched.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture
def library(_offline):
    """``library("wandb")`` skips a test where the library is not installed."""

    def needed(name):
        pytest.importorskip(name, reason=f"{name} is not installed; make test-trackers has an environment with it")
        return importlib.import_module(name)

    return needed
