import json

import pytest
import transformers

from embedded import EXAMPLE
from rekindle.caching import cache_directory
from rekindle.config.tables.model import WarmStartTable
from rekindle.recipes import resolve
from rekindle.tasks import spell_backward
from rekindle.warm_starts import imitation, spelling
from rekindle.warm_starts.cache import WarmStartError, cached
from rekindle.warm_starts.imitation import demonstration, imitate, imitated
from rekindle.warm_starts.stage import start_workbench
from rekindle.warm_starts.tiny_model import build_tiny


@pytest.mark.slow
def test_imitation_lowers_the_loss_on_completions_and_is_deterministic():
    settings = WarmStartTable(steps=30, batch_size=16, learning_rate=3e-3)
    pairs = spelling.demonstrations(480, seed=0, params={"max_length": 3})
    losses = []
    for _ in range(2):
        policy = build_tiny(layers=2, characters=spell_backward.CHARACTERS)
        seen: list[float] = []
        samples = [demonstration(policy, *pair) for pair in pairs]

        def note(step, loss, seen=seen):
            seen.append(loss)

        imitate(policy, samples, settings, note)
        losses.append(seen)
    assert losses[0] == losses[1]
    assert len(losses[0]) == 30
    assert sum(losses[0][-5:]) < 0.8 * sum(losses[0][:5])


def test_a_demonstration_trains_the_completion_and_its_end_only():
    policy = build_tiny(characters=spell_backward.CHARACTERS)
    sample = demonstration(policy, "ab>", "ba")
    assert policy.decode(sample.token_ids) == "ab>ba"
    assert sample.loss_mask == [False, False, False, True, True, True]
    assert sample.token_ids[-1] in policy.eos_ids


def test_the_learning_rate_falls_once_the_skill_is_there_and_the_warm_start_ends_with_it(monkeypatch):
    """Losses are given, so the steps can be worked out: the smoothed loss is 2, 1.95, ... and first below 1.9 at 4."""
    losses = iter([2.0, 1.0, 1.0, 1.0, 5.0, 5.0, 5.0, 5.0])
    smoothed = 2.0 * 0.95**3 + (1 - 0.95**3)
    assert smoothed < 1.9 < 2.0 * 0.95**2 + (1 - 0.95**2)
    rates = []

    def step(policy, optimizer, batch):
        rates.append(optimizer.param_groups[0]["lr"])
        return next(losses)

    monkeypatch.setattr(imitation, "_step", step)
    policy = build_tiny(layers=1, hidden_size=16, heads=2, kv_heads=2)
    settings = WarmStartTable(steps=100, batch_size=1, learning_rate=0.8, decay_below=1.9, decay_steps=4)
    imitate(policy, [imitated([1, 2], [False, True])] * 50, settings, lambda *_: None)
    assert rates == pytest.approx([0.8, 0.8, 0.8, 0.8, 0.8, 0.6, 0.4, 0.2])


def test_a_skill_that_never_comes_ends_at_the_last_step(monkeypatch):
    monkeypatch.setattr(imitation, "_step", lambda *_: 9.0)
    seen = []
    settings = WarmStartTable(steps=7, batch_size=2, decay_below=0.5, decay_steps=3)
    policy = build_tiny(layers=1, hidden_size=16, heads=2, kv_heads=2)
    imitate(policy, [imitated([1, 2], [False, True])] * 50, settings, lambda step, loss: seen.append(step))
    assert seen == [1, 2, 3, 4, 5, 6, 7]


def test_the_cache_is_keyed_by_settings_and_made_again_when_it_is_broken(monkeypatch, tmp_path):
    monkeypatch.setenv("REKINDLE_CACHE", str(tmp_path))
    made = []

    def make():
        made.append(True)
        return build_tiny(layers=1, hidden_size=16, heads=2, kv_heads=2), {"sampled": 0.4}

    first, profile = cached({"steps": 1}, make)
    assert cached({"steps": 1}, make) == (first, profile)
    assert len(made) == 1
    second, _ = cached({"steps": 2}, make)
    assert second != first
    assert len(made) == 2
    with monkeypatch.context() as other:
        other.setattr(transformers, "__version__", "4.57.1")
        assert cached({"steps": 1}, make)[0] not in {first, second}, "its tokenizer files may be of another kind"
    made.pop()
    (first / "model.safetensors").unlink()
    assert cached({"steps": 1}, make)[0] == first
    assert len(made) == 3
    (first / "profile.json").write_text("{")
    cached({"steps": 1}, make)
    assert len(made) == 4
    assert json.loads((first / "profile.json").read_text()) == {"sampled": 0.4}
    assert not list(cache_directory("warm-start").glob(".partial-*"))


def test_a_start_outside_the_asserted_profile_is_refused(quick_config):
    config = quick_config("recycle", "warm_start.sampled_accuracy=[0.98, 1.0]")
    refused = pytest.raises(WarmStartError, match=r"sampled accuracy 0\.\d\d is outside warm_start.sampled_accuracy = ")
    with refused, start_workbench(config, lambda _: None):
        pass


@pytest.mark.slow
def test_the_embedded_start_leaves_both_kinds_of_groups_without_signal(quick_config):
    """The shipped settings, on the whole task: what the documentation says of the start policy."""

    lines = []
    with start_workbench(resolve(EXAMPLE, "recycle"), lines.append) as bench:
        start = bench.evaluation_metrics()
        assert bench.directory is not None
        profile = json.loads((bench.directory / "profile.json").read_text())
    assert 0.2 <= profile["sampled"] <= 0.6
    assert profile["greedy"] > profile["sampled"]
    assert profile["all_correct"] >= 0.03
    assert profile["all_wrong"] >= 0.2
    assert profile["all_correct"] + profile["all_wrong"] <= 0.8
    assert 0.2 <= start["eval/accuracy"] <= 0.6
