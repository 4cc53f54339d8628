"""Tests with the real verl: skipped where it is not installed (`make test-verl` makes an environment that has it)."""

import importlib.util

import pytest

# This folder is called verl too: without the real one, `import verl` finds an empty namespace here.
MISSING = importlib.util.find_spec("verl.trainer") is None


class WithoutVerl(pytest.Module):
    """A file of tests that is skipped before it is imported."""

    def collect(self):
        pytest.skip("verl is not installed: make test-verl", allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    return WithoutVerl.from_parent(parent, path=module_path) if MISSING else None


@pytest.fixture(scope="session")
def assets(tmp_path_factory):
    """The folder of the tiny model and its prompts."""
    from tiny_run import made_assets

    return made_assets(tmp_path_factory.mktemp("verl"))


@pytest.fixture(scope="session")
def cluster(assets):
    """One cluster of Ray's for all runs, with two made-up GPUs."""
    from runs import Cluster

    made = Cluster(assets)
    yield made
    made.close()


@pytest.fixture
def make_run(cluster, tmp_path):
    """A function that makes a run of `tiny_run.Run`'s arguments in the cluster, in a folder of its own."""
    from tiny_run import Run

    def make(**given):
        given.setdefault("out", str(tmp_path / f"run{len(list(tmp_path.iterdir()))}"))
        return cluster.make(Run(**given))

    return make
