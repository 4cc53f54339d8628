"""Sampling of the next token, with its random numbers: pure functions of tensors, the same on every device.

A token is chosen by inverting the cumulative distribution at a uniform number, a hash of (seed of the request, index of
the completion, index of the token). There is no generator state, so the samples of a row do not depend on other rows,
slots or order. The global random state of torch is neither read nor changed.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["SamplingSettings", "row_keys", "sample", "uniforms"]

# SplitMix64 (Steele, Lea and Flood 2014): increment and multipliers, written as signed 64-bit numbers because torch has
# no unsigned arithmetic; products wrap around in the same way.
_INCREMENT = 0x9E3779B97F4A7C15 - 2**64
_MULTIPLIER_1 = 0xBF58476D1CE4E5B9 - 2**64
_MULTIPLIER_2 = 0x94D049BB133111EB - 2**64

_LARGE, _BLOCK = 4096, 256
"""Vocabulary from which a draw goes by blocks, and tokens of a block."""


def row_keys(seeds: Tensor, indexes: Tensor) -> Tensor:
    """Return one key per row [B] int64 from the requests' seeds [B] and the completions' indexes [B]."""
    return _mix(_mix(seeds) + (indexes + 1) * _INCREMENT)


def uniforms(keys: Tensor, positions: Tensor) -> Tensor:
    """Return numbers in [0, 1), [B] float64 with 53 random bits, from keys [B] and token indexes [B]."""
    return _shifted(_mix(keys + (positions + 1) * _INCREMENT), 11).to(torch.float64) * 2.0**-53


def _mix(state: Tensor) -> Tensor:
    state = (state ^ _shifted(state, 30)) * _MULTIPLIER_1
    state = (state ^ _shifted(state, 27)) * _MULTIPLIER_2
    return state ^ _shifted(state, 31)


def _shifted(state: Tensor, bits: int) -> Tensor:
    """Return a logical shift to the right; torch's own shift keeps the sign."""
    return (state >> bits) & ((1 << (64 - bits)) - 1)


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """Sampling settings of B rows. None means that no row uses the feature; it then costs nothing.

    Attributes:
        keys: [B] int64 from `row_keys`.
        temperatures: [B] float32, positive; 1 for greedy rows.
        greedy: [B] bool, rows that take the most probable token.
        top_k: [B] int64; 0 keeps all.
        top_p: [B] float32.
        min_p: [B] float32.
        min_new_tokens: [B] int64, completion lengths before which end tokens are forbidden.
    """

    keys: Tensor
    temperatures: Tensor
    greedy: Tensor | None = None
    top_k: Tensor | None = None
    top_p: Tensor | None = None
    min_p: Tensor | None = None
    min_new_tokens: Tensor | None = None

    @property
    def cuts(self) -> bool:
        """Whether some row is not a plain draw from the whole distribution."""
        parts = (self.greedy, self.top_k, self.top_p, self.min_p, self.min_new_tokens)
        return any(part is not None for part in parts)

    def select(self, rows: Tensor) -> "SamplingSettings":
        """Return the settings of some rows, in the order of their indexes [R]."""

        def chosen(column: Tensor | None) -> Tensor | None:
            return None if column is None else column[rows]

        return SamplingSettings(
            keys=self.keys[rows],
            temperatures=self.temperatures[rows],
            greedy=chosen(self.greedy),
            top_k=chosen(self.top_k),
            top_p=chosen(self.top_p),
            min_p=chosen(self.min_p),
            min_new_tokens=chosen(self.min_new_tokens),
        )

    def joined(self, more: "SamplingSettings") -> "SamplingSettings":
        """Return the settings of these rows and of ``more``, which uses no feature that is None here."""

        def both(column: Tensor | None, other: Tensor | None, unused: float) -> Tensor | None:
            if column is None:
                return None
            return torch.cat(
                [column, torch.full_like(more.keys, unused, dtype=column.dtype) if other is None else other]
            )

        return SamplingSettings(
            keys=torch.cat([self.keys, more.keys]),
            temperatures=torch.cat([self.temperatures, more.temperatures]),
            greedy=both(self.greedy, more.greedy, unused=False),
            top_k=both(self.top_k, more.top_k, unused=0),
            top_p=both(self.top_p, more.top_p, unused=1.0),
            min_p=both(self.min_p, more.min_p, unused=0.0),
            min_new_tokens=both(self.min_new_tokens, more.min_new_tokens, unused=0),
        )


def sample(logits: Tensor, settings: SamplingSettings, positions: Tensor, eos_ids: Tensor) -> tuple[Tensor, Tensor]:
    """Draw the next token of every row.

    Top-k comes first. Top-p and min-p both apply to what it leaves of the distribution at the row's temperature; a
    token must pass both.

    Args:
        logits: [B, V].
        settings: Settings of the same B rows.
        positions: [B] int64 number of tokens sampled before.
        eos_ids: [E] int64 end tokens.

    Returns:
        Tokens [B] int64, and their log-probabilities [B] float32 under the full softmax at the row's temperature:
        before any cut and with end tokens allowed, which is what a trainer recomputes.
    """
    if logits.shape[1] >= _LARGE and not settings.cuts:
        return _sample_by_blocks(logits, settings, positions)
    logprobs = torch.log_softmax(logits.float() / settings.temperatures[:, None], dim=-1)
    weights = _weights(logprobs, settings, positions, eos_ids)
    tokens = _invert(weights, uniforms(settings.keys, positions))
    if settings.greedy is not None:
        tokens = torch.where(settings.greedy, weights.argmax(dim=-1), tokens)
    return tokens, logprobs.gather(1, tokens[:, None]).squeeze(1)


def _sample_by_blocks(logits: Tensor, settings: SamplingSettings, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Draw from the whole distribution with few passes over a large vocabulary; see `sample`.

    The cumulative weight is taken over the sums of blocks of tokens first, and then inside the block that was hit.
    """
    rows, vocabulary = logits.shape
    scaled = logits / settings.temperatures[:, None]  # at least float32, as the temperatures are
    largest = scaled.amax(dim=-1, keepdim=True)
    weights = torch.sub(scaled, largest).exp_()
    missing = -vocabulary % _BLOCK
    padded = (F.pad(weights, (0, missing)) if missing else weights).view(rows, -1, _BLOCK)
    cumulative = padded.sum(dim=-1, dtype=torch.float64).cumsum(dim=-1)
    total = cumulative[:, -1:]
    target = uniforms(settings.keys, positions)[:, None] * total
    block = torch.searchsorted(cumulative, target, right=True).clamp_(max=cumulative.shape[1] - 1)
    before = torch.where(block > 0, cumulative.gather(1, (block - 1).clamp(min=0)), 0.0)
    inside = padded.gather(1, block[:, :, None].expand(-1, 1, _BLOCK)).squeeze(1)
    place = torch.searchsorted(inside.cumsum(dim=-1, dtype=torch.float64), target - before, right=True)
    # The sums of a block in two orders may differ by rounding: beyond its end, its likeliest token is taken.
    place = torch.where(place < _BLOCK, place, inside.argmax(dim=-1, keepdim=True))
    tokens = (block * _BLOCK + place).clamp_(max=vocabulary - 1)
    logprobs = scaled.gather(1, tokens) - largest - total.log().to(scaled.dtype)
    return tokens.squeeze(1), logprobs.squeeze(1)


def _weights(logprobs: Tensor, settings: SamplingSettings, positions: Tensor, eos_ids: Tensor) -> Tensor:
    """Return the sampling weights [B, V]; zero where a token is forbidden or cut off."""
    allowed = logprobs
    if settings.min_new_tokens is not None:
        early = (positions < settings.min_new_tokens)[:, None]
        allowed = logprobs.index_fill(1, eos_ids, -torch.inf).where(early, logprobs)
        allowed = allowed - allowed.amax(dim=-1, keepdim=True)  # other weights may be tiny if the end is near certain
    weights = allowed.exp()
    kept = weights
    if settings.top_k is not None:
        kept = kept.where(_among_largest(allowed, settings.top_k[:, None]), 0.0)
    if settings.top_p is not None:
        kept = kept.where(_in_nucleus(kept, settings.top_p[:, None]), 0.0)
    if settings.min_p is not None:
        kept = kept.where(weights >= settings.min_p[:, None] * weights.amax(dim=-1, keepdim=True), 0.0)
    return kept


def _among_largest(values: Tensor, top_k: Tensor) -> Tensor:
    """Return which tokens [B, V] are among the ``top_k`` [B, 1] largest, or equal to the last of them; 0 keeps all."""
    most = max(1, min(int(top_k.max()), values.shape[1]))
    last = values.topk(most, dim=-1).values.gather(1, top_k.clamp(1, most) - 1)
    return (values >= last) | (top_k == 0)


def _in_nucleus(weights: Tensor, top_p: Tensor) -> Tensor:
    """Return which tokens [B, V] are in the smallest set whose share of the weight reaches ``top_p`` [B, 1].

    Of equally probable tokens the one with the smaller id is taken first (arXiv 1904.09751).
    """
    ordered, order = weights.sort(dim=-1, descending=True, stable=True)
    reached = ordered.cumsum(dim=-1, dtype=torch.float64)
    before = reached - ordered
    # Rounding must not cut the tail of a row that keeps everything.
    kept = (before < top_p * reached[:, -1:]) | (top_p >= 1)
    return torch.zeros_like(kept).scatter(1, order, kept)


def _invert(weights: Tensor, uniform: Tensor) -> Tensor:
    """Return the first token [B] at which the cumulative weight exceeds ``uniform`` [B] times the total."""
    cumulative = weights.cumsum(dim=-1, dtype=torch.float64)
    # Below the total even after rounding, since a uniform is at most 1 - 2^-53: a token of weight 0 is never chosen.
    target = uniform[:, None] * cumulative[:, -1:]
    tokens = torch.searchsorted(cumulative, target, right=True).squeeze(1)
    # NaN weights lead past the end; any token will do, as its log-probability shows the NaN.
    return tokens.clamp_(max=weights.shape[-1] - 1)
