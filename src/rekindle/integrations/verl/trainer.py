"""verl's V1 trainers with our prompts, group sizes, temperatures and credit.

    python -m verl.trainer.main_ppo ... trainer.v1.trainer_mode=rekindle +rekindle.recipe=recycle

verl keeps the model, generation, rewards, the loss, the optimizer, processes, trackers and validation. Overridden are:

    ==================================  =============================================================================
    _build_replay_buffer                a step's batch is what the scheduler chose
    prepare_step, on_train_begin        no prompts from the dataloader
    _init_dataloader                    the prompts as tasks of the run
    _init_resource_pool_mgr             workers with a temperature per row
    _get_required_batch_multiple,       ragged batches over processes and optimizer steps
    _balance_batch, _update_actor
    _compute_advantage                  advantages and weights of our credit
    _step_once                          the end of a step of the run
    _val_metrics_update                 held-out accuracy for the account
    fit, _save_checkpoint,              run files below ``trainer.default_local_dir``; state in every checkpoint
    _load_checkpoint,
    _reissue_inflight_prompts
    ==================================  =============================================================================
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from omegaconf import DictConfig, open_dict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.trainer_base import PPOTrainer, register_trainer
from verl.trainer.ppo.v1.trainer_colocate_async import PPOTrainerColocateAsync
from verl.trainer.ppo.v1.trainer_separate_async import PPOTrainerSeparateAsync
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

from rekindle.integrations.evaluated import evaluated
from rekindle.integrations.hosted_run import FOLDER, HostedRun
from rekindle.integrations.profiling import given_profile, kept_profile
from rekindle.integrations.silent_groups import counts_silent
from rekindle.integrations.verl.buffer import RunBuffer
from rekindle.integrations.verl.configuration import configured, facts_of, micro_batches, parameters_of
from rekindle.integrations.verl.data_checks import check_data
from rekindle.integrations.verl.groups import PARTITION, VerlGroups, key_of
from rekindle.integrations.verl.movement import moved
from rekindle.integrations.verl.padding import padded
from rekindle.integrations.verl.resuming import (
    check_checkpoints,
    load_state,
    save_state,
    told_requests,
    validates_first,
)
from rekindle.integrations.verl.row_counts import round_of
from rekindle.integrations.verl.row_keys import COUNTED
from rekindle.integrations.verl.rows import held_out_tasks, tasks_of
from rekindle.integrations.verl.settings import settle
from rekindle.integrations.verl.trainer_prompts import TrainerPrompts
from rekindle.integrations.verl.update import Update
from rekindle.integrations.verl.update_rows import UpdateRow, aggregation_of
from rekindle.integrations.verl.words import said
from rekindle.integrations.verl.worker import DetachedRowWorker, RowWorker
from rekindle.methods import needs_profile
from rekindle.observability.trackers.follower import numbers
from rekindle.scheduling.profiling import Profile

__all__ = ["RekindleColocateAsync", "RekindleSeparateAsync", "RekindleSync"]

SUM = "token-sum"
"""Loss of verl's without a denominator."""
PREFIX = "rekindle/"
"""Of our metrics in verl's trackers."""


class _RunIsOverError(Exception):
    """There is nothing left to train on."""


class RecipeTrainer(PPOTrainer):
    """What our trainers add to verl's.

    Args:
        config: verl's configuration, whose table ``rekindle`` has the recipe.

    Attributes:
        run: The run: its settings, scheduler and files.
        mode: verl's own mode.
    """

    run: HostedRun
    mode: str
    steps_per_epoch: int

    def __init__(self, config: DictConfig) -> None:
        self.settings = settle(config)  # once more: the entry point's was in another process
        with open_dict(config):
            config.trainer.v1.trainer_mode = self.mode
        self._update: Update | None = None
        self._updates_only = False
        super().__init__(config)

    # -- construction -------------------------------------------------------------------------------------------------

    def _build_replay_buffer(self) -> RunBuffer:
        sampler = self.config.trainer.v1.sampler
        return RunBuffer(
            self._collect,
            trainer_mode=self.trainer_mode,
            trainer_config=self.config.trainer.v1.get(self.trainer_mode, {}),
            max_off_policy_threshold=None,
            max_off_policy_strategy="drop",
            sampler_kwargs=sampler.sampler_kwargs,
        )

    def _init_dataloader(self) -> None:
        check_data(self.config)
        super()._init_dataloader()
        self.steps_per_epoch = max(1, self.steps_per_epoch)  # the scheduler draws prompts as often as it likes
        with configured(self.config, {"data.gen_batch_size": None}):  # which verl has set by now
            self.settings = settle(self.config, steps=self.total_training_steps * self.parameter_sync_step)
        prompts = TrainerPrompts(self, self.settings)
        self._groups = groups = VerlGroups(prompts, self.settings)
        model = self.config.actor_rollout_ref.model
        self.run = HostedRun(
            self.settings,
            tasks_of(self.train_dataset, self.config.data.prompt_key),
            self._groups,
            directory=self._directory,
            parameters=parameters_of(model.path, trust_remote_code=model.get("trust_remote_code", False)),
            decode=prompts.decode,
            said=said,
            say=print,
            supply=lambda scheduler: prompts.supply(scheduler, groups),
            counts_silent=self._keeps_all,
        )

    def _init_resource_pool_mgr(self) -> None:
        super()._init_resource_pool_mgr()
        apart = DetachedRowWorker if isinstance(self, PPOTrainerSeparateAsync) else RowWorker
        for role in self.role_worker_mapping:
            if "actor" in str(role) or "ref" in str(role):
                self.role_worker_mapping[role] = ray.remote(apart)

    @property
    def _directory(self) -> Path:
        return Path(self.config.trainer.default_local_dir) / FOLDER

    # -- a step -------------------------------------------------------------------------------------------------------

    def prepare_step(self) -> dict[str, float]:
        """No prompts from the dataloader."""
        return {}

    def on_train_begin(self) -> None:
        """No prompts ahead but those that the scheduler asks for."""

    def _collect(self) -> tuple[KVBatchMeta, dict[str, float]]:
        """The batch of the next step."""
        samples = self.run.steps.next()
        if samples is None:
            raise _RunIsOverError
        keys = self._groups.keys_of(self.run.steps.settled)
        tags = {key: self._groups.tags[key] for key in keys}
        places = self._places()
        rows = [
            UpdateRow(places[id(one.token_ids)], one, tags[places[id(one.token_ids)]]["prompt_len"]) for one in samples
        ]
        actor = self.config.actor_rollout_ref.actor
        aggregation = aggregation_of(
            actor.loss_agg_mode, actor.loss_scale_factor or self.settings.engine.max_new_tokens
        )
        self._update = Update.of(rows, tags, config=self.settings, aggregation=aggregation, keep_all=self._keeps_all)
        self._update.prepare(self.settings.train.temperature)
        self._groups.forget(keys)
        return self._update.batch, {}

    def _places(self) -> dict[int, str]:
        """Keys of rollouts by ``id`` of their tokens."""
        return self._groups.keys | {
            id(rollout.token_ids): key_of(request.id, session)
            for group in self.run.steps.groups
            for request, rollouts in group.parts()
            for session, rollout in enumerate(rollouts)
        }

    @property
    def _keeps_all(self) -> bool:
        """Whether rollouts without signal go through the model, as in verl."""
        return self.mode == "sync" and counts_silent(self.settings)

    @property
    def _leaves_out(self) -> bool:
        """Whether rows without signal can be left out of the update: its gradient and metrics stay the same.

        In one optimizer step all ratios are 1, and a row whose advantages are 0 adds nothing but its tokens to the
        denominators. KL and entropy would add their own gradients, and metrics of further steps their ratios.
        """
        actor = self.config.actor_rollout_ref.actor
        once = self._optimizer_steps * self.settings.optimizer.epochs == 1
        further = actor.use_kl_loss or actor.calculate_entropy or actor.entropy_coeff
        return self._keeps_all and once and not further and actor.loss_agg_mode != SUM

    def _step_once(self, metrics: dict[str, Any], timing_raw: dict[str, float], sample_batch_size: int) -> KVBatchMeta:
        batch = super()._step_once(metrics, timing_raw, sample_batch_size)
        update, self._update = self._update, None
        assert update is not None, "the buffer has made the update"
        self.run.steps.clock.add("train", time.perf_counter() - update.began)
        self.run.finish(update.stats(metrics, self._optimizer_steps * self.settings.optimizer.epochs))
        metrics |= {f"{PREFIX}{name}": value for name, value in numbers(self.run.record.latest).items()}
        self.run.record.tell()
        left = update.left_out
        return KVBatchMeta(
            keys=batch.keys + left.keys,
            tags=batch.tags + left.tags,
            partition_id=batch.partition_id,
            extra_info=batch.extra_info,
        )

    # -- the update ---------------------------------------------------------------------------------------------------

    @property
    def _optimizer_steps(self) -> int:
        """Optimizer steps of a pass over a batch."""
        return self.settings.optimizer.minibatches

    def _get_required_batch_multiple(self, dp_size: int) -> int:
        reference = self.use_reference_policy and not self.ref_in_actor
        trained, scored = micro_batches(self.config.actor_rollout_ref, reference=reference)
        return round_of(dp_size, self._optimizer_steps, trained, [] if self._updates_only else scored)

    @property
    def _multiple(self) -> int:
        """Rows of all processes in one round."""
        return self._get_required_batch_multiple(max(self.actor_rollout_wg._query_dispatch_info("actor")) + 1)

    @contextmanager
    def _only_the_update(self) -> Iterator[None]:
        """For the body, batches are divisible for optimizer steps, and need not be for passes without gradient."""
        self._updates_only = True
        try:
            yield
        finally:
            self._updates_only = False

    def _balance_batch(self, batch: KVBatchMeta, *others: Any, **named: Any) -> KVBatchMeta:
        assert self._update is not None, "the buffer has made the update"
        self._update.pad(padded(batch, self._multiple, self.tokenizer.eos_token_id))
        self._update.batch = super()._balance_batch(self._update.batch, *others, **named)
        if self._leaves_out:
            with self._only_the_update():
                self._update.leave_out_silent(self._multiple)
        return self._update.batch

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        assert self._update is not None, "the buffer has made the update"
        return self._update.credit()

    def _update_actor(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        """verl's, with as many optimizer steps of as many rows as the batch has."""
        assert self._update is not None, "the buffer has made the update"
        trained = batch
        if len(self._update.trained) < len(batch):
            with self._only_the_update():
                trained = super()._balance_batch(batch.select_keys(self._update.trained.keys), {})
        if self._update.counted < len(trained):
            trained.extra_info[COUNTED] = self._update.counted / self._optimizer_steps
        rows = len(trained) // self._optimizer_steps
        sizes = {"actor.ppo_mini_batch_size": rows, "rollout.n": 1}
        with configured(self.config.actor_rollout_ref, sizes):
            super()._update_actor(trained, metrics)
        if self.settings.posterior.half_life is not None:
            self._update.moved = moved(self._update, self.actor_rollout_wg.compute_log_prob, self._multiple)
        return batch

    def _val_metrics_update(
        self, data_sources: Any, sample_uids: Any, reward_extra_infos_dict: Any, *others: Any, **named: Any
    ) -> dict[str, float]:
        """verl's, with those of a run: greedy ones, unless its validation samples."""
        rewards = [float(value) for value in reward_extra_infos_dict.get("reward", ())]
        greedy = self.config.actor_rollout_ref.rollout.val_kwargs.temperature == 0
        self.run.record.add(evaluated(rewards, self.settings.task.success_threshold, greedy=greedy))
        found: dict[str, float] = super()._val_metrics_update(
            data_sources, sample_uids, reward_extra_infos_dict, *others, **named
        )
        return found

    # -- the run ------------------------------------------------------------------------------------------------------

    def fit(self, agent_loop_manager: Any) -> None:
        """Train as verl does, with run files."""
        self.agent_loop_manager = agent_loop_manager
        resumed = self._state is not None
        facts = facts_of(self.config, parameters=self.run.parameters, held_out=len(self.val_dataset))
        held_out = held_out_tasks(self.val_dataset, self.config.data.prompt_key)
        first = {"trainer.val_before_train": validates_first(self.config.trainer, self.global_steps, resumed=resumed)}
        with self.run.opened(self._state, resumable=resumed, profile=self._profile, evaluated_on=held_out, **facts):
            try:
                with configured(self.config, first):
                    super().fit(agent_loop_manager)
            except _RunIsOverError:
                self.run.record.warn(f"the run is over: {self.run.steps.over}")
                self._shutdown_dump_executor()

    def _profile(self) -> Profile | None:
        if not needs_profile(self.settings):
            return given_profile(self.settings, self.run.tasks)
        play = self._groups.play_apart
        return kept_profile(
            self.settings, self.run.tasks, play, self._directory, parameters=self.run.parameters, say=print
        )

    def _save_checkpoint(self) -> None:
        save_state(self.config.trainer, self.global_steps, self.run.state_dict())
        super()._save_checkpoint()

    def _load_checkpoint(self) -> None:
        check_checkpoints(self.config.trainer)  # once more: the entry point may be on another machine
        super()._load_checkpoint()
        self._state = load_state(self.config.trainer, self.global_steps)

    def _reissue_inflight_prompts(self, partition_id: str = PARTITION) -> int:
        """Keep the finished groups that the scheduler has; it asks again for what was in flight."""
        if partition_id == PARTITION and self._state is not None:
            self._groups.keep(told_requests(self._state))
        return 0


@register_trainer("rekindle")
class RekindleSync(RecipeTrainer, PPOTrainerSync):
    """Rollouts, then the update on them, on the same machines."""

    mode = "sync"


@register_trainer("rekindle_colocate_async")
class RekindleColocateAsync(RecipeTrainer, PPOTrainerColocateAsync):
    """Rollouts that an update interrupts go on afterwards, on the same machines."""

    mode = "colocate_async"


@register_trainer("rekindle_separate_async")
class RekindleSeparateAsync(RecipeTrainer, PPOTrainerSeparateAsync):
    """Rollouts on machines of their own, during the update."""

    mode = "separate_async"
