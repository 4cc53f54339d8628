"""The training forward pass of Llama-like decoders on packed tokens.

It gives the results of transformers with less work: no padding in the linear layers; the prompt of a group once; the
last feed-forward part, the final norm and the head only where a token is predicted; the first layer's queries, keys and
values once per distinct token; few passes over memory. It reads the model's own parameters, which receive the
gradients.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rekindle.models.architecture import DecoderWeights, LayerWeights, find_decoder
from rekindle.models.attention import Projection, attend, attention_inputs, attention_outputs
from rekindle.models.float32_head import wide_head
from rekindle.models.fused import gated_mlp, linear_residual, rms_norm, select
from rekindle.models.kernels import Kernels
from rekindle.models.layout import Gather, Heads, Layout, pack
from rekindle.models.logprobs import selected_logprobs
from rekindle.models.lora import nonzero_adapter
from rekindle.models.recomputation import checkpointed
from rekindle.models.samples import SampleRow, TokenLogprobs, targets_of

__all__ = ["PackedForward", "agrees_with_transformers"]


class PackedForward:
    """Runs rows through a Llama-like model.

    Args:
        model: A transformers model that `find_decoder` supports.
        kernels: Matrix multiplication.
        float32_head: Compute logits in float32.
        recompute: Keep only the inputs of each block for the backward pass, and compute the rest again (gradient
            checkpointing).
    """

    def __init__(self, model: Any, kernels: Kernels, *, float32_head: bool = False, recompute: bool = False) -> None:
        self._model, self._float32_head, self._recompute = model, float32_head, recompute
        self.kernels = kernels

    def __call__(self, rows: Sequence[SampleRow]) -> TokenLogprobs:
        """Return log-probabilities and entropies of the rows' targets, in row order; at least one row."""
        decoder, layout, hidden = self._run(rows)
        targets, temperatures = targets_of(rows, hidden.device)
        hidden, head = wide_head(hidden, decoder.head, float32=self._float32_head)
        logprobs, entropies = selected_logprobs(hidden, head, targets, temperatures, kernels=self.kernels)
        return TokenLogprobs(logprobs, entropies, layout.positions.numel(), 0)

    def hidden(self, rows: Sequence[SampleRow]) -> Tensor:
        """Return the final hidden states [n_targets, d] that predict the rows' targets."""
        return self._run(rows)[2]

    def _run(self, rows: Sequence[SampleRow]) -> tuple[DecoderWeights, Layout, Tensor]:
        decoder = find_decoder(self._model)
        assert decoder is not None
        heads = Heads(decoder.heads, decoder.kv_heads)
        layout = pack(rows, heads, decoder.embedding.device)
        rotation = _rotation(decoder, layout)
        projection = Projection(heads, decoder.head_dim, decoder.norm_eps, rotation, layout.inputs, self.kernels)
        distinct = F.embedding(layout.token_ids, decoder.embedding, decoder.padding_idx)
        x = select(distinct, layout.tokens)

        def block(index: int, x: Tensor) -> Tensor:
            layer = decoder.layers[index]
            inputs, repeats = (x, None) if index else (distinct, layout.tokens)
            mixed = _mix(inputs, layer, projection, layout, repeats)
            x = linear_residual(x, mixed, layer.o, layer.o_bias, self.kernels)
            x = select(x, layout.predictors) if index == len(decoder.layers) - 1 else x
            return gated_mlp(x, layer.post_norm, layer.gate, layer.up, layer.down, decoder.norm_eps, self.kernels)

        for index in range(len(decoder.layers)):
            x = checkpointed(block, index, x) if self._recompute and torch.is_grad_enabled() else block(index, x)
        return decoder, layout, rms_norm(x, decoder.final_norm, decoder.norm_eps)


def _rotation(decoder: DecoderWeights, layout: Layout) -> Tensor:
    """Return the rotary factor [N, 1, D/2] of each packed token: complex numbers of modulus ``rope_scale``."""
    places = torch.arange(layout.longest, device=decoder.inv_freq.device, dtype=torch.float32)
    angles = torch.outer(places, decoder.inv_freq)
    wide = torch.complex128 if decoder.embedding.dtype == torch.float64 else torch.complex64
    table = torch.polar(torch.full_like(angles, decoder.rope_scale), angles).to(wide)
    return table[layout.positions][:, None]


def _mix(x: Tensor, layer: LayerWeights, projection: Projection, layout: Layout, repeats: Gather | None) -> Tensor:
    """Return the heads' outputs [N, H * D] for x [N, d], or for distinct rows x that ``repeats`` expands to N."""
    slots = attention_inputs(x, layer, projection, repeats)
    slots = attend(slots, layout.blocks, projection.heads)
    return attention_outputs(slots, layout.outputs, projection.heads)


@torch.no_grad()
def agrees_with_transformers(model: Any, packed: PackedForward) -> bool:
    """Whether both give the same final hidden states for two short rows that share a prompt.

    After the final norm, hidden states have entries around one for any weights. A relative difference therefore tells a
    wrong architecture from rounding, even in a freshly initialised model.
    """
    vocabulary = model.get_input_embeddings().weight.shape[0]
    tokens = np.arange(12, dtype=np.int64).reshape(2, 6) * 7919 % vocabulary
    tokens[:, :2] = tokens[0, :2]
    everywhere = np.arange(1, 6)
    rows = [SampleRow(row, everywhere, row[everywhere - 1], 2, 0, 1.0) for row in tokens]
    batch = torch.from_numpy(tokens).to(model.device)
    with nonzero_adapter(model):
        ours = packed.hidden(rows).float()
        theirs = model.base_model(input_ids=batch, use_cache=False)[0][:, everywhere].flatten(0, 1).float()
    tolerance = 1e-4 if model.dtype == torch.float32 else 0.1
    return bool((ours - theirs).norm() <= tolerance * theirs.norm())
