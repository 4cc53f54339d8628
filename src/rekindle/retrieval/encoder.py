"""Text encoder: unit-length vectors from any model in the layout of sentence-transformers, loaded with transformers.

The model directory may have ``modules.json`` and ``1_Pooling/config.json``, which define the pooling. Without them the
mean over the tokens is used, as with E5 (arXiv 2212.03533).
"""

import hashlib
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rekindle.retrieval.analysis import MAX_QUERY_CHARACTERS
from rekindle.retrieval.corpus import join_contents
from rekindle.retrieval.retriever import RetrievalError
from rekindle.types import Document

if TYPE_CHECKING:
    import torch

__all__ = ["Encoder", "TextEncoder"]

_SAMPLED_BYTES = 1 << 20  # from each end of a weight file: enough to tell two trainings apart
_POOLINGS = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token"}
_KNOWN_MODULES = {"Transformer", "Pooling", "Normalize"}


class TextEncoder(Protocol):
    """Encoder protocol of a dense index."""

    @property
    def dimension(self) -> int:
        """D, length of a vector."""
        ...

    @property
    def fingerprint(self) -> str:
        """Identifies the encoder: encoders that give different vectors have different fingerprints."""
        ...

    def encode_queries(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """[N, D], rows of unit length."""
        ...

    def encode_passages(self, documents: Sequence[Document]) -> NDArray[np.float32]:
        """[N, D], rows of unit length."""
        ...


class Encoder:
    """A Hugging Face encoder from a local directory; nothing is downloaded. Thread-safe.

    A passage is encoded as ``"Title"``, newline, text, as in Search-R1 and FlashRAG.

    Args:
        directory: Model directory.
        query_prefix: Prefix of every query, e.g. ``"query: "`` for E5; None: the directory's prefix, if it has one.
        passage_prefix: Prefix of every passage, e.g. ``"passage: "``; None: the directory's prefix, if it has one.
        max_length: Longest text in tokens, the rest is cut; None: the directory's limit.
        batch_size: Texts per forward pass.
        device: "auto" (the GPU when there is one), "cpu", "cuda" or "cuda:N".

    Raises:
        RetrievalError: The directory cannot be used, or torch and transformers are not installed.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        query_prefix: str | None = None,
        passage_prefix: str | None = None,
        max_length: int | None = None,
        batch_size: int = 32,
        device: str = "auto",
    ) -> None:
        directory = Path(directory)
        self._pooling = _pooling(directory)
        prompts = _read_json(directory / "config_sentence_transformers.json").get("prompts") or {}
        self._query_prefix = prompts.get("query", "") if query_prefix is None else query_prefix
        told = prompts.get("passage", prompts.get("document", ""))
        self._passage_prefix = told if passage_prefix is None else passage_prefix
        self._tokenizer, self._model = _load(directory, device)
        self._max_length = max_length or _max_length(directory, self._tokenizer, self._model)
        self._batch_size = batch_size
        self._tokenizing = threading.Lock()  # a fast tokenizer is not thread-safe
        self._weights = _digest(directory)

    @property
    def dimension(self) -> int:
        """D, length of a vector."""
        return int(self._model.config.hidden_size)

    @property
    def fingerprint(self) -> str:
        """Digest of the weights and the encoding settings; independent of the path."""
        settings = (self._weights, self._pooling, self._max_length, self._query_prefix, self._passage_prefix)
        return hashlib.sha256(repr(settings).encode()).hexdigest()[:16]

    def encode_queries(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """[N, D], rows of unit length; the first 10,000 characters of a query are used."""
        return self._encode([self._query_prefix + query[:MAX_QUERY_CHARACTERS] for query in queries])

    def encode_passages(self, documents: Sequence[Document]) -> NDArray[np.float32]:
        """[N, D], rows of unit length."""
        return self._encode([self._passage_prefix + join_contents(document) for document in documents])

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts in batches of similar length, which keeps padding small."""
        vectors = np.empty((len(texts), self.dimension), np.float32)
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        for start in range(0, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            vectors[batch] = self._forward([texts[at] for at in batch])
        return vectors

    def _forward(self, texts: Sequence[str]) -> NDArray[np.float32]:
        import torch

        valid = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        with self._tokenizing:
            batch = self._tokenizer(
                valid, padding=True, truncation=True, max_length=self._max_length, return_tensors="pt"
            )
        batch = batch.to(self._model.device)
        with torch.inference_mode():
            hidden_NTD = self._model(**batch).last_hidden_state
            pooled_ND = _pool(hidden_NTD.float(), batch["attention_mask"], self._pooling)
            unit_ND: NDArray[np.float32] = torch.nn.functional.normalize(pooled_ND, dim=-1).cpu().numpy()
        return unit_ND


def _pool(hidden_NTD: "torch.Tensor", mask_NT: "torch.Tensor", pooling: str) -> "torch.Tensor":
    if pooling == "cls":
        return hidden_NTD[:, 0]
    weight_NT1 = mask_NT.unsqueeze(-1).to(hidden_NTD.dtype)
    return (hidden_NTD * weight_NT1).sum(1) / weight_NT1.sum(1).clamp(min=1e-9)


def _pooling(directory: Path) -> str:
    """Pooling of the directory: "mean" or "cls"."""
    if not (directory / "config.json").is_file():
        raise RetrievalError(
            f"there is no encoder at {directory} (no config.json); give the directory of a downloaded model "
            "(retriever.encoder)"
        )
    modules = _read_json(directory / "modules.json", default=[])
    kinds = {str(module["type"]).rsplit(".", 1)[-1]: str(module["path"]) for module in modules}
    if not _KNOWN_MODULES.issuperset(kinds):
        unknown = ", ".join(sorted(kinds.keys() - _KNOWN_MODULES))
        raise RetrievalError(f"the encoder {directory} has a module {unknown}, which is not supported; use another one")
    config = _read_json(directory / kinds["Pooling"] / "config.json") if "Pooling" in kinds else {}
    asked = [name for name, key in _POOLINGS.items() if config.get(key) or config.get("pooling_mode") == name]
    others = [key for key, value in config.items() if key.startswith("pooling_mode_") and value]
    if (config and len(asked) != 1) or len(others) > 1:
        raise RetrievalError(
            f"the encoder {directory} pools in a way that is not supported; use one that pools by mean or cls"
        )
    return asked[0] if asked else "mean"


def _read_json(path: Path, default: Any = None) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return {} if default is None else default
    except (OSError, ValueError, RecursionError) as error:
        raise RetrievalError(f"cannot read {path} ({error}); download the encoder again") from error


def _load(directory: Path, device: str) -> tuple[Any, Any]:
    try:
        from transformers import AutoModel, AutoTokenizer

        from rekindle.models.loading import resolve_device, without_progress_bars
    except ImportError as error:
        raise RetrievalError(
            f'encoding queries needs {error.name}, which is not installed; run: pip install "rekindle[train]"'
        ) from error
    try:
        with without_progress_bars():
            tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
            model = AutoModel.from_pretrained(directory, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise RetrievalError(
            f"transformers cannot load an encoder from {directory} ({reason}); download it again"
        ) from error
    return tokenizer, model.to(resolve_device(device)).eval()


def _max_length(directory: Path, tokenizer: Any, model: Any) -> int:
    told = _read_json(directory / "sentence_bert_config.json").get("max_seq_length")
    positions = getattr(model.config, "max_position_embeddings", None)
    return int(min(length for length in (told, positions, tokenizer.model_max_length) if length))


def _digest(directory: Path) -> str:
    """Digest of the files that the vectors depend on."""
    digest = hashlib.sha256()
    names = ("config.json", "tokenizer.json", "vocab.txt")
    paths = [directory / name for name in names]
    paths += sorted([*directory.glob("*.safetensors"), *directory.glob("pytorch_model*.bin")])
    for path in paths:
        if path.is_file():
            with path.open("rb") as file:
                size = path.stat().st_size
                digest.update(f"{path.name} {size} ".encode() + file.read(_SAMPLED_BYTES))
                file.seek(max(0, size - _SAMPLED_BYTES))
                digest.update(file.read())
    return digest.hexdigest()
