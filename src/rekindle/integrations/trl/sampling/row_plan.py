"""The rows of one generation with TRL, through all turns of conversations with tools."""

from collections.abc import Sequence
from dataclasses import dataclass

from rekindle.integrations.trl.sampling.row_sampling import Cuts, RowDraws, RowSeed

__all__ = ["RowPlan"]


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
