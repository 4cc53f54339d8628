"""The versions that the integration was tested with: of verl, of what verl forgets to require, and of Python.

``check_versions`` costs milliseconds and runs before Ray starts. The internal names of verl are compared where verl's
trainer is imported anyway (``check_contract``); the tests of ``make test-verl`` compare all of them.
"""

import sys

from rekindle.integrations.contracts import Contract, installed, release
from rekindle.types import UserError

__all__ = [
    "ATTRIBUTES",
    "BEFORE",
    "BEFORE_PYTHON",
    "FORGOTTEN",
    "FUNCTIONS",
    "KEYS",
    "LOWEST",
    "RANGE",
    "check_contract",
    "check_versions",
    "contract",
]

LOWEST, BEFORE = (0, 9, 1), (0, 10, 0)
"""The range of releases that the tests ran with: the first of them, and the first that is not one of them."""
RANGE = "verl>=0.9.1,<0.10"
"""The same as a requirement for pip; that of the extra in pyproject.toml."""
BEFORE_PYTHON = (3, 13)
"""The first Python that verl does not allow."""

FORGOTTEN = ("TransferQueue", "cachetools", "fastapi", "uvicorn")
"""What verl's default trainer imports, and verl does not require."""

PLATFORM, ROLLOUT = "verl.plugin.platform", "verl.workers.rollout"
V1 = "verl.trainer.ppo.v1"
TRAINER, WORKER = f"{V1}.trainer_base:PPOTrainer", "verl.workers.engine_workers:ActorRolloutRefWorker"

FUNCTIONS = {
    "verl.utils.config:validate_config": "config, use_reference_policy, use_critic",
    "verl.trainer.main_ppo:run_ppo": "config, task_runner_class",
    "verl.models.transformers.monkey_patch:is_trl_available": "",
    "verl.utils.distributed:initialize_global_process_group_ray": "timeout_second, backend",
    f"{PLATFORM}:set_platform": "platform",
    f"{PLATFORM}:PlatformRegistry.register": "platform",
    "verl.checkpoint_engine.base:CheckpointEngineRegistry.register": "backend",
    "verl.checkpoint_engine.base:CheckpointEngine.build_topology": "actor_wg_world_size, rollout_world_size, metadata",
    "verl.checkpoint_engine.base:CheckpointEngine.send_weights": "self, weights, global_steps",
    "verl.checkpoint_engine.base:CheckpointEngine.receive_weights": "self, global_steps",
    f"{ROLLOUT}.base:BaseRollout.__init__": "self, config, model_config, device_mesh, args, kwargs",
    f"{ROLLOUT}.base:BaseRollout.update_weights": "self, weights, wire_format, kwargs",
    f"{ROLLOUT}.base:BaseRollout.resume": "self, tags",
    f"{ROLLOUT}.base:BaseRollout.release": "self",
    f"{ROLLOUT}.replica:RolloutReplica.launch_servers": "self",
    f"{ROLLOUT}.replica:RolloutReplica.abort_all_requests": "self, reject_request",
    f"{ROLLOUT}.replica:RolloutReplicaRegistry.register": "name, loader",
    f"{ROLLOUT}.utils:ensure_async_iterator": "iterable",
    f"{ROLLOUT}.llm_server:LLMServerClient.generate": (
        "self, request_id, prompt_ids, sampling_params, image_data, video_data, audio_data, mm_processor_kwargs, kwargs"
    ),
    f"{V1}.trainer_base:register_trainer": "name",
    f"{TRAINER}.__init__": "self, config",
    f"{TRAINER}._build_replay_buffer": "self",
    f"{TRAINER}._init_dataloader": "self",
    f"{TRAINER}._init_resource_pool_mgr": "self",
    f"{TRAINER}.prepare_step": "self",
    f"{TRAINER}.on_train_begin": "self",
    f"{TRAINER}._step_once": "self, metrics, timing_raw, sample_batch_size",
    f"{TRAINER}._get_required_batch_multiple": "self, dp_size",
    f"{TRAINER}._balance_batch": "self, batch, metrics, logging_prefix, keep_minibatch",
    f"{TRAINER}._compute_advantage": "self, batch, metrics",
    f"{TRAINER}._update_actor": "self, batch, metrics",
    f"{TRAINER}._val_metrics_update": (
        "self, data_sources, sample_uids, reward_extra_infos_dict, sample_turns, expected_acc_counts"
    ),
    f"{TRAINER}.fit": "self, agent_loop_manager",
    f"{TRAINER}._save_checkpoint": "self",
    f"{TRAINER}._load_checkpoint": "self",
    f"{TRAINER}._reissue_inflight_prompts": "self, partition_id",
    f"{TRAINER}._submit_batch_to_rollout": "self, batch",
    f"{TRAINER}._shutdown_dump_executor": "self",
    f"{V1}.replay_buffer:ReplayBuffer.__init__": (
        "self, trainer_mode, trainer_config, max_off_policy_threshold, max_off_policy_strategy, sampler_kwargs, "
        "poll_interval, refill_fn, filter_groups_metric, train_batch_size, gen_batch_size, max_inflight_gen_batches, "
        "sync_refill_failed_groups"
    ),
    f"{V1}.replay_buffer:ReplayBuffer.sample": "self, global_steps, partition_id, batch_size",
    f"{V1}.agent_loop_tq:AgentLoopManagerTQ.__init__": "self, args, kwargs",
    "verl.experimental.agent_loop.agent_loop:AgentLoopWorker._agent_loop_postprocess": "self, output, validate, kwargs",
    "verl.experimental.agent_loop.agent_loop:AgentLoopWorker._compute_score": "self, outputs, kwargs",
    "transfer_queue:get_client": "",
    "transfer_queue:TransferQueueClient.kv_retrieve_meta": "self, keys, partition_id, create",
    f"{WORKER}.compute_log_prob": "self, data",
    f"{WORKER}.compute_ref_log_prob": "self, data",
    f"{WORKER}.update_actor": "self, data",
    "verl.trainer.ppo.padding_utils:construct_minimal_padding_template": "source_td, source_tag, eos_token_id",
    "verl.utils.tensordict_utils:list_of_dict_to_tensordict": "list_of_dicts",
    "verl.utils.tensordict_utils:get_tensordict": "tensor_dict, non_tensor_dict",
    "verl.utils.dataset.rl_dataset:collate_fn": "data_list",
}
"""Functions of verl that the integration overrides or calls: "module:name" -> their parameters, in order."""

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    f"{ROLLOUT}.base:": ("_ROLLOUT_REGISTRY",),
    f"{ROLLOUT}.base:BaseRollout": ("config",),
    f"{ROLLOUT}.replica:RolloutReplica": (
        "replica_rank",
        "config",
        "model_config",
        "name_suffix",
        "servers",
        "_server_address",
        "_server_handle",
    ),
    f"{ROLLOUT}.replica:TokenOutput": ("token_ids", "log_probs", "stop_reason", "extra_fields"),
}
"""Attributes that these classes give to their objects, and names of modules."""

KEYS: dict[str, tuple[str, ...]] = {
    f"{ROLLOUT}.llm_server:FullyAsyncLLMServerClient.generate": ("max_tokens", "aborted", "global_steps"),
    f"{TRAINER}._update_actor": ("mini_batch_size", "global_batch_size", "temperature"),
    f"{TRAINER}._compute_old_log_prob": ("old_log_probs", "entropy", "log_probs"),
    f"{TRAINER}._submit_batch_to_rollout": ("uid", "is_prompt", "status", "pending"),
}
"""Keys and words that these functions of verl read or write."""


def contract() -> Contract:
    """The internal names, to be compared with those of the installed packages."""
    return Contract("rekindle.integrations.verl", RANGE, FUNCTIONS, ATTRIBUTES, KEYS)


def check_contract() -> None:
    """Check the functions of verl that the integration relies on.

    Raises:
        UserError: One of them changed.
    """
    for sentence in contract().missing_functions():
        raise UserError(sentence)


def check_versions() -> None:
    """Check that what is installed was tested.

    Raises:
        UserError: Python is too new for verl, there is no verl, it is an untested release, or what it needs is missing.
    """
    remedy = 'run: pip install "rekindle[verl]"'
    if sys.version_info[:2] >= BEFORE_PYTHON:
        raise UserError(
            f"this is Python {sys.version_info[0]}.{sys.version_info[1]}, for which there is no verl; make an "
            f"environment with Python 3.12, and {remedy}"
        )
    found = installed("verl")
    if found is None:
        raise UserError(f"rekindle.integrations.verl needs verl, which is not installed; {remedy}")
    if not LOWEST <= release(found) < BEFORE:
        raise UserError(
            f"verl {found} is installed, and rekindle.integrations.verl was tested with {RANGE}; "
            f'run: pip install "{RANGE}"'
        )
    absent = [name for name in FORGOTTEN if installed(name) is None]
    if absent:
        raise UserError(f"verl's trainer needs {' and '.join(absent)}, which verl does not install by itself; {remedy}")
