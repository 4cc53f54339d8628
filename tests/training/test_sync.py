"""Engines that hold a copy of the weights: they follow the policy by ``sync`` alone, bit for bit."""

import pytest
from test_loop import assert_same_run, finish, opened, without_clocks

from fast import sample
from rekindle.engines.torch_engine import TorchEngine
from rekindle.records.endings import Ending
from searching import self_play_config


class CopyEngine:
    """Samples from a copy of the weights that nothing but ``sync`` refreshes."""

    def __init__(self, config, policy):
        self._copy = policy.clone_frozen()
        self._engine = TorchEngine(self._copy, max_rows=config.engine.max_rows)
        self.versions = []

    def sync(self, policy, version):
        self.versions.append(version)
        self._copy.use_kernels(policy.kernels)
        self._copy.model.load_state_dict(policy.model.state_dict())

    def generate(self, requests):
        return self._engine.generate(requests)

    def converse(self, requests, partner):
        self._engine.converse(requests, partner)


class Stale(CopyEngine):
    """What a loop that forgets to sync would leave an engine with: the weights of the start."""

    def sync(self, policy, version):
        if not version:
            super().sync(policy, version)


@pytest.fixture(params=sample(["recycle", "self_play"], "recycle"))
def config(request, quick_config):
    return self_play_config() if request.param == "self_play" else quick_config(request.param)


def test_a_copy_of_the_weights_gives_the_same_run(config, tmp_path):
    finish(config, tmp_path / "own")
    finish(config, tmp_path / "copy", engine=CopyEngine)
    assert without_clocks(tmp_path / "own")[-1]["version"] > 2
    assert_same_run(tmp_path / "own", tmp_path / "copy")


@pytest.mark.slow
def test_a_loop_that_forgets_to_sync_gives_another_run(config, tmp_path):
    finish(config, tmp_path / "own")
    finish(config, tmp_path / "stale", engine=Stale)
    own, stale = (without_clocks(tmp_path / name) for name in ("own", "stale"))
    assert own[0] == stale[0]
    assert own[-1] != stale[-1]


@pytest.mark.slow
def test_every_version_is_synced_once_before_it_is_asked(quick_config, tmp_path):
    class Strict(CopyEngine):
        def generate(self, requests):
            assert self.versions, "an engine is synced before its first request"
            return super().generate(requests)

    config = quick_config("recycle", "train.steps=4")
    with opened(config, tmp_path / "run", engine=Strict) as loop:
        assert loop.run(lambda: loop.step == 2) is Ending.INTERRUPTED
        assert loop.parts.engine.versions == list(range(loop.version + 1))
        before = loop.version
    _, loop = finish(config, tmp_path / "run", resume=True, engine=Strict)
    assert loop.parts.engine.versions == list(range(before, loop.version + 1))
