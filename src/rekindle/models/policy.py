"""The policy: a causal language model and its tokenizer, shared by engine and trainer."""

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch

from rekindle.allocator import keep_freed_memory
from rekindle.models.architecture import DecoderWeights, find_decoder
from rekindle.models.chat import Chat, end_ids
from rekindle.models.float32_head import compute_head_in_float32
from rekindle.models.generic import GenericForward
from rekindle.models.kernels import Kernels, measure_kernels
from rekindle.models.loading import (
    DTYPES,
    ModelError,
    resolve_device,
    resolve_dtype,
    without_progress_bars,
)
from rekindle.models.lora import Adapter, WithoutAdapter, save_adapter
from rekindle.models.packed import PackedForward, agrees_with_transformers
from rekindle.models.reading import ReadModel, read_model
from rekindle.models.samples import SampleRow, TokenLogprobs, rows_of
from rekindle.notices import warn
from rekindle.types import TrainingSample

__all__ = ["ModelError", "Policy", "TokenLogprobs"]

Forward = Callable[[Sequence[SampleRow]], TokenLogprobs]


class Policy:
    """A causal language model with its tokenizer.

    Dropout is always off: the model stays in evaluation mode during training, so that the trainer computes the same
    probabilities as the engine.

    Attributes:
        model: The transformers model; the optimizer updates its parameters in place.
        tokenizer: The transformers tokenizer.
        device: Device of the weights.
        dtype: Floating type of the weights.
        eos_ids: Tokens that end a completion: the tokenizer's and the generation configuration's.
        max_length: Most tokens, prompt and completion together.
        parameter_count: Number of weights; tied ones count once.
        trained_count: Number of weights that are trained.
        vocabulary: Number of tokens that the model has an embedding for.
        chat: Tokenizer and chat template, without the weights.
        float32_head: Whether logits are computed in float32.
        adapter: PEFT's wrapper of the model; None where all weights are trained.

    Args:
        model: The transformers model.
        tokenizer: The transformers tokenizer.
        float32_head: Compute logits in float32, whatever the type of the weights.
        adapter: PEFT's wrapper of the model.
        recompute: Compute the inner values of blocks again in the backward pass (gradient checkpointing).
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        float32_head: bool = False,
        adapter: Any = None,
        recompute: bool = False,
    ) -> None:
        model.eval()
        self.model, self.adapter = model, adapter
        self.float32_head = float32_head
        if float32_head:
            compute_head_in_float32(model)
        self.tokenizer = tokenizer
        self.eos_ids = end_ids(tokenizer, getattr(model, "generation_config", None))
        self.max_length = _max_length(model, tokenizer)
        self.parameter_count = sum(parameter.numel() for parameter in model.parameters())
        self.trained_count = sum(one.numel() for one in model.parameters() if one.requires_grad)
        self.vocabulary = len(model.get_input_embeddings().weight)
        self.chat = Chat(tokenizer, eos_ids=self.eos_ids, max_length=self.max_length, vocabulary=self.vocabulary)
        if self.device.type == "cpu":
            keep_freed_memory()
        self._forward: Forward = _best_forward(model, float32_head=float32_head, recompute=recompute)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        device: str = "auto",
        dtype: str = "float32",
        trust_remote_code: bool = False,
        float32_head: bool = False,
        adapter: Adapter | None = None,
        recompute: bool = False,
        read: ReadModel = read_model,
    ) -> Self:
        """Load a local Hugging Face directory; nothing is downloaded.

        Args:
            path: Directory with config.json, weights and tokenizer.
            device: "auto" (the GPU when there is one), "cpu", "cuda" or "cuda:N".
            dtype: "float32" or "bfloat16".
            trust_remote_code: Run Python code from the directory.
            float32_head: Compute logits in float32.
            adapter: Adapter that is trained instead of the weights.
            recompute: Compute the inner values of blocks again in the backward pass.
            read: Reads model and tokenizer.

        Raises:
            ModelError: The directory, the device, the type or the adapter cannot be used.
        """
        where = resolve_device(device)
        model, tokenizer = read(Path(path), where, resolve_dtype(dtype, where), trust_remote_code=trust_remote_code)
        wrapped = None if adapter is None else adapter.attach(model)
        return cls(model, tokenizer, float32_head=float32_head, adapter=wrapped, recompute=recompute)

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return torch.device(self.model.device)

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the weights."""
        dtype: torch.dtype = self.model.dtype
        return dtype

    @property
    def kernels(self) -> Kernels:
        """Libraries for matrix products. They are part of a run's state, because libraries round differently."""
        return self._forward.kernels if isinstance(self._forward, PackedForward) else Kernels()

    def use_kernels(self, kernels: Kernels) -> None:
        """Use the kernels of the resumed run from now on. Has an effect on our own forward pass only."""
        if isinstance(self._forward, PackedForward):
            self._forward.kernels = kernels

    def use_template(self, template: str | None, variables: Mapping[str, Any]) -> None:
        """Use another chat template, or variables for it (see ``Chat.use_template``); `save` keeps the template."""
        self.chat.use_template(template, variables)

    def render(self, messages: Sequence[Mapping[str, str]], tools: Sequence[Mapping[str, object]] | None = None) -> str:
        """See ``Chat.render``."""
        return self.chat.render(messages, tools)

    def encode_prompt(
        self,
        prompt: str | Sequence[Mapping[str, str]],
        *,
        chat_template: bool = True,
        system_prompt: str | None = None,
    ) -> list[int]:
        """See ``Chat.encode_prompt``."""
        return self.chat.encode_prompt(prompt, chat_template=chat_template, system_prompt=system_prompt)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids, without special tokens."""
        return self.chat.decode(ids)

    def save(self, directory: str | Path) -> None:
        """Write a Hugging Face directory (safetensors), readable by `load` and transformers; or the adapter alone."""
        if self.adapter is not None:
            save_adapter(self.adapter, Path(directory))
            return
        self.save_merged(directory)

    def save_merged(self, directory: str | Path, dtype: str | None = None) -> None:
        """Write a plain Hugging Face directory; an adapter becomes part of the weights, also of this policy's.

        Args:
            directory: Directory to write.
            dtype: Type that the weights are converted to; None: they keep theirs.
        """
        model = self.model if self.adapter is None else self.adapter.merge_and_unload()
        model = model if dtype is None else model.to(DTYPES[dtype])
        with without_progress_bars():
            model.save_pretrained(directory)
        self.tokenizer.save_pretrained(directory)

    def fingerprint(self) -> str:
        """Digest of all weights, names and shapes, 32 hexadecimal digits; independent of the device."""
        digest = hashlib.blake2b(digest_size=16)
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def clone_frozen(self) -> "Policy":
        """Return a frozen copy: the reference policy."""
        return self._with_model(copy.deepcopy(self.model).requires_grad_(False))

    def without_adapter(self) -> "Policy":
        """Return the policy without its adapter; it shares all weights, and is not trained."""
        return self._with_model(WithoutAdapter(self.model, self.adapter))

    def _with_model(self, model: Any) -> "Policy":
        clone = Policy(model, self.tokenizer, float32_head=self.float32_head)
        clone.use_kernels(self.kernels)
        clone.chat = self.chat
        return clone

    def token_logprobs(self, samples: Sequence[TrainingSample]) -> TokenLogprobs:
        """Return the log-probabilities of the samples' trainable tokens, in one forward pass.

        Logits are divided by each sample's temperature; the softmax is float32 whatever the weights are. With grad
        mode on, the result carries the gradient. Without a trainable token the result is empty.

        Args:
            samples: One micro-batch.

        Raises:
            ValueError: A sample does not fit the model (see `rekindle.models.samples.rows_of`).
        """
        rows = [row for row in rows_of(samples, self.max_length) if row.targets.size]
        if not rows:
            nothing = torch.zeros(0, device=self.device)
            return TokenLogprobs(nothing, nothing, 0, 0)
        return self._forward(rows)


def _max_length(model: Any, tokenizer: Any) -> int:
    """Return the model's number of positions; the tokenizer's limit where positions are unlimited."""
    return int(getattr(model.config, "max_position_embeddings", None) or tokenizer.model_max_length)


def _best_forward(model: Any, *, float32_head: bool, recompute: bool) -> Forward:
    """Return our own forward pass where it agrees with transformers, else transformers' forward pass."""
    decoder = find_decoder(model)
    if decoder is None:
        return GenericForward(model, float32_head=float32_head, recompute=recompute)
    packed = PackedForward(model, _kernels(decoder), float32_head=float32_head, recompute=recompute)
    if agrees_with_transformers(model, packed):
        return packed
    warn(
        f"our forward pass of this {model.config.model_type} model disagrees with transformers; using transformers, "
        "which is slower"
    )
    return GenericForward(model, float32_head=float32_head, recompute=recompute)


def _kernels(decoder: DecoderWeights) -> Kernels:
    if decoder.embedding.device.type != "cpu" or decoder.embedding.dtype != torch.float32:
        return Kernels()
    layer, layers = decoder.layers[0], len(decoder.layers)
    stored = (layer.q.shape[0] + layer.k.shape[0] + layer.v.shape[0], layer.q.shape[1])
    o, gate, down = ((rows, width) for rows, width in (layer.o.shape, layer.gate.shape, layer.down.shape))
    head = (decoder.head.shape[0], decoder.head.shape[1])
    decoded = {stored: layers, o: layers, (2 * gate[0], gate[1]): layers, down: layers, head: 1}
    return measure_kernels([stored, o, gate, down], decoded)
