import json

import pytest
import torch

import rekindle.assembly.threads as threads
from rekindle.assembly.threads import fastest_threads


@pytest.fixture
def model(tmp_path):
    def described(**config):
        (tmp_path / "config.json").write_text(json.dumps(config))
        return tmp_path

    return described


@pytest.fixture
def machine(monkeypatch):
    """A machine with a number of processors, on which products take the given seconds by number of threads."""
    measured = []

    def with_times(seconds):
        monkeypatch.setattr(torch, "get_num_threads", lambda: max(seconds))
        monkeypatch.setattr(torch, "set_num_threads", measured.append)

        def timed(count, width, wide):
            measured.append((count, width, wide))
            return seconds[count]

        monkeypatch.setattr(threads, "_seconds", timed)
        return measured

    return with_times


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({1: 1.0, 2: 0.5}, 2),
        ({1: 1.0, 2: 0.9}, 1),
        ({1: 1.0, 2: 10.0}, 1),
        ({1: 8.0, 2: 4.0, 4: 2.0, 6: 1.9}, 4),
    ],
)
def test_the_smallest_number_that_is_about_as_fast_as_the_best(machine, model, seconds, chosen):
    measured = machine(seconds)
    assert fastest_threads(model(hidden_size=576, intermediate_size=1536)) == chosen
    assert measured == [*((count, 576, 1536) for count in seconds), max(seconds)], "torch's own number comes back"


@pytest.mark.parametrize("config", [{"hidden_size": 64, "intermediate_size": 192}, {}, {"hidden_size": "?"}])
def test_small_and_unknown_models_take_one_without_a_measurement(machine, model, config):
    measured = machine({1: 1.0, 2: 0.5})
    assert fastest_threads(model(**config)) == 1
    assert fastest_threads(None) == 1
    assert measured == []


def test_with_one_thread_allowed_nothing_is_measured(machine, model):
    measured = machine({1: 1.0})
    assert fastest_threads(model(n_embd=768)) == 1
    assert measured == []


def test_a_real_measurement(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(threads, "WORK", 2**12)
    assert threads._seconds(1, 32, 64) > 0
    torch.set_num_threads(before)
