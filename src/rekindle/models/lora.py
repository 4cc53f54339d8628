"""LoRA adapters: low-rank updates of frozen weights, made, read and written by PEFT (arXiv 2106.09685).

A linear layer with weight W computes with W + (alpha / rank) B A, of which only A [rank, in] and B [out, rank] are
trained. B begins at zero, so a new adapter changes nothing. Our own forward passes (training and decoding) compute with
that sum, the *effective weight*, so engine and trainer see the same numbers; its gradient reaches A and B. Other
architectures go through PEFT's own layers.

The model without its adapter is the policy that the run began with: the reference policy of a KL term needs no copy.
"""

import hashlib
import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from rekindle.choices import few, one_line
from rekindle.models.directory import ADAPTER_WEIGHTS, ModelError, adapter_settings

__all__ = [
    "Adapter",
    "NewAdapter",
    "SavedAdapter",
    "WithoutAdapter",
    "effective_weight",
    "nonzero_adapter",
    "save_adapter",
]

ALL_LINEAR = "all-linear"
BASE = "rekindle_base.json"
"""Digest of the weights that an adapter was trained on."""
SAMPLED = 64
"""Weights of each tensor that the digest of a base model reads."""


class Adapter(Protocol):
    """An adapter that can be attached to a model."""

    def attach(self, model: Any) -> Any:
        """Put the adapter into a transformers model, whose weights are frozen; return PEFT's wrapper of it."""
        ...


@dataclass(frozen=True, slots=True)
class NewAdapter:
    """An adapter that begins as no change.

    Attributes:
        rank: Rank of the updates.
        alpha: Numerator of their factor alpha / rank.
        targets: Names of linear layers (the ends of their paths), or "all-linear".
        seed: Seed of A.
        base: Name of the model for PEFT's file; empty: the directory that it was loaded from.
        revision: Its commit on the hub.
    """

    rank: int
    alpha: float
    targets: tuple[str, ...]
    seed: int
    base: str = ""
    revision: str | None = None

    def attach(self, model: Any) -> Any:
        """See `Adapter.attach`.

        Raises:
            ModelError: PEFT is missing, a target is no linear layer of the model, or the weights are quantized.
        """
        peft = _peft()
        targets = _linear_layers(model, self.targets)
        settings = peft.LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=0.0,
            target_modules=targets,
            fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
            bias="none",
            task_type="CAUSAL_LM",
            revision=self.revision,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            wrapped = _wrapped(model, settings)
        if self.base:
            settings.base_model_name_or_path = self.base
        return wrapped


@dataclass(frozen=True, slots=True)
class SavedAdapter:
    """An adapter in a directory in PEFT's format, to be trained further."""

    directory: Path

    def attach(self, model: Any) -> Any:
        """See `Adapter.attach`.

        Raises:
            ModelError: PEFT is missing, the files cannot be read, or they belong to another model.
        """
        peft = _peft()
        settings = adapter_settings(self.directory)
        _refuse_other_base(self.directory, model)
        try:
            # Made and filled here: PEFT's own reader leaves weights that do not fit at their first values.
            known = {key: value for key, value in settings.items() if key in peft.LoraConfig.__dataclass_fields__}
            wrapped = _wrapped(model, peft.LoraConfig(**{**known, "inference_mode": False}))
            saved = load_file(self.directory / ADAPTER_WEIGHTS)
            result = peft.set_peft_model_state_dict(wrapped, saved)
        except (OSError, SafetensorError, ValueError, TypeError, KeyError, RuntimeError) as error:
            raise ModelError(_not_its_adapter(self.directory, model, one_line(error, 200))) from error
        lost = sorted(name for name in result.missing_keys if "lora_" in name)
        if lost or result.unexpected_keys:
            why = f"it lacks {few(lost, 2)}" if lost else f"it has {few(sorted(result.unexpected_keys), 2)}"
            raise ModelError(_not_its_adapter(self.directory, model, why))
        return wrapped


def save_adapter(wrapped: Any, directory: Path) -> None:
    """Write the adapter in PEFT's format, with a digest of the weights that it belongs to."""
    wrapped.save_pretrained(directory)
    (directory / "README.md").unlink(missing_ok=True)  # PEFT's form of a model card, with nothing filled in
    (directory / BASE).write_text(json.dumps({"digest": _digest(wrapped.base_model.model)}), encoding="utf-8")


# -- effective weights ------------------------------------------------------------------------------------------------


def effective_weight(linear: Any, *, adapted: bool = True) -> Tensor:
    """Weight [out, in] that a linear layer computes with: its own, or W + s B A with an adapter.

    Args:
        linear: A linear layer, or PEFT's LoRA layer around one.
        adapted: Add the adapter's update.
    """
    weight: Tensor = linear.weight
    factors = getattr(linear, "lora_A", None)
    if factors is None or not adapted:
        return weight
    for name in linear.active_adapters:
        update = linear.lora_B[name].weight @ factors[name].weight
        weight = torch.add(weight, update.to(weight.dtype), alpha=linear.scaling[name])
    return weight


@contextmanager
def nonzero_adapter(model: Any) -> Iterator[None]:
    """Give the adapters of a model a visible update, for a comparison of forward passes; restored afterwards."""
    layers = [module for module in model.modules() if hasattr(module, "lora_B")]
    factors = [factor.weight for layer in layers for factor in layer.lora_B.values()]
    saved = [factor.detach().clone() for factor in factors]
    with torch.no_grad():
        for factor in factors:
            rows = torch.arange(len(factor), device=factor.device, dtype=factor.dtype)
            factor.add_(0.05 * torch.cos(rows)[:, None])
    try:
        yield
    finally:
        with torch.no_grad():
            for factor, values in zip(factors, saved, strict=True):
                factor.copy_(values)


class WithoutAdapter:
    """A model that computes without its adapter; it shares all weights.

    Args:
        model: The transformers model, or a part of it.
        wrapped: PEFT's wrapper of the whole model.
    """

    def __init__(self, model: Any, wrapped: Any) -> None:
        self._model, self._wrapped = model, wrapped

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Output of the model."""
        with self._wrapped.disable_adapter():
            return self._model(*args, **kwargs)

    @property
    def base_model(self) -> "WithoutAdapter":
        """The model without its head."""
        return WithoutAdapter(self._model.base_model, self._wrapped)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


# -- checks -----------------------------------------------------------------------------------------------------------


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise ModelError(
            f'LoRA needs the package peft ({error}); install it with pip install "rekindle[lora]"'
        ) from error
    return peft


def _wrapped(model: Any, settings: Any) -> Any:
    """PEFT's wrapper of a model, without its use of names that transformers calls deprecated being shown to users."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return _peft().get_peft_model(model, settings)


def _linear_layers(model: Any, targets: Sequence[str]) -> list[str]:
    """The ends of the paths of the chosen linear layers, the head excluded."""
    head = model.get_output_embeddings()
    linear = {
        name for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D) and module is not head
    }
    ends = {name.rsplit(".", 1)[-1] for name in linear}
    if not ends:
        raise ModelError(f"{type(model).__name__} has no linear layers, so LoRA has nothing to adapt")
    if tuple(targets) == (ALL_LINEAR,):
        return sorted(ends)
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name in linear):
            raise ModelError(
                f'model.lora.targets names "{target}", which is no linear layer of {type(model).__name__} (the output '
                f'layer is not adapted); choose among {few(sorted(ends), 12)}, or "{ALL_LINEAR}"'
            )
    return list(targets)


def _not_its_adapter(directory: Path, model: Any, why: str) -> str:
    return (
        f"the adapter in {directory} does not fit the model {getattr(model, 'name_or_path', '')} ({why}); give the "
        "model that it was trained on (model.path)"
    )


def _refuse_other_base(directory: Path, model: Any) -> None:
    """Refuse an adapter that was trained on other weights; one that does not say which is taken at its word."""
    try:
        expected = json.loads((directory / BASE).read_text(encoding="utf-8"))["digest"]
    except FileNotFoundError:
        return
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ModelError(f"{directory / BASE} cannot be read ({error}); restore it, or delete it") from error
    if expected != _digest(model):
        raise ModelError(_not_its_adapter(directory, model, "it was trained on other weights"))


def _digest(model: Any) -> str:
    """Digest of names, shapes and a few values of the frozen weights, independent of their type and device."""
    digest = hashlib.blake2b(digest_size=16)
    for name, weight in sorted(_own_weights(model)):
        flat = weight.detach().flatten()
        few_values = flat[:: max(1, flat.numel() // SAMPLED)].to(torch.bfloat16).float().cpu()
        digest.update(f"{name} {tuple(weight.shape)}".encode())
        digest.update(few_values.numpy().tobytes())
    return digest.hexdigest()


def _own_weights(model: Any) -> Iterator[tuple[str, Tensor]]:
    """Names, as without an adapter, and values of a model's own weights."""
    for name, weight in model.named_parameters():
        if "lora_" not in name:
            yield name.replace(".base_layer", ""), weight
