"""Checks of a model directory without torch, on files made by hand."""

import json

import pytest

from rekindle.models.directory import ModelError, check_directory, check_tokenizer, saved_parameters

CONFIG = {"architectures": ["LlamaForCausalLM"]}
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"


def safetensors(cut=0, header=None):
    """A file with one weight of two rows; ``cut`` bytes are missing at its end."""
    header = header or {"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "__metadata__": {"a": "b"}}
    text = json.dumps(header).encode()
    whole = len(text).to_bytes(8, "little") + text + bytes(24)
    return whole[: len(whole) - cut]


def model(directory, **files):
    directory.mkdir(exist_ok=True)
    named = {"config.json": json.dumps(CONFIG), "model.safetensors": safetensors()}
    for name, content in (named | files).items():
        if content is not None:
            (directory / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return directory


def test_a_complete_model_passes(tmp_path):
    check_directory(model(tmp_path / "whole"))
    index = json.dumps({"weight_map": {"w": "a.safetensors", "v": "b.safetensors"}})
    shards = {"a.safetensors": safetensors(), "b.safetensors": safetensors(), "model.safetensors.index.json": index}
    check_directory(model(tmp_path / "sharded", **{"model.safetensors": None}, **shards))
    check_directory(model(tmp_path / "with_a_mark", **{"config.json": "\ufeff" + json.dumps(CONFIG)}))
    assert saved_parameters(tmp_path / "whole") == 6


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"model.safetensors": safetensors(cut=1)}, "model.safetensors has .* bytes, and its header says .*; download"),
        ({"model.safetensors": safetensors() + b"x"}, "bytes, and its header says"),
        ({"model.safetensors": safetensors()[:20]}, "model.safetensors has no readable header; download it again"),
        ({"model.safetensors": b""}, "model.safetensors has no readable header"),
        ({"model.safetensors": b"\xff" * 40}, "model.safetensors has no readable header"),
        ({"model.safetensors": safetensors(header={"w": 3})}, "model.safetensors has no readable header"),
        ({"model.safetensors": POINTER}, "model.safetensors is a pointer of Git LFS; fetch the file itself"),
        ({"model.safetensors": None}, "has no weights"),
        ({"model.safetensors": None, "pytorch_model.bin": b""}, r"pytorch_model.bin is damaged or cut off \(0 bytes\)"),
        ({"model.safetensors": None, "pytorch_model.bin": b"PK\x03\x04cut"}, "is damaged or cut off"),
        ({"model.safetensors": None, "pytorch_model.bin": POINTER}, "is a pointer of Git LFS"),
        (
            {"model.safetensors.index.json": json.dumps({"weight_map": {"w": "model-1.safetensors"}})},
            "lacks model-1.safetensors of model.safetensors.index.json; download the model completely",
        ),
        ({"pytorch_model.bin.index.json": json.dumps({"weight_map": {"w": "p.bin"}})}, "lacks p.bin of"),
        ({"model.safetensors.index.json": "{"}, "model.safetensors.index.json cannot be read"),
        ({"config.json": "{"}, "config.json cannot be read .*; download the model again"),
        ({"config.json": "[1]"}, "config.json is not a JSON object"),
        ({"config.json": "[" * 100_000}, "config.json cannot be read"),
        ({"config.json": '{"vocab_size": 1' + "0" * 5000 + "}"}, "config.json cannot be read"),
        ({"config.json": None}, "has no config.json; give a directory"),
        (
            {"config.json": None, "adapter_config.json": "{}"},
            r"is an adapter \(LoRA\), not a model; merge it into its model with `rekindle",
        ),
        ({"config.json": json.dumps({"architectures": ["BertForMaskedLM"]})}, "is a BertForMaskedLM, which cannot"),
        ({"config.json": json.dumps({"architectures": ["RobertaForSequenceClassification"]})}, "cannot complete text"),
        ({"config.json": json.dumps({"architectures": ["LlamaForTokenClassification"]})}, "cannot complete text"),
        (
            {"config.json": json.dumps({"quantization_config": {"quant_method": "bitsandbytes"}})},
            r"quantized weights \(bitsandbytes\), which cannot be trained, nor adapted by LoRA \(QLoRA\)",
        ),
        ({"config.json": json.dumps({"is_encoder_decoder": True})}, "is an encoder-decoder model; give a decoder"),
    ],
)
def test_what_is_missing_damaged_or_of_another_kind_is_named(tmp_path, files, message):
    with pytest.raises(ModelError, match=message):
        check_directory(model(tmp_path / "model", **files))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nowhere",
            "there is no model directory at nowhere; give the path of .* or of a .gguf file, or a name on the hub",
        ),
        ("model.safetensors", "model.safetensors is a file; give the directory with config.json"),
    ],
)
def test_what_is_no_directory_is_named(tmp_path, monkeypatch, name, message):
    from pathlib import Path

    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=message):
        check_directory(Path(name))


def test_a_tokenizer_is_missing(tmp_path):
    with pytest.raises(ModelError, match="has no tokenizer"):
        check_tokenizer(tmp_path)
