"""A generation inside TRL that is being made: rows, turns, rewards, and in the end rollouts."""

from collections.abc import Callable, Sequence
from typing import Any

from accelerate.utils import gather_object
from torch import Tensor

from rekindle.integrations.trl.sampling.rollouts import Played, Row
from rekindle.integrations.trl.sampling.row_plan import RowPlan
from rekindle.integrations.trl.sampling.row_sampling import Cuts, RowSeed, drawing
from rekindle.integrations.trl.sampling.sampled import EXTRAS, Judged, Rewards, rollouts_of
from rekindle.integrations.trl.sampling.vllm_temperatures import temperatures_in_vllm

__all__ = ["Sampling"]


class Sampling:
    """The rows of one call of TRL's generation, each with a temperature and a seed of its own.

    Args:
        trainer: The trainer.
        rows: The rows of this process.

    Attributes:
        temperatures: [B] of the rows.
        corrects: The next pass of the policy over the rows is for the correction of an engine of its own.
    """

    def __init__(self, trainer: Any, rows: Sequence[Row]) -> None:
        seeds = [RowSeed(row.request.seed, row.index, row.request.temperature) for row in rows]
        self.temperatures = [one.temperature for one in seeds]
        self.corrects = bool(trainer.use_vllm and trainer.vllm_importance_sampling_correction)
        self._extras = EXTRAS if self.corrects else ("sampling_per_token_logps",) if trainer.use_vllm else ()
        self._trainer, self._rows, self._judged = trainer, rows, list[Judged]()
        self._plan = RowPlan(seeds, Cuts(trainer.top_k or 0, trainer.top_p, trainer.min_p or 0.0))

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """Rows of the dataset, one for each row; every one is read once."""
        places = [self._trainer.run.places[row.request.row] for row in self._rows]
        found = {place: self._trainer.train_dataset[place] for place in dict.fromkeys(places)}
        return [dict(found[place]) for place in places]

    def turn(self, generate: Callable[..., Any], prompt_ids: Any, *others: Any) -> Any:
        """The completions of a turn, and their log-probabilities.

        Args:
            generate: TRL's ``_generate_single_turn``.
            prompt_ids: Token ids so far, of all rows or of those with a further turn.
            others: Further arguments of it.
        """
        draws = self._plan.begin(prompt_ids)
        if self._trainer.use_vllm:
            with temperatures_in_vllm(self._trainer.vllm_generation, draws.temperatures, gather_object):
                ids, logprobs = generate(prompt_ids, *others)
        else:
            with drawing(self._trainer, draws):
                ids, _ = generate(prompt_ids, *others)
            logprobs = draws.logprobs(ids)
        self._plan.end(ids, [[value or 0.0 for value in values] for values in logprobs])
        return ids, logprobs

    def judge(self, prompts: Any, completions: Any, completion_ids: Any, rewards: Tensor) -> None:
        """Keep what the reward functions saw, and the rewards [rows of all processes, functions]."""
        own = self._trainer.accelerator.process_index * len(prompts)
        self._judged.append(Judged(prompts, completions, completion_ids, rewards[own : own + len(prompts)]))

    def rollouts(self, output: dict[str, Tensor]) -> list[Played]:
        """The rollouts of the rows, given the result of TRL's ``_generate_and_score_completions``."""
        trainer, (judged,) = self._trainer, self._judged  # TRL calls _calculate_rewards once per generation
        rewards = Rewards(trainer.reward_func_names, trainer.reward_weights.tolist(), trainer.run.config.task)
        ends = [*trainer.eos_token_ids, trainer._tokenizer.pad_token_id]
        return rollouts_of(self._rows, output, judged, rewards, ends, extras=self._extras)
