"""The page "From your TRL script": the script trains before and after its diff."""

import string

import pytest

from rekindle import load_run
from rekindle.warm_starts.tiny_model import build_tiny
from trl_page import BEFORE, after

SMALLER = {"max_steps=60": "max_steps=2", "per_device_train_batch_size=64": "per_device_train_batch_size=8"}
SMALLER |= {"max_completion_length=24": "max_completion_length=4", "learning_rate": "use_cpu=True, learning_rate"}


SMALLER["float(text.split()[-1:] == [value])"] = "float(len(text) % 2)"
"""A model with random weights never answers; half of its completions have an odd length."""


@pytest.fixture
def _model(tmp_path, monkeypatch):
    """A small model with random weights where the scripts expect one."""
    monkeypatch.chdir(tmp_path)
    policy = build_tiny(
        layers=1, hidden_size=16, heads=2, kv_heads=1, intermediate_size=16, max_length=96, characters=string.printable
    )  # fmt: skip
    policy.tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    policy.save(tmp_path / "models" / "SmolLM2-135M-Instruct")


def run(script):
    for large, small in SMALLER.items():
        assert large in script
        script = script.replace(large, small)
    names = {"__name__": "script"}
    exec(compile(script, "trl_script.py", "exec"), names)
    return names["trainer"]


@pytest.mark.usefixtures("_model")
def test_the_script_trains_with_trl_alone():
    trainer = run(BEFORE)
    assert (trainer.state.global_step, type(trainer).__module__) == (2, "trl.trainer.grpo_trainer")


@pytest.mark.usefixtures("_model")
def test_the_changed_script_trains_with_the_recipe(tmp_path):
    trainer = run(after())
    assert trainer.state.global_step == 2
    done = load_run(tmp_path / "runs" / "sums" / "rekindle")
    assert [line["step"] for line in done.metrics if line["step"]] == [1, 2]
    assert done.config["recipe"] == "recycle"
