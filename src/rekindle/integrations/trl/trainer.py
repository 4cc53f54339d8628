"""``RekindleTrainer``: TRL's ``GRPOTrainer`` with our prompts, group sizes, temperatures and credit.

    trainer = RekindleTrainer(model=..., reward_funcs=..., args=GRPOConfig(...), train_dataset=..., recipe="recycle")

TRL keeps the model, generation, rewards, the loss, the optimizer, processes, logs and evaluation. What is overridden:

    ==========================================  =====================================================================
    _prepare_inputs                             a step's micro-batches come from the scheduler instead of the dataloader
    _generate_single_turn, _calculate_rewards   rows are sampled at their own temperature and seed; rewards are kept
    _compute_loss                               log-probabilities at each row's temperature; weights of ragged batches
    _get_train_sampler                          the dataloader is only the clock of epochs
    _get_per_token_logps_and_entropies          no pass over rollouts that may be dropped
    training_step                               an end without an update, where there is nothing left to train on
    train, _save_checkpoint                     run files below ``output_dir/rekindle``; state in every checkpoint
    ==========================================  =====================================================================
"""

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import trl
from torch import Tensor
from torch.utils.data import Sampler
from trl import GRPOConfig, GRPOTrainer

from rekindle.config import Config
from rekindle.integrations.evaluated import evaluated
from rekindle.integrations.recorded_run import RecordedRun
from rekindle.integrations.trl.callback import RunCallback
from rekindle.integrations.trl.resuming import checkpoint_for, finished, keep, restore, save
from rekindle.integrations.trl.rows import held_out_tasks, tasks_of
from rekindle.integrations.trl.run import TrlRun
from rekindle.integrations.trl.sampling.generation import Sampling
from rekindle.integrations.trl.sampling.rollouts import Played, Row, TrlRollouts
from rekindle.integrations.trl.sampling.row_sampling import check_generation
from rekindle.integrations.trl.settings.arguments import Arguments
from rekindle.integrations.trl.settings.run_settings import run_settings, settled
from rekindle.integrations.trl.shown import ShownByTrl
from rekindle.integrations.trl.state import newest_whole
from rekindle.integrations.trl.updates.batches import Batch
from rekindle.integrations.trl.updates.probe import Probe
from rekindle.integrations.trl.updates.row_temperatures import RowTemperatures, check_head
from rekindle.integrations.trl.updates.update_batches import UpdateBatches
from rekindle.integrations.trl.updates.update_meter import UpdateMeter, reducer
from rekindle.integrations.trl.words import NAMES, model_name, reward_names
from rekindle.types import Task, UserError

__all__ = ["RekindleTrainer"]


class _RunIsOverError(Exception):
    """There is nothing left to train on."""


class Ticks(Sampler[int]):
    """Numbers of rows, one after the other, which TRL's dataloader reads and nothing uses.

    Args:
        rows: Rows of the dataset.
        ticks: How many there are.
    """

    def __init__(self, rows: int, ticks: int) -> None:
        self._rows, self._ticks = rows, ticks

    def __iter__(self) -> Iterator[int]:
        return (tick % self._rows for tick in range(self._ticks))

    def __len__(self) -> int:
        return self._ticks


class RekindleTrainer(GRPOTrainer):
    """TRL's trainer with a recipe of rekindle.

    Args:
        model: As for ``GRPOTrainer``; so are all arguments but ``recipe``.
        reward_funcs: Reward functions.
        args: TRL's arguments. What they mean for a recipe: `rekindle.integrations.trl.settings.run_settings`.
        train_dataset: A ``Dataset`` with a column ``prompt``; a column ``id`` names prompts for good.
        others: Further positional arguments.
        recipe: Name of a recipe, a TOML file, or tables such as ``{"recipe": "erpo", "heating": {"maximum": 1.3}}``.
        named: Further arguments.

    Attributes:
        run: The run: its settings, scheduler and files.
        meter: Numbers of the update that is being made.

    Raises:
        UserError: An argument contradicts the recipe, or TRL cannot honour it; the message has the remedy.
    """

    num_generations: int
    _step: int
    _buffered_inputs: list[Batch] | None
    _scored: Tensor

    def __init__(
        self,
        model: Any,
        reward_funcs: Any = None,
        args: GRPOConfig | None = None,
        train_dataset: Any = None,
        *others: Any,
        recipe: str | Path | Mapping[str, Any] = "grpo",
        **named: Any,
    ) -> None:
        name = model_name(model)
        args = copy.copy(args) if args is not None else GRPOConfig(f"{name.rpartition('/')[2]}-GRPO")
        arguments = Arguments.of(args)
        tasks = tasks_of(train_dataset)
        config = run_settings(
            recipe, arguments, model=name, rewards=_weighted(reward_funcs, args), rows=len(train_dataset)
        )
        for key, value in settled(config, arguments).items():
            setattr(args, key, value)
        self._sampling: Sampling | None = None
        self._noted: dict[str, float] = {}
        self._held_out_rewards: list[float] = []
        self._collecting = 0.0  # seconds that the rollouts of a micro-step took
        super().__init__(model, reward_funcs, args, train_dataset, *others, **named)
        _check(self, config)
        self._shown = ShownByTrl(self)
        self.run = _run(self, config, tasks)
        self.meter = UpdateMeter(reducer(self.accelerator), self.accelerator.num_processes)
        self._row_temperatures = RowTemperatures(self.model, self.temperature)
        self._updates = UpdateBatches(self, self._row_temperatures, self.meter)
        self.add_callback(RunCallback(self))

    # -- the run ------------------------------------------------------------------------------------------------------

    def train(self, resume_from_checkpoint: str | bool | None = None, *others: Any, **named: Any) -> Any:
        """Train as TRL does, with run files; ``resume_from_checkpoint=True`` goes on from the last whole checkpoint."""
        self.model.train()  # rollouts before the first step are those of training, too
        newest = newest_whole(Path(self.args.output_dir))
        checkpoint = checkpoint_for(resume_from_checkpoint, newest, self.args.output_dir)
        held_out = held_out_tasks(self.eval_dataset)
        with self.run.started(checkpoint, held_out, resumable=newest is not None, **self._facts()) as state:
            self._step, self._buffered_inputs, self._noted = 0, None, {}
            self._shown.clear()
            if state is not None and checkpoint is not None:
                restore(self, checkpoint, state)
                if 0 < self.args.max_steps <= state["global_step"]:
                    return finished(self, checkpoint)
            found = super().train(None if checkpoint is None else str(checkpoint), *others, **named)
            if self.record.is_open:  # the last optimizer step was in the middle of a generation
                self._finish()
            return found

    def _facts(self) -> dict[str, Any]:
        return {
            "trainer": f"trl {trl.__version__}",
            "names": dict(NAMES),
            "held_out": _rows(self.eval_dataset),
            "eval_temperature": self.temperature,
            "eval_samples": self.num_generations_eval,
            "model": model_name(self.model),
            "processes": self.accelerator.num_processes,
            "device": str(self.accelerator.device),
            "threads": torch.get_num_threads(),
            "parameters": self.run.parameters,
            "trained_parameters": sum(one.numel() for one in self.model.parameters() if one.requires_grad),
        }

    @property
    def record(self) -> RecordedRun:
        """Account of the run."""
        return self.run.record

    # -- a step -------------------------------------------------------------------------------------------------------

    @property
    def uses(self) -> int:
        """Micro-steps that use one generation."""
        uses: int = self.args.steps_per_generation * self.num_iterations
        return uses

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        if not self.model.training:
            return super()._prepare_inputs(generation_batch)
        if self._step % self.uses == 0 or self._buffered_inputs is None:
            began = time.perf_counter()
            self._buffered_inputs = self._collected()
            self._collecting = time.perf_counter() - began
        return self._buffered_inputs[self._step % self.args.steps_per_generation]

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """One micro-batch; the end of the run, where nothing is left to train on, is a loss of 0 without a gradient."""
        began, self._collecting = time.perf_counter(), 0.0
        try:
            loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        except _RunIsOverError:
            self.record.warn(f"the run is over: {self.run.steps.over}")
            self.control.should_training_stop = True
            self.accelerator.gradient_state._set_sync_gradients(False)  # so that the optimizer makes no step
            return torch.zeros((), device=self.accelerator.device)
        self.run.steps.clock.add("train", time.perf_counter() - began - self._collecting)
        return loss

    def _collected(self) -> list[Batch]:
        """The micro-batches of the next update, of this process."""
        self.run.rollouts.forget()
        self._shown.begin()
        samples = self.run.steps.next()
        if samples is None:
            raise _RunIsOverError
        posterior = self.run.config.posterior
        self.run.probe = Probe.of(samples, posterior.probe_rows if posterior.half_life is not None else 0)
        self.meter.begin()
        self._shown.groups(self.record.silent_share, samples, self.run.rollouts.logged)
        return self._updates.build(samples, self.run.rollouts.carried(), (self.args.seed, self.record.step))

    def end_step(self) -> None:
        """End the step of the run where TRL has used its rollouts up; called after every optimizer step."""
        if self._step % self.uses == 0 and self.record.is_open:
            self._finish()

    def all_finite(self, parameters: Sequence[Tensor]) -> bool:
        """Whether the gradients of all processes are finite; those of parameters without one are."""
        broken = [~one.grad.isfinite().all() for one in parameters if one.grad is not None]
        count = torch.stack(broken).sum() if broken else torch.zeros((), device=self.accelerator.device)
        return not int(self.meter.reduce(count))

    def skip(self) -> None:
        """Count an optimizer step that is not made, because its gradient is not finite, and keep its micro-batches."""
        self.meter.skip()
        model = self.model if self.accelerator.num_processes == 1 else None
        place = self.run.keep_skipped(self._buffered_inputs or [], model, (self.record.step, self._step))
        self.record.warn(
            f"step {self.record.step}: a gradient is not finite; the optimizer step is skipped, and its micro-batches "
            f"are kept in {place}"
        )

    def note(self, metrics: Mapping[str, float]) -> None:
        """Add metrics to the step that ended last; in the middle of a generation, to the one that is being made."""
        if self.record.is_open:
            self._noted |= metrics
        else:
            self.record.add(metrics)

    def _finish(self) -> None:
        self.run.finish(self.meter.stats(self.run.probe.moved(self._updates.score)))
        noted, self._noted = self._noted, {}
        self.record.add(noted)
        self._shown.step(self.record.latest)

    # -- rollouts -----------------------------------------------------------------------------------------------------

    def _sampled(self, rows: Sequence[Row]) -> list[Played]:
        """Sample and judge rows with TRL's own code, as groups of one."""
        sampling = self._sampling = Sampling(self, rows)
        size, self.num_generations = self.num_generations, 1
        try:
            with self._shown.without_silent_groups():
                output = super()._generate_and_score_completions(sampling.inputs)
        finally:
            self.num_generations, self._sampling = size, None
        return sampling.rollouts(output)

    def _generate_single_turn(
        self, prompt_ids: Any, images: Any, multimodal_fields: Any, num_generations: int, has_tool_images: bool = False
    ) -> Any:
        generate = super()._generate_single_turn
        if self._sampling is None:
            return generate(prompt_ids, images, multimodal_fields, num_generations, has_tool_images)
        return self._sampling.turn(generate, prompt_ids, images, multimodal_fields, 1, has_tool_images)

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> Tensor:
        began = time.perf_counter()
        rewards: Tensor = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        if self._sampling is not None:
            self._sampling.judge(prompts, completions, completion_ids_list, rewards)
            self.run.rollouts.seconds["verify"] += time.perf_counter() - began
        else:
            judged = rewards[~rewards.isnan().all(dim=1)]
            self._held_out_rewards += (judged * self.reward_weights.to(judged.device)).nansum(dim=1).tolist()
        return rewards

    def evaluated(self) -> dict[str, float]:
        """Metrics of the evaluation that was made: success is a weighted sum of rewards that reaches the threshold."""
        rewards, self._held_out_rewards = self._held_out_rewards, []
        return evaluated(rewards, self.run.config.task.success_threshold)

    # -- the update ---------------------------------------------------------------------------------------------------

    def _get_per_token_logps_and_entropies(self, model: Any, input_ids: Tensor, *others: Any, **named: Any) -> Any:
        """TRL's, at the temperatures of the rows; none of rollouts that may still be dropped."""
        sampling = self._sampling
        if sampling is None:
            found = super()._get_per_token_logps_and_entropies(model, input_ids, *others, **named)
            self._scored = found[0].detach()
            return found
        if model is not self.model or not sampling.corrects:
            kept = named.get("logits_to_keep", others[1] if len(others) > 1 else 0)
            return torch.zeros(len(input_ids), kept, device=input_ids.device), None, None
        sampling.corrects = False  # a pass after it is the reference's
        with self._row_temperatures.at(sampling.temperatures):
            return super()._get_per_token_logps_and_entropies(model, input_ids, *others, **named)

    def _compute_loss(self, model: Any, inputs: Any) -> Tensor:
        loss: Tensor
        if "temperatures" not in inputs:
            loss = super()._compute_loss(model, inputs)
            return loss
        with self._row_temperatures.at(inputs["temperatures"].tolist()):
            loss = super()._compute_loss(model, inputs) * inputs["loss_scale"]
        self.meter.add(loss, inputs, self._metrics["train"])
        if self._step % self.uses < self.args.gradient_accumulation_steps:  # no optimizer step since the rollouts
            self._compare(inputs)
        return loss

    def _compare(self, inputs: Batch) -> None:
        """Measure how far the log-probabilities of the loss are from those at which the tokens were sampled."""
        if self.run.config.loss.off_temperature == "tempered":
            sampled = inputs["sampling_per_token_logps"]  # NaN of tokens that vLLM did not score
            known = (inputs["completion_mask"] * inputs["tool_mask"]).bool() & ~sampled.isnan()
            self.meter.add_gap((self._scored - sampled)[known])

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        """The clock of TRL's epochs: the scheduler draws the prompts, and any dataset is large enough for a batch."""
        rows, batch = len(self.train_dataset), self.args.generation_batch_size
        return Ticks(rows, batch * self.uses * Arguments.of(self.args).generations_of(rows, self.num_generations))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        if not self.args.save_only_model:  # nothing can go on from such a checkpoint
            save(self, trial)
        super()._save_checkpoint(model, trial)
        if not self.args.save_only_model:
            keep(self, trial)


def _rows(dataset: Any) -> int:
    """Rows of a dataset, or of several by name; 0 where there is none, or it has no length."""
    if isinstance(dataset, Mapping):
        return sum(map(_rows, dataset.values()))
    return len(dataset) if hasattr(dataset, "__len__") else 0


def _weighted(functions: Any, args: GRPOConfig) -> list[tuple[str, float]]:
    """Names and weights of the reward functions; without any, an environment has the reward."""
    names = reward_names(functions)
    weights = args.reward_weights or [1.0] * len(names)
    return list(zip(names, map(float, weights), strict=False)) or [("environment", 1.0)]


def _check(trainer: Any, config: Config) -> None:
    """Refuse what only TRL's own construction shows.

    Raises:
        UserError: Names the argument or the part of the model, and the remedy.
    """
    if trainer.rollout_func is not None:
        raise UserError(
            "rollout_func samples by itself, and the temperatures and seeds of rekindle's rows would not reach it; "
            "leave it out, and give tools=[...] or environment_factory=..."
        )
    reward_names(trainer.reward_func_names)  # an environment may have the name of a function
    if not trainer.use_vllm:
        check_generation(trainer.generation_config)
    if config.heating.delta and config.loss.off_temperature == "tempered":
        check_head(trainer.model)


def _run(trainer: Any, config: Config, tasks: Sequence[Task]) -> TrlRun:
    """A run of a trainer, whose files are written from ``opened`` on."""
    rollouts = TrlRollouts(
        trainer._sampled,
        process=trainer.accelerator.process_index,
        processes=trainer.accelerator.num_processes,
        chunk=trainer.args.generation_batch_size,
    )
    return TrlRun(
        config,
        tasks,
        rollouts,
        output_dir=Path(trainer.args.output_dir),
        main=trainer.accelerator.is_main_process,
        parameters=sum(one.numel() for one in trainer.model.parameters()),
        decode=trainer._tokenizer.decode,
    )
