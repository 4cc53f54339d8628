"""Tests with the real TRL: skipped where it is not installed (`make test-trl` makes an environment that has it)."""

import importlib.util
import os

import pytest

from tiny_qwen import CHARACTERS, LONGEST, SETTINGS, made_model

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

# This folder is called trl too: without the real one, `import trl` finds an empty namespace here.
MISSING = importlib.util.find_spec("trl.trainer") is None


class WithoutTRL(pytest.Module):
    """A file of tests that is skipped before it is imported."""

    def collect(self):
        pytest.skip("TRL is not installed: make test-trl", allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    return WithoutTRL.from_parent(parent, path=module_path) if MISSING else None


@pytest.fixture(scope="session")
def tokenizer():
    """One token per character; it pads on the left."""
    from rekindle.warm_starts.tiny_tokenizers import character_tokenizer

    made = character_tokenizer(CHARACTERS, LONGEST)
    made.padding_side = "left"
    return made


@pytest.fixture
def tiny_model(tokenizer):
    """A random Qwen3 of two layers in float32, with weights large enough for peaked, varied distributions."""
    return made_model(tokenizer)


@pytest.fixture(scope="session")
def model_directory(tokenizer, tmp_path_factory):
    """The tiny model and its tokenizer as files."""
    directory = tmp_path_factory.mktemp("tiny") / "model"
    made_model(tokenizer).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture
def args(tmp_path):
    """A function that makes a GRPOConfig for the CPU: groups of 4 in 2 micro-batches of 4 rows; ``changes`` win."""
    from trl import GRPOConfig

    def made(**changes):
        settings = SETTINGS | {"output_dir": str(tmp_path / "out"), "max_steps": 2}
        return GRPOConfig(**(settings | changes))

    return made


@pytest.fixture
def dataset():
    """24 sums with their answers."""
    from datasets import Dataset

    sums = [(3 * index % 10, index % 7) for index in range(24)]
    return Dataset.from_list([{"prompt": f"{a}+{b}=", "answer": str(a + b)} for a, b in sums])


@pytest.fixture
def trainer(tiny_model, tokenizer, args, dataset):
    """A function that makes a stock GRPOTrainer of ``changes`` to the arguments; its reward counts the digits."""
    from trl import GRPOTrainer

    def made(*, model=None, **changes):
        return GRPOTrainer(
            model=tiny_model if model is None else model,
            reward_funcs=digits,
            args=args(**changes),
            train_dataset=dataset,
            processing_class=tokenizer,
        )

    return made


def digits(completions, **_):
    """The share of digits among the characters of each completion."""
    return [sum(one.isdigit() for one in text) / max(1, len(text)) for text in completions]
