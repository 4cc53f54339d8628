"""Checks of a model directory without torch: its kind, its files and their length, and its number of weights."""

import json
import math
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rekindle.answers import parse_json
from rekindle.choices import few
from rekindle.hardware import has_gpu_driver
from rekindle.types import UserError

__all__ = [
    "ADAPTER_CONFIG",
    "ADAPTER_WEIGHTS",
    "ModelError",
    "adapter_settings",
    "check_adapter",
    "check_directory",
    "check_model",
    "check_tokenizer",
    "expected_device",
    "is_adapter",
    "saved_parameters",
]

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
"""Files of a LoRA adapter in PEFT's format."""
WEIGHT_FILES = ("*.safetensors", "pytorch_model*.bin")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt")
OTHER_KINDS = (
    "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice",
    "ForNextSentencePrediction",
)  # fmt: skip
"""Endings of the names of transformers' models that do not complete text."""
POINTER = b"version https://git-lfs"
ZIP = b"PK\x03\x04"
MOST_HEADER_BYTES = 100_000_000
"""Of a safetensors file, by its specification."""
MOST_HEADER_VALUES = 2_000_000
"""Of a safetensors file: some 300,000 tensors."""
LONGEST_NAME = 255
"""Bytes of a file's name."""


class ModelError(UserError):
    """A model directory cannot be used; the message says what is missing and the remedy."""


def check_directory(directory: Path) -> None:
    """Check that the files of a causal language model are there and complete.

    Raises:
        ModelError: A file is missing, cut off or damaged, or the model is of another kind.
    """
    if not directory.is_dir():
        raise ModelError(_no_directory(directory))
    if not (directory / "config.json").is_file():
        if is_adapter(directory):
            raise ModelError(
                f"{directory} is an adapter (LoRA), not a model; merge it into its model with `rekindle export "
                f"{directory} --out MODEL_DIR`, and give that directory"
            )
        raise ModelError(f"{directory} has no config.json; give a directory that save_pretrained wrote")
    _check_kind(directory)
    if not any(next(directory.glob(pattern), None) for pattern in WEIGHT_FILES):
        raise ModelError(f"{directory} has no weights ({', '.join(WEIGHT_FILES)}); download the model completely")
    for path in sorted(directory.glob("*.safetensors.index.json")) + sorted(directory.glob("*.bin.index.json")):
        _check_shards(path)
    for pattern in WEIGHT_FILES:
        for path in sorted(directory.glob(pattern)):
            _check_complete(path)


def is_adapter(directory: Path) -> bool:
    """Whether a directory has an adapter in PEFT's format, and no whole model."""
    return (directory / ADAPTER_CONFIG).is_file() and not (directory / "config.json").is_file()


def check_adapter(directory: Path) -> None:
    """Check that the files of a LoRA adapter are there and complete.

    Raises:
        ModelError: A file is missing, cut off or damaged, or the adapter is of another kind.
    """
    adapter_settings(directory)
    weights = directory / ADAPTER_WEIGHTS
    if not weights.is_file():
        raise ModelError(f"{directory} has no {ADAPTER_WEIGHTS}; copy the adapter completely")
    _check_complete(weights)


def adapter_settings(directory: Path) -> dict[str, Any]:
    """Settings of a LoRA adapter in PEFT's format.

    Raises:
        ModelError: They cannot be read, or the adapter is of another kind.
    """
    settings = _json(directory / ADAPTER_CONFIG)
    if settings.get("peft_type") != "LORA":
        raise ModelError(f"{directory} is an adapter of kind {settings.get('peft_type')}; give a LoRA adapter")
    return settings


def check_model(directory: Path) -> None:
    """Check that the files of a causal language model and of its tokenizer are there and complete.

    Raises:
        ModelError: A file is missing, cut off or damaged, or the model is of another kind.
    """
    check_directory(directory)
    check_tokenizer(directory)


def _no_directory(path: Path) -> str:
    if path.is_file():
        return f"{path} is a file; give the directory with config.json, weights and tokenizer"
    return (
        f"there is no model directory at {path}; give the path of a Hugging Face model or of a .gguf file, or a name "
        'on the hub ("owner/name")'
    )


def _check_kind(directory: Path) -> None:
    """Refuse models that cannot complete a text."""
    config = _json(directory / "config.json")
    kinds = [str(kind) for kind in config.get("architectures") or ()]
    if quantized := config.get("quantization_config"):
        kind = quantized.get("quant_method", "unknown") if isinstance(quantized, dict) else "unknown"
        raise ModelError(
            f"{directory} has quantized weights ({kind}), which cannot be trained, nor adapted by LoRA (QLoRA); give "
            "the model in bfloat16 or float32"
        )
    if config.get("is_encoder_decoder"):
        raise ModelError(f"{directory} is an encoder-decoder model; give a decoder (a causal language model)")
    if kinds and all(kind.endswith(OTHER_KINDS) for kind in kinds):
        raise ModelError(
            f"{directory} is a {few(kinds)}, which cannot complete text; give a causal language model, such as one "
            "whose config.json names a ...ForCausalLM"
        )


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read ({error}); download the model again") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} is not a JSON object; download the model again")
    return value


def _check_shards(index: Path) -> None:
    """Check that every file of an index is there."""
    files = _json(index).get("weight_map")
    names = sorted(set(map(str, files.values()))) if isinstance(files, dict) else []
    if strange := [
        name for name in names if Path(name).name != name or len(name.encode("utf-8", "replace")) > LONGEST_NAME
    ]:
        raise ModelError(f"{index} names {strange[0]!r:.80}, which is no file of a model; download the model again")
    if missing := [name for name in names if not (index.parent / name).is_file()]:
        raise ModelError(f"{index.parent} lacks {few(missing, 3)} of {index.name}; download the model completely")


def _check_complete(path: Path) -> None:
    """Check that a file of weights has its whole length."""
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(len(POINTER))
    if first == POINTER:
        raise ModelError(f"{path} is a pointer of Git LFS; fetch the file itself with `git lfs pull`")
    if path.suffix == ".bin":
        if not size or (first.startswith(ZIP) and not zipfile.is_zipfile(path)):
            raise ModelError(f"{path} is damaged or cut off ({size:,} bytes); download it again")
        return
    try:
        expected = _length(path)
    except (OSError, ValueError, struct.error, AttributeError, LookupError, TypeError, RecursionError):
        raise ModelError(f"{path} has no readable header; download it again") from None
    if size != expected:
        raise ModelError(f"{path} has {size:,} bytes, and its header says {expected:,}; download it again")


def _length(path: Path) -> int:
    """Bytes that the header of a safetensors file promises."""
    header_bytes, header = _header(path)
    ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
    return 8 + header_bytes + max(ends, default=0)


def check_tokenizer(directory: Path) -> None:
    """See whether the files of a tokenizer are there.

    Raises:
        ModelError: There are none.
    """
    if not any((directory / name).is_file() for name in TOKENIZER_FILES):
        raise ModelError(f"{directory} has no tokenizer; copy the tokenizer files of the model into it")


def saved_parameters(directory: Path) -> int | None:
    """Number of weights that the headers of the safetensors files name; None where there is no readable header."""
    try:
        shapes = {name: shape for path in directory.glob("*.safetensors") for name, shape in _shapes(path)}
    except (OSError, ValueError, struct.error, AttributeError, KeyError, TypeError, RecursionError):
        return None
    return sum(map(math.prod, shapes.values())) or None


def _shapes(path: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every tensor."""
    header = _header(path)[1]
    return ((name, tuple(entry["shape"])) for name, entry in header.items() if name != "__metadata__")


def _header(path: Path) -> tuple[int, dict[str, Any]]:
    """Length and content of the JSON header; eight bytes before it have its length."""
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        if size > MOST_HEADER_BYTES:
            raise ValueError(f"{path} has a header of {size} bytes")
        header: dict[str, Any] = parse_json(file.read(size), MOST_HEADER_VALUES)
    return size, header


def expected_device(name: str) -> str:
    """The device that ``model.device`` will most likely be, as torch is not asked: "auto" where there may be a GPU."""
    if name != "auto" or has_gpu_driver():
        return name
    return "cpu"
