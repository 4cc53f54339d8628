"""The micro-batches of an update with a trainer's model: what its passes need to know of the trainer."""

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any

import torch
from torch import Tensor
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import use_adapter

from rekindle.integrations.trl.updates.batches import Batch, BatchSettings, Scorers, build_batches, padded
from rekindle.integrations.trl.updates.division import Division
from rekindle.integrations.trl.updates.row_temperatures import RowTemperatures
from rekindle.integrations.trl.updates.update_meter import UpdateMeter
from rekindle.types import TrainingSample

__all__ = ["UpdateBatches"]


class UpdateBatches:
    """Builds the micro-batches of the updates of a trainer.

    Args:
        trainer: The trainer, after TRL's own construction.
        temperatures: Temperatures of the rows of its model.
        meter: Counts the tokens of passes without gradient.
    """

    def __init__(self, trainer: Any, temperatures: RowTemperatures, meter: UpdateMeter) -> None:
        self._trainer, self._temperatures, self._meter = trainer, temperatures, meter
        self._of_reference = RowTemperatures(trainer.ref_model, trainer.temperature)
        args, accelerator = trainer.args, trainer.accelerator
        corrected = trainer.use_vllm and trainer.vllm_importance_sampling_correction
        self._settings = BatchSettings(
            division=Division(
                processes=accelerator.num_processes,
                micro_batches=args.steps_per_generation,
                accumulation=args.gradient_accumulation_steps,
            ),
            process=accelerator.process_index,
            loss_type=trainer.loss_type,
            pad_id=trainer._tokenizer.pad_token_id,
            device=accelerator.device,
            computes_all=_all_rows_count(trainer),
            needs_old=bool(args.gradient_accumulation_steps % trainer.uses) and not corrected,
            multiple=trainer.pad_to_multiple_of or 1,
        )
        self._scorers = Scorers(self._policy, self._reference if trainer.beta else None)

    def build(
        self,
        samples: Sequence[TrainingSample],
        carried: Mapping[int, Mapping[str, Sequence[float]]],
        seed: Sequence[int],
    ) -> list[Batch]:
        """The micro-batches of this process.

        Args:
            samples: All samples of the update.
            carried: Further numbers of their completions.
            seed: Seed of the division into optimizer steps.
        """
        return build_batches(samples, self._settings, self._scorers, seed, carried)

    def score(self, rows: Sequence[TrainingSample]) -> list[list[float]]:
        """Log-probabilities of the trainable tokens of rows under the present policy, each at its temperature."""
        batch = padded(rows, self._settings)
        logprobs, _ = self._policy(batch)
        masks = batch["tool_mask"].bool()
        return [list(compress(values, mask)) for values, mask in zip(logprobs.tolist(), masks.tolist(), strict=True)]

    def _policy(self, batch: Batch) -> tuple[Tensor, Tensor]:
        with self._temperatures.at(batch["temperatures"].tolist()):
            return self._pass(self._trainer.model, batch)

    def _reference(self, batch: Batch) -> Tensor:
        """Log-probabilities of the reference policy: a model of its own, or the policy without its adapter."""
        trainer = self._trainer
        temperatures = batch["temperatures"].tolist()
        if trainer.ref_model is not None:
            with self._of_reference.at(temperatures):
                return self._pass(trainer.ref_model, batch)[0]
        policy = trainer.accelerator.unwrap_model(trainer.model)
        adapter = "ref" if "ref" in policy.peft_config else None
        with use_adapter(policy, adapter_name=adapter), self._temperatures.at(temperatures):
            return self._pass(trainer.model, batch)[0]

    def _pass(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        trainer = self._trainer
        ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
        mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
        self._meter.recomputed(ids.numel())
        quiet = disable_gradient_checkpointing(trainer.model, trainer.args.gradient_checkpointing_kwargs)
        with torch.no_grad(), quiet:
            logprobs, entropies, _ = trainer._get_per_token_logps_and_entropies(
                model,
                ids,
                mask,
                batch["completion_ids"].size(1),
                batch_size=trainer.args.per_device_train_batch_size,
                compute_entropy=model is trainer.model,
            )
        return logprobs, entropies


def _all_rows_count(trainer: Any) -> bool:
    """Whether rows without an advantage have a share in the loss all the same."""
    return bool(
        trainer.beta or trainer._entropy_bonus_enabled or trainer.top_entropy_quantile < 1.0 or trainer.aux_loss_enabled
    )
