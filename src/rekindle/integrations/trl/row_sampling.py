"""Sampling in TRL with a temperature and random numbers of its own for every row.

TRL samples all rows of a call at one temperature, from torch's global random state. Here

- with transformers, a `LogitsProcessor` draws each row's token (`RowDraws`), as the native engine does: the same seeds
  give the same tokens, whatever the other rows and the padding (up to ties of floating point);
- with vLLM, the rows are sampled by one call per temperature (`temperatures_in_vllm`). vLLM has its own random numbers:
  a resumed run repeats the requests but not the tokens.

The processor comes after transformers' own processors (repetition penalty, minimum length, suppressed tokens) and
before its warpers (temperature, top-k, top-p, min-p). The warpers are off for the call; `Cuts` takes their place.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from rekindle.engines.sampling import SamplingSettings, row_keys, sample
from rekindle.types import UserError

__all__ = ["Cuts", "RowDraws", "RowPlan", "RowSeed", "check_generation", "drawing", "temperatures_in_vllm"]

_PLAIN = {
    "temperature": 1.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,  # not None, for which the model's own default would be used
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
}
"""Options of a generation without warpers."""

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


class RowDraws(LogitsProcessor):  # type: ignore[misc] # transformers has no types
    """Draws of the rows of one call of ``generate``: tokens, and their log-probabilities.

    Args:
        rows: The rows, in the order of the call.
        firsts: Tokens that each row has after its first prompt; numbers of its draws go on from there.
        cuts: What leaves tokens out.
    """

    def __init__(self, rows: Sequence[RowSeed], firsts: Sequence[int], cuts: Cuts) -> None:
        self.rows, self._firsts, self._cuts = tuple(rows), tuple(firsts), cuts
        self._settings: SamplingSettings | None = None
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
        positions = torch.tensor(self._firsts, device=scores.device) + len(self._tokens)
        tokens, logprobs = self._drawn(scores, self._settings, positions)
        self._tokens.append(tokens)
        self._logprobs.append(logprobs)
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens[:, None], 0.0)

    def _drawn(self, scores: Tensor, settings: SamplingSettings, positions: Tensor) -> tuple[Tensor, Tensor]:
        no_end = torch.empty(0, dtype=torch.int64, device=scores.device)  # a minimum length is transformers' own
        if not 0 < self._cuts.top_k < scores.shape[1]:
            return sample(scores, settings, positions, no_end)
        last = scores.topk(self._cuts.top_k, dim=-1).values[:, -1:]
        tokens, _ = sample(scores.where(scores >= last, -torch.inf), settings, positions, no_end)
        logprobs = torch.log_softmax(scores.float() / settings.temperatures[:, None], dim=-1)
        return tokens, logprobs.gather(1, tokens[:, None]).squeeze(1)

    def _on(self, device: torch.device) -> SamplingSettings:
        def column(values: Sequence[float], dtype: torch.dtype) -> Tensor:
            return torch.tensor(values, dtype=dtype, device=device)

        count, cuts = len(self.rows), self._cuts
        seeds = column([row.seed for row in self.rows], torch.int64)
        return SamplingSettings(
            keys=row_keys(seeds, column([row.index for row in self.rows], torch.int64)),
            temperatures=column(self.temperatures, torch.float32),
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


@dataclass(slots=True)
class _Row:
    """What is known of a row: its tokens, prompt first, and a log-probability for each token after the prompt."""

    seed: RowSeed
    prompt: list[int]
    after: list[int]
    logprobs: list[float]

    def begins(self, sequence: Sequence[int]) -> bool:
        """Whether a sequence is this row's, perhaps with more tokens after it."""
        tokens = self.prompt + self.after
        return list(sequence[: len(tokens)]) == tokens


class RowPlan:
    """The rows of one generation with TRL, through all turns of a conversation with tools.

    TRL's ``_generate`` calls ``_generate_single_turn`` with the prompts of all rows. With tools, ``_tool_call_loop``
    then calls it again for the rows whose last turn called a tool, in the order of the rows, with (prompt + everything
    since + output of the tool) as prompts, until none calls a tool. A row whose tool output is too long is left out,
    and the last turn of a row may be cut afterwards. No call says which rows it is about: a sequence belongs to the
    next row whose tokens it begins with. Of two rows with equal tokens, and hence equal log-probabilities, one may so
    take the other's place.

        draws = plan.begin(sequences)
        with drawing(trainer, draws):
            completions, _ = super()._generate_single_turn(...)
        plan.end(completions, draws.logprobs(completions))

    Args:
        rows: One entry per prompt of the first call, in order.
        cuts: What leaves tokens out of a draw.
    """

    def __init__(self, rows: Sequence[RowSeed], cuts: Cuts | None = None) -> None:
        self._seeds, self._cuts = tuple(rows), cuts or Cuts()
        self._rows: list[_Row] = []
        self._open: list[_Row] = []

    def begin(self, sequences: Sequence[Sequence[int]]) -> RowDraws:
        """The draws of a call for these token sequences; numbers of a row's draws never repeat.

        Raises:
            RuntimeError: The first call has another number of rows, or a sequence continues none.
        """
        if not self._rows:
            if len(sequences) != len(self._seeds):
                raise RuntimeError(f"TRL asks for {len(sequences)} rows, and {len(self._seeds)} were planned")
            self._rows = [_Row(seed, list(one), [], []) for seed, one in zip(self._seeds, sequences, strict=True)]
        self._open = self._continued(sequences)
        for row, sequence in zip(self._open, sequences, strict=True):
            outputs = sequence[len(row.prompt) + len(row.after) :]
            row.after += outputs
            row.logprobs += [0.0] * len(outputs)
        return RowDraws([row.seed for row in self._open], [len(row.after) for row in self._open], self._cuts)

    def _continued(self, sequences: Sequence[Sequence[int]]) -> list[_Row]:
        later, found = iter(self._rows), []
        for number, sequence in enumerate(sequences):
            row = next((row for row in later if row.begins(sequence)), None)
            if row is None:
                raise RuntimeError(f"sequence {number} of TRL's next turn continues no row of the generation")
            found.append(row)
        return found

    def end(self, completions: Sequence[Sequence[int]], logprobs: Sequence[Sequence[float]]) -> None:
        """Take in what the call that began last has sampled."""
        for row, tokens, values in zip(self._open, completions, logprobs, strict=True):
            row.after += tokens
            row.logprobs += values

    def logprobs(self, completions: Sequence[Sequence[int]]) -> list[list[float]]:
        """Behaviour log-probabilities of all rows, all turns together; 0.0 at the tokens of tools.

        Args:
            completions: Tokens after the prompt of every row, as TRL returns them in the end.
        """
        return [self._kept(row, list(tokens)) for row, tokens in zip(self._rows, completions, strict=True)]

    def _kept(self, row: _Row, tokens: list[int]) -> list[float]:
        for one in (row, *self._rows):
            if one.prompt == row.prompt and one.after[: len(tokens)] == tokens:
                return one.logprobs[: len(tokens)]
        raise RuntimeError("a completion that TRL returned is not what its rows sampled")


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


Gather = Callable[[list[tuple[float, int]]], list[tuple[float, int]]]
"""A list of this process -> the lists of all processes, one after the other (``accelerate.utils.gather_object``)."""


@contextmanager
def temperatures_in_vllm(generation: Any, temperatures: Sequence[float], gather: Gather) -> Iterator[None]:
    """While it is open, ``generation.generate`` samples each row at its own temperature.

    `VLLMGeneration` has one temperature per call, so there is one call per distinct temperature of all processes. In
    server mode and with tensor parallelism a call gathers the prompts of the processes. So every process makes the
    same calls with the same number of rows; rows that it lacks are repetitions, which are dropped. The tokens come from
    vLLM's own random numbers, not from the seeds of the rows.

    Args:
        generation: The trainer's ``vllm_generation``.
        temperatures: One per prompt of the call, of this process.
        gather: Collects over processes; every process enters ``generate`` with at least one prompt.
    """
    before, shadowed, usual = generation.generate, "generate" in vars(generation), generation.temperature

    def generate(
        prompts: list[list[int]], images: list[Any] | None, num_generations: int, profiler: Any = None
    ) -> tuple[Any, ...]:
        if len(prompts) != len(temperatures):
            raise RuntimeError(f"TRL asks vLLM for {len(prompts)} rows, and {len(temperatures)} were planned")
        parts: list[tuple[list[int], tuple[Any, ...]]] = []
        for temperature, count in _calls(temperatures, gather):
            own = [row for row, value in enumerate(temperatures) if value == temperature]
            rows = own + [own[0] if own else 0] * (count - len(own))
            generation.temperature = temperature
            chosen = None if images is None else [images[row] for row in rows]
            result = before([prompts[row] for row in rows], chosen, num_generations=1, profiler=profiler)
            parts.append((own, result))
        return _in_order(parts, len(prompts))

    generation.generate = generate
    try:
        yield
    finally:
        generation.temperature = usual
        if shadowed:
            generation.generate = before
        else:
            del generation.generate


def _calls(temperatures: Sequence[float], gather: Gather) -> list[tuple[float, int]]:
    """Each temperature of any process, ascending, and the most rows that a process has at it."""
    own = [(value, list(temperatures).count(value)) for value in sorted(set(temperatures))]
    most: dict[float, int] = {}
    for temperature, count in gather(own):
        most[temperature] = max(count, most.get(temperature, 0))
    return sorted(most.items())


def _in_order(parts: Sequence[tuple[list[int], tuple[Any, ...]]], count: int) -> tuple[Any, ...]:
    """The columns of the calls' results as one result, whose rows are in the order of the prompts."""
    columns: list[list[Any] | None] = []
    for number, example in enumerate(parts[0][1]):
        column: list[Any] = [None] * count
        for own, result in parts:
            for place, row in enumerate(own):
                column[row] = result[number][place] if example is not None else None
        columns.append(None if example is None else column)
    return tuple(columns)
