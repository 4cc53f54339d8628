import pytest
import torch

from gguf_writing import small_llama, write_gguf
from rekindle.models.directory import ModelError
from rekindle.models.policy import Policy
from rekindle.models.sources import located

pytest.importorskip("gguf", reason="GGUF files need the package gguf")
pytest.importorskip("accelerate", reason="GGUF files need the package accelerate")

IDS = torch.tensor([[1, 4, 7, 3, 5, 20]])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REKINDLE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gguf"


@pytest.fixture
def file(tmp_path):
    write_gguf(tmp_path / "small.gguf", small_llama())
    return tmp_path / "small.gguf"


def test_the_model_of_a_file_is_the_model_that_was_written(file):
    model, said = small_llama(), []
    source = located(str(file), None, said.append)
    assert (source.commit, source.ready) == (None, None)
    assert source.parameters == sum(weight.numel() for weight in model.parameters())
    policy = Policy.load(source.directory(), device="cpu")
    with torch.no_grad():
        torch.testing.assert_close(policy.model(IDS).logits, model(IDS).logits)
    assert said == [f"reading {file} ..."]
    assert policy.tokenizer.convert_ids_to_tokens([2, 19]) == ["</s>", "ab"]
    assert policy.eos_ids == {2}
    assert policy.dtype == torch.float32


def test_quantized_weights_are_expanded_and_can_be_trained(tmp_path):
    write_gguf(tmp_path / "q8.gguf", small_llama(), quantized=True)
    policy = Policy.load(located(str(tmp_path / "q8.gguf"), None, print).directory(), device="cpu")
    with torch.no_grad():
        difference = (policy.model(IDS).logits - small_llama()(IDS).logits).abs().max()
    assert 0 < difference < 0.3
    assert all(weight.requires_grad for weight in policy.model.parameters())


def test_a_file_is_read_once_and_again_when_its_content_or_the_cache_is_another(file, cache):
    first = located(str(file), None, print).directory()
    said = []
    assert located(str(file), None, said.append).directory() == first
    assert said == []
    (first / "model.safetensors").write_bytes(b"torn")
    assert located(str(file), None, said.append).directory() == first
    assert said == [f"reading {file} ..."]
    file.write_bytes(file.read_bytes()[:-4] + b"\x00\x00\x80?")
    assert located(str(file), None, said.append).directory() != first
    assert not list(cache.glob(".partial*"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), r"there is no file .*small\.gguf; correct model\.path"),
        (lambda path: path.write_bytes(b"not a model"), r"small\.gguf is no GGUF file; download it again"),
        (lambda path: path.write_bytes(path.read_bytes()[:-500]), "is cut off or damaged .*; download it again"),
        (lambda path: path.write_bytes(path.read_bytes()[:700]), "is cut off or damaged .*; download it again"),
        (lambda path: path.write_bytes(b"GGUF"), "is cut off or damaged .*; download it again"),
        (
            lambda path: write_gguf(path, small_llama(), "rwkv9"),
            "holds a model of architecture 'rwkv9', which transformers does not read .*give the model as a Hugging",
        ),
    ],
)
def test_files_that_cannot_be_read_get_one_sentence_and_leave_nothing(file, cache, spoil, message):
    spoil(file)
    with pytest.raises(ModelError, match=message) as caught:
        located(str(file), None, print).directory()
    assert "\n" not in str(caught.value)
    assert not list(cache.glob("*"))


def test_without_the_package_the_remedy_is_its_extra(file, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    with pytest.raises(ModelError, match=r'needs the package gguf .*pip install "rekindle\[gguf\]"'):
        located(str(file), None, print)
