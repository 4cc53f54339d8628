"""Models in GGUF files: their checks, which need no torch, and their conversion to a model directory.

Quantized weights are expanded to float32 by transformers, so that they can be trained. The directory is kept in the
cache, by the content of the file.
"""

import contextlib
import hashlib
import io
import json
from pathlib import Path
from typing import Any

from rekindle.caching import cache_directory, kept
from rekindle.choices import one_line
from rekindle.models.directory import ModelError
from rekindle.notices import Say

__all__ = ["check_gguf", "converted"]

MAGIC = b"GGUF"
SAMPLE = 1 << 20
"""Bytes at the beginning and the end of a file, and at places between, that its cache key reads."""
PLACES = 16


def check_gguf(path: Path) -> int:
    """Check a GGUF file, and return its number of weights.

    Raises:
        ModelError: There is none, it is cut off or damaged, the package ``gguf`` is missing, or its architecture is
            not read.
    """
    if not path.is_file():
        raise ModelError(f"there is no file {path}; correct model.path")
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ModelError(f"{path} is no GGUF file; download it again, or give a Hugging Face directory")
    reader = _reader(path)
    architecture = _text(reader, "general.architecture")
    known = _architectures()
    if known and architecture not in known:
        raise ModelError(
            f"{path} holds a model of architecture {architecture!r}, which transformers does not read from GGUF files "
            f"(it reads {', '.join(sorted(known))}); give the model as a Hugging Face directory"
        )
    return sum(int(tensor.n_elements) for tensor in reader.tensors)


def _reader(path: Path) -> Any:
    try:
        import gguf
    except ImportError as error:
        raise ModelError(
            f"{path} is a GGUF file, and reading it needs the package gguf ({error}); install it with "
            'pip install "rekindle[gguf]", or give a Hugging Face directory'
        ) from error
    try:
        return gguf.GGUFReader(path)
    except Exception as error:  # the reader takes sizes from the file and fails in many ways where they are wrong
        raise ModelError(f"{path} is cut off or damaged ({one_line(error, 100)}); download it again") from error


def _text(reader: Any, key: str) -> str:
    field = reader.get_field(key)
    return "" if field is None else bytes(field.parts[field.data[0]]).decode(errors="replace")


def _architectures() -> frozenset[str]:
    """Architectures that the installed transformers reads; empty where it does not say."""
    try:
        from transformers.integrations.ggml import GGUF_CONFIG_MAPPING
    except ImportError:
        return frozenset()
    return frozenset(GGUF_CONFIG_MAPPING) - {"general", "tokenizer"}


def converted(path: Path, say: Say) -> Path:
    """Directory of the model in a checked GGUF file; it is made and kept if it is not in the cache.

    Raises:
        ModelError: transformers cannot read it.
        CacheError: The cache cannot be written.
    """
    import transformers

    text = json.dumps({"file": _content(path), "transformers": transformers.__version__}, sort_keys=True)
    directory = cache_directory("gguf") / hashlib.blake2b(text.encode(), digest_size=12).hexdigest()

    def make(out: Path) -> None:
        say(f"reading {path} ...")
        _convert(path, out)

    return kept(directory, "the model of a GGUF file", make, read=lambda complete: complete)


def _content(path: Path) -> str:
    """Digest of a file's size and of parts of it."""
    size = path.stat().st_size
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    with path.open("rb") as file:
        for place in range(PLACES + 1):
            file.seek(max(0, size - SAMPLE) * place // PLACES)
            digest.update(file.read(SAMPLE))
    return digest.hexdigest()


def _convert(path: Path, out: Path) -> None:
    """Write the model as a plain directory, its weights in float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from rekindle.models.loading import without_progress_bars

    try:
        # The reader shows a progress bar of its own, which nothing switches off, on the standard error stream.
        with without_progress_bars(), contextlib.redirect_stderr(io.StringIO()):
            tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
            read = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
            plain = _unquantized(read)
    except Exception as error:  # the boundary to readers of other people's files
        raise ModelError(f"transformers cannot read a causal language model from {path}: {one_line(error)}") from error
    if tokenizer.eos_token_id is not None:
        plain.generation_config.eos_token_id = tokenizer.eos_token_id
    with without_progress_bars():
        plain.save_pretrained(out)
    tokenizer.save_pretrained(out)


def _unquantized(read: Any) -> Any:
    """The same model as one that was never quantized: transformers saves no model that was."""
    config = type(read.config).from_dict(
        {key: value for key, value in read.config.to_dict().items() if key != "quantization_config"}
    )
    plain = type(read)(config)
    plain.load_state_dict(read.state_dict())
    plain.tie_weights()
    return plain
