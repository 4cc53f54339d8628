"""Tests with the real verl: skipped where it is not installed (`make test-verl` makes an environment that has it)."""

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Keep the runs in one worker of xdist, where they share a cluster; the other worker makes the other tests."""
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("cluster"))


@pytest.fixture(scope="session")
def assets(tmp_path_factory):
    """The folder of the tiny model and its prompts."""
    from tiny_run import made_assets

    return made_assets(tmp_path_factory.mktemp("verl"))


@pytest.fixture(scope="session")
def cluster(assets):
    """One cluster of Ray's for all runs, with three made-up GPUs: two ranks, and a server of its own."""
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
