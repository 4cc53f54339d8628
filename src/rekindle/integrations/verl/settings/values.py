"""The settings of verl that rekindle reads, with verl's own defaults.

A setting counts as set where it differs from verl's default: a composed configuration keeps no record of overrides.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

__all__ = ["ACTOR", "DEFAULTS", "MANAGER", "MODES", "ROLLOUT", "V1", "Values", "composed_by_default"]

ACTOR, ROLLOUT, V1 = "actor_rollout_ref.actor", "actor_rollout_ref.rollout", "trainer.v1"
MODES: Mapping[str, str] = MappingProxyType(
    {
        "rekindle": "sync",
        "rekindle_colocate_async": "colocate_async",
        "rekindle_separate_async": "separate_async",
    }
)
"""Trainer mode of verl by the one of ours that is made of it (``trainer.v1.trainer_mode``)."""
MANAGER = "rekindle.integrations.verl.agent_loops.RowAgentLoopManager"
"""Agent loop manager that samples every row at its own temperature."""

DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "actor_rollout_ref.model.path": "~/models/deepseek-llm-7b-chat",
        "actor_rollout_ref.model.use_fused_kernels": False,
        f"{ACTOR}.strategy": "fsdp",
        f"{ACTOR}.ppo_mini_batch_size": 256,
        f"{ACTOR}.ppo_micro_batch_size": None,
        f"{ACTOR}.use_dynamic_bsz": False,
        f"{ACTOR}.ppo_epochs": 1,
        f"{ACTOR}.entropy_coeff": 0.0,
        f"{ACTOR}.clip_ratio": 0.2,
        f"{ACTOR}.clip_ratio_low": 0.2,
        f"{ACTOR}.clip_ratio_high": 0.2,
        f"{ACTOR}.clip_ratio_c": 3.0,
        f"{ACTOR}.policy_loss.loss_mode": "vanilla",
        f"{ACTOR}.loss_agg_mode": "token-mean",
        f"{ACTOR}.loss_scale_factor": None,
        f"{ACTOR}.use_kl_loss": False,
        f"{ACTOR}.kl_loss_coef": 0.001,
        f"{ACTOR}.kl_loss_type": "low_var_kl",
        f"{ACTOR}.optim.lr": 1e-6,
        f"{ACTOR}.optim.lr_warmup_steps": -1,
        f"{ACTOR}.optim.lr_warmup_steps_ratio": 0.0,
        f"{ACTOR}.optim.lr_scheduler_type": "constant",
        f"{ACTOR}.optim.weight_decay": 0.01,
        f"{ACTOR}.optim.betas": (0.9, 0.999),
        f"{ACTOR}.optim.clip_grad": 1.0,
        f"{ROLLOUT}.n": 1,
        f"{ROLLOUT}.temperature": 1.0,
        f"{ROLLOUT}.top_p": 1.0,
        f"{ROLLOUT}.top_k": -1,
        f"{ROLLOUT}.do_sample": True,
        f"{ROLLOUT}.seed": 42,
        f"{ROLLOUT}.name": None,
        f"{ROLLOUT}.skip_tokenizer_init": True,
        f"{ROLLOUT}.response_length": 512,
        f"{ROLLOUT}.calculate_log_probs": True,
        f"{ROLLOUT}.logprobs_mode": "processed_logprobs",
        f"{ROLLOUT}.log_prob_micro_batch_size": None,
        f"{ROLLOUT}.nnodes": 0,
        f"{ROLLOUT}.n_gpus_per_node": 8,
        f"{ROLLOUT}.checkpoint_engine.backend": "naive",
        f"{ROLLOUT}.agent.agent_loop_manager_class": None,
        "algorithm.adv_estimator": "gae",
        "algorithm.norm_adv_by_std_in_grpo": True,
        "algorithm.gamma": 1.0,
        "algorithm.use_kl_in_reward": False,
        "algorithm.filter_groups.enable": False,
        "algorithm.rollout_correction.bypass_mode": False,
        "algorithm.rollout_correction.rollout_is": None,
        "algorithm.rollout_correction.rollout_is_threshold": 2.0,
        "algorithm.rollout_correction.rollout_is_batch_normalize": False,
        "algorithm.rollout_correction.rollout_rs": None,
        "critic.enable": None,
        "data.train_files": "~/data/rlhf/gsm8k/train.parquet",
        "data.val_files": "~/data/rlhf/gsm8k/test.parquet",
        "data.train_batch_size": 1024,
        "data.gen_batch_size": None,
        "data.seed": None,
        "data.shuffle": True,
        "data.sampler": None,
        "distillation.enabled": False,
        "reward.custom_reward_function.path": None,
        "reward.custom_reward_function.name": "compute_score",
        "reward.reward_model.enable": False,
        "reward.reward_model.enable_resource_pool": False,
        "skip.rollout.enable": False,
        "skip.rollout_tq.enable": False,
        "skip.async_rollout.enable": False,
        "trainer.critic_warmup": 0,
        "trainer.max_actor_ckpt_to_keep": None,
        "trainer.total_epochs": 30,
        "trainer.total_training_steps": None,
        "trainer.use_v1": True,
        f"{V1}.trainer_mode": "sync",
        f"{V1}.separate_async.parameter_sync_step": 4,
        **{f"{V1}.{mode}.parameter_sync_step": None for mode in ("sync", "colocate_async", *MODES)},
        f"{V1}.sampler.custom_sampler.path": None,
        f"{V1}.sampler.sync_refill_failed_groups": False,
    }
)
"""verl's defaults by path: those of ``ppo_trainer.yaml``; of what it does not have, None."""
ADDED = frozenset(
    {
        *(f"{V1}.{mode}.parameter_sync_step" for mode in ("sync", "colocate_async", *MODES)),
        f"{ROLLOUT}.agent.agent_loop_manager_class",
        "data.sampler",
    }
)
"""Settings that ``ppo_trainer.yaml`` does not have."""
WHOLE_NUMBERS = ("data.seed", "trainer.total_training_steps")
"""Settings that are whole numbers where they are given."""
MAY_BE_NULL = (f"{ACTOR}.clip_ratio_low", f"{ACTOR}.clip_ratio_high", f"{ACTOR}.optim.clip_grad")
"""Settings that null switches off."""
KINDS: Mapping[type, str] = {bool: "True or False", int: "whole number", float: "number", tuple: "pair of numbers"}
NOT_GIVEN = "???"
"""OmegaConf's sign for a value that has to be given."""
MISSING: Any = object()


def composed_by_default() -> frozenset[str]:
    """Paths of the settings that verl's default configuration has."""
    return frozenset(DEFAULTS) - ADDED


@dataclass(frozen=True, slots=True)
class Values:
    """The settings that rekindle reads, by path; what is missing has verl's default."""

    found: Mapping[str, Any]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Values":
        """The settings of verl's composed configuration, as nested tables."""
        found = {path: value for path in DEFAULTS if (value := _inside(config, path)) is not MISSING}
        return cls({**DEFAULTS, **found})

    def at(self, path: str) -> Any:
        """The value of a setting."""
        return self.found[path]

    def is_set(self, path: str) -> bool:
        """Whether a setting differs from verl's default."""
        return bool(_plain(self.found[path]) != _plain(DEFAULTS[path]))

    def changed(self, changes: Mapping[str, Any]) -> "Values":
        """The settings with changes by path; those that are not read are left out."""
        return Values({**self.found, **{path: value for path, value in changes.items() if path in DEFAULTS}})

    def of_another_kind(self) -> Iterator[tuple[str, Any, str]]:
        """Settings of another kind than verl's default, with their value, and what they have to be."""
        for path, default in DEFAULTS.items():
            value = self.found[path]
            kind = int if path in WHOLE_NUMBERS else type(default)
            optional = value is None and (default is None or path in MAY_BE_NULL)
            if not optional and kind in KINDS and not _is_of_kind(value, kind):
                yield path, value, KINDS[kind]

    @property
    def mode(self) -> str:
        """The trainer mode of verl that the run is made of."""
        mode = str(self.at(f"{V1}.trainer_mode"))
        return MODES.get(mode, mode)


def _inside(config: Any, path: str) -> Any:
    for part in path.split("."):
        config = config.get(part, MISSING) if isinstance(config, Mapping) else MISSING
    return MISSING if isinstance(config, str) and config == NOT_GIVEN else config


def _is_of_kind(value: Any, kind: type) -> bool:
    if kind is tuple:
        return isinstance(value, list | tuple) and len(value) == 2 and all(_is_of_kind(one, float) for one in value)
    if kind is bool:
        return isinstance(value, bool)
    number = isinstance(value, int) or (kind is float and isinstance(value, float))
    return number and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    """A value that compares with others of its kind, whether it is a list or a tuple."""
    return list(value) if isinstance(value, list | tuple) else value
