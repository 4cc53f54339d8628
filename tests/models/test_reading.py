"""A model that is read once and copied for several runs is the model that is read every time."""

import pytest
import torch

from rekindle.models.lora import NewAdapter
from rekindle.models.policy import Policy
from rekindle.models.reading import KeptModel


@pytest.fixture
def saved(fresh_policy, tmp_path):
    def save(family, name="model"):
        fresh_policy(family).save(tmp_path / name)
        return tmp_path / name

    return save


@pytest.mark.parametrize("family", ["llama", "qwen3"])
@pytest.mark.parametrize("rank", [0, 2])
def test_copies_are_the_model_that_is_read(family, rank, saved):
    if rank:
        pytest.importorskip("peft")
    directory, kept = saved(family), KeptModel()

    def load(**reader):
        adapter = NewAdapter(rank, 4.0, ("all-linear",), seed=3) if rank else None
        return Policy.load(directory, device="cpu", adapter=adapter, **reader)

    anew, first = load(), load(read=kept)
    start = first.fingerprint()
    assert anew.fingerprint() == start
    with torch.no_grad():
        for weight in first.model.parameters():
            weight.add_(1.0)
    second = load(read=kept)
    assert second.fingerprint() == start, "a run does not change the model of the next"
    assert second.tokenizer.get_vocab() == anew.tokenizer.get_vocab()
    assert second.tokenizer is not first.tokenizer
    assert second.model.training is anew.model.training
    assert [one.requires_grad for one in second.model.parameters()] == [
        one.requires_grad for one in anew.model.parameters()
    ]


def test_another_model_takes_its_place(saved, monkeypatch):
    from rekindle.models import reading

    read, loaded = [], reading.read_model

    def counted(directory, *args, **named):
        read.append(directory.name)
        return loaded(directory, *args, **named)

    monkeypatch.setattr(reading, "read_model", counted)
    one, other, kept = saved("llama", "one"), saved("qwen3", "other"), KeptModel()
    for directory in (one, one, other, other, one):
        Policy.load(directory, device="cpu", read=kept)
    assert read == ["one", "other", "one"]
    with pytest.raises(Exception, match="nowhere"):
        Policy.load(one.with_name("nowhere"), device="cpu", read=kept)
