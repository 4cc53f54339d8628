"""Sampling in transformers' ``generate`` with a temperature and random numbers of its own for every row.

TRL samples all rows of a call at one temperature, from torch's global random state. Here a `LogitsProcessor` draws each
row's token, as the native engine does: the same seeds give the same tokens, whatever the other rows and the padding (up
to ties of floating point).

The processor comes after transformers' own processors (repetition penalty, minimum length, suppressed tokens) and
before its warpers (temperature, top-k, top-p, min-p). The warpers are off for the call; `Cuts` takes their place.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from rekindle.engines.sampling import SamplingSettings, row_keys, sample
from rekindle.types import UserError

__all__ = ["Cuts", "RowDraws", "RowSeed", "check_generation", "drawing"]

_PLAIN = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": None}
"""Options under which no warper runs; one could not change a draw, but would cost time."""

_REFUSED: dict[str, tuple[object, ...]] = {
    "do_sample": (True,),
    "num_beams": (None, 1),
    "num_return_sequences": (None, 1),
    "typical_p": (None, 1.0),
    "epsilon_cutoff": (None, 0.0),
    "eta_cutoff": (None, 0.0),
    "top_h": (None,),
    "watermarking_config": (None,),
    "prompt_lookup_num_tokens": (None,),
    "assistant_early_exit": (None,),
}
"""Options of transformers' generation that draws cannot honour, with the values that change nothing."""


@dataclass(frozen=True, slots=True)
class RowSeed:
    """Where the random numbers of a row come from, and its temperature.

    Attributes:
        seed: Seed of the group's request.
        index: Number of the rollout in its request, from 0.
        temperature: Sampling temperature; positive.
    """

    seed: int
    index: int
    temperature: float


@dataclass(frozen=True, slots=True)
class Cuts:
    """What leaves tokens out of a draw, for all rows. Top-k comes first, as in transformers.

    Attributes:
        top_k: Number of most probable tokens that are kept, and those as probable as the last; 0 keeps all.
        top_p: Smallest set of tokens whose share of the probability reaches it; 1 keeps all.
        min_p: Tokens less probable than this times the most probable one are dropped; 0 keeps all.
    """

    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0


def check_generation(config: Any) -> None:
    """Refuse a GenerationConfig with an option that the draws cannot honour.

    Raises:
        UserError: Names the option and the remedy.
    """
    for name, harmless in _REFUSED.items():
        value = getattr(config, name, harmless[0])
        if value not in harmless:
            raise UserError(
                f"generation_kwargs has {name} = {value!r}, which sampling with a temperature per row cannot honour; "
                "remove it"
            )


class RowDraws(LogitsProcessor):
    """Draws of the rows of one call of ``generate``: tokens, and their log-probabilities.

    Args:
        rows: The rows, in the order of the call.
        firsts: Tokens that each row has after its first prompt; numbers of its draws go on from there.
        cuts: What leaves tokens out.
    """

    def __init__(self, rows: Sequence[RowSeed], firsts: Sequence[int], cuts: Cuts) -> None:
        self.rows, self._firsts, self._cuts = tuple(rows), tuple(firsts), cuts
        self._settings: SamplingSettings | None = None
        self._positions = torch.empty(0)
        self._tokens: list[Tensor] = []
        self._logprobs: list[Tensor] = []

    @property
    def temperatures(self) -> list[float]:
        """[B] temperature of each row."""
        return [row.temperature for row in self.rows]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Draw the next token of every row; in the scores [B, V] returned it is the only possible one."""
        if len(scores) != len(self.rows):
            raise RuntimeError(f"transformers samples {len(scores)} rows, and {len(self.rows)} were planned")
        if self._settings is None:
            self._settings = self._on(scores.device)
            self._positions = torch.tensor(self._firsts, dtype=torch.int64, device=scores.device)
        tokens, logprobs = self._drawn(scores, self._settings, self._positions + len(self._tokens))
        self._tokens.append(tokens)
        self._logprobs.append(logprobs)
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens[:, None], 0.0)

    def _drawn(self, scores: Tensor, settings: SamplingSettings, positions: Tensor) -> tuple[Tensor, Tensor]:
        no_end = torch.empty(0, dtype=torch.int64, device=scores.device)  # a minimum length is transformers' own
        return sample(scores, settings, positions, no_end)

    def _on(self, device: torch.device) -> SamplingSettings:
        def column(values: Sequence[float], dtype: torch.dtype) -> Tensor:
            return torch.tensor(values, dtype=dtype, device=device)

        count, cuts = len(self.rows), self._cuts
        seeds = column([row.seed for row in self.rows], torch.int64)
        return SamplingSettings(
            keys=row_keys(seeds, column([row.index for row in self.rows], torch.int64)),
            temperatures=column(self.temperatures, torch.float32),
            top_k=column([cuts.top_k] * count, torch.int64) if cuts.top_k > 0 else None,
            top_p=column([cuts.top_p] * count, torch.float32) if cuts.top_p < 1 else None,
            min_p=column([cuts.min_p] * count, torch.float32) if cuts.min_p > 0 else None,
        )

    def logprobs(self, completions: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probabilities of what was sampled, at each row's temperature, before any cut.

        Args:
            completions: [B] tokens of each row that ``generate`` returned, without what follows the end token.

        Raises:
            RuntimeError: They are not the tokens that were drawn.
        """
        drawn = torch.stack(self._tokens, dim=1).tolist()
        if any(list(tokens) != row[: len(tokens)] for tokens, row in zip(completions, drawn, strict=True)):
            raise RuntimeError("transformers did not return the tokens that were drawn for its rows")
        logprobs = torch.stack(self._logprobs, dim=1).tolist()
        return [row[: len(tokens)] for tokens, row in zip(completions, logprobs, strict=True)]


@contextmanager
def drawing(owner: Any, draws: RowDraws) -> Iterator[None]:
    """While it is open, the model's ``generate`` samples the rows of ``draws``.

    Args:
        owner: A TRL trainer, or a transformers or PEFT model.
        draws: The rows of the call, in its order.
    """
    model = owner
    if hasattr(owner, "accelerator"):
        model = owner.accelerator.unwrap_model(owner.model_wrapped, keep_torch_compile=False)
    before, shadowed = model.generate, "generate" in vars(model)

    def generate(*args: Any, generation_config: Any, **options: Any) -> Any:
        plain = type(generation_config).from_dict(generation_config.to_dict() | _PLAIN)
        processors = LogitsProcessorList([*(options.pop("logits_processor", None) or ()), draws])
        return before(*args, generation_config=plain, logits_processor=processors, **options)

    model.generate = generate
    try:
        yield
    finally:
        if shadowed:
            model.generate = before
        else:
            del model.generate
