"""A tiny model with its prompts, and the overrides of verl's configuration with which it trains on a CPU."""

import json
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
ENVIRONMENT = {
    "VERL_USE_EXTERNAL_MODULES": "rekindle.integrations.verl.cpu,rekindle.integrations.verl.plugin",
    "VERL_LOGGING_LEVEL": "WARNING",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_prestart_worker_first_driver": "0",
    "TRANSFER_QUEUE_ENABLE": "1",
    "RAY_DEDUP_LOGS": "0",
    "RAY_worker_niceness": "0",
    "RAY_memory_monitor_refresh_ms": "0",
    "OMP_NUM_THREADS": "1",
    "PYTHONUNBUFFERED": "1",
}
"""Variables that every process of a run has."""


FLOAT32 = ("param_dtype", "reduce_dtype", "buffer_dtype")
"""What FSDP has in float32."""


@dataclass(frozen=True)
class Run:
    """A run of verl's.

    Attributes:
        out: Its folder: checkpoints and metrics.jsonl.
        mode: ``trainer.v1.trainer_mode``.
        steps: Optimizer steps.
        prompts: Prompts of a step.
        group: Rollouts of a prompt.
        ranks: Ranks of the trainer. They have one rollout server together.
        reward: Name of a function of ``tiny_rewards.py``.
        changes: Further overrides, which win: ``("algorithm.adv_estimator=rloo", ...)``.
        moment: ``MODULE:PATH`` of a function; the driver kills itself at the beginning of its call ``at``.
        at: Number of the call, from 1.
    """

    out: str
    mode: str = "sync"
    steps: int = 3
    prompts: int = 4
    group: int = 4
    ranks: int = 2
    reward: str = "odd"
    changes: list[str] = field(default_factory=list)
    moment: str = ""
    at: int = 1


def made_assets(directory):
    """Write model, tokenizer, and the rows of 40 sums for training and 8 for validation; return the directory."""
    import pyarrow
    import pyarrow.parquet

    from rekindle.warm_starts.tiny_tokenizers import character_tokenizer
    from tiny_qwen import CHARACTERS, LONGEST, made_model

    tokenizer = character_tokenizer(CHARACTERS, LONGEST)
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    made_model(tokenizer).save_pretrained(directory / "model")
    tokenizer.save_pretrained(directory / "model")
    rows = [row(number) for number in range(48)]
    for name, part in (("train", rows[:40]), ("val", rows[40:])):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(part), directory / f"{name}.parquet")
    return directory


SEPARATE = [
    "trainer.v1.trainer_mode=separate_async",
    "actor_rollout_ref.hybrid_engine=False",
    "actor_rollout_ref.rollout.checkpoint_engine.backend=rekindle_cpu",
    "actor_rollout_ref.rollout.tensor_model_parallel_size=1",
    "actor_rollout_ref.rollout.nnodes=1",
    "actor_rollout_ref.rollout.n_gpus_per_node=1",
    "trainer.v1.separate_async.parameter_sync_step=1",
]
"""Changes with which a rollout server has a made-up GPU of its own; the mode may be ours."""
REFERENCE = [
    "actor_rollout_ref.actor.use_kl_loss=True",
    "actor_rollout_ref.actor.kl_loss_coef=0.1",
    "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu=1",
    "actor_rollout_ref.ref.use_torch_compile=False",
    "actor_rollout_ref.ref.fsdp_config.use_torch_compile=False",
    "actor_rollout_ref.ref.fsdp_config.dtype=float32",
    *(f"+actor_rollout_ref.ref.fsdp_config.mixed_precision.{name}=fp32" for name in FLOAT32),
]
"""Changes with which the loss has a KL term."""
LORA = [
    "actor_rollout_ref.model.lora_rank=4",
    "actor_rollout_ref.model.lora_alpha=8",
    "actor_rollout_ref.model.lora.merge=True",
]
"""Changes with which adapters are trained, and merged for rollouts."""


def row(number):
    """A row in verl's columns."""
    first, second = number % 10, number // 10
    return {
        "prompt": [{"role": "user", "content": f"{first}+{second}="}],
        "data_source": "sums",
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": str(first + second)},
        "extra_info": {"index": number, "split": "train"},
    }


def overrides(run, assets):
    """The overrides of ``python -m verl.trainer.main_ppo`` for a run."""
    rows = run.prompts * run.group
    return [
        "algorithm.adv_estimator=grpo",
        f"data.train_files={assets}/train.parquet",
        f"data.val_files={assets}/val.parquet",
        f"data.train_batch_size={run.prompts}",
        "data.max_prompt_length=16",
        "data.max_response_length=8",
        "data.dataloader_num_workers=0",
        "data.seed=3",
        *_actor_and_rollout(run, assets, rows),
        "reward.num_workers=1",
        f"reward.custom_reward_function.path={HERE}/tiny_rewards.py",
        f"reward.custom_reward_function.name={run.reward}",
        "trainer.device=cpu",
        f"trainer.n_gpus_per_node={run.ranks}",
        "trainer.nnodes=1",
        f"trainer.v1.trainer_mode={run.mode}",
        "trainer.logger=[console,file]",
        f"trainer.project_name={run.out}",
        "trainer.experiment_name=metrics",
        f"trainer.default_local_dir={run.out}/checkpoints",
        "trainer.val_before_train=False",
        "trainer.test_freq=-1",
        "trainer.save_freq=-1",
        f"trainer.total_training_steps={run.steps}",
        "trainer.total_epochs=1000",
        "trainer.resume_mode=disable",
        "transfer_queue.backend.SimpleStorage.num_data_storage_units=1",
        *run.changes,
    ]


def _actor_and_rollout(run, assets, rows):
    return [
        f"actor_rollout_ref.model.path={assets}/model",
        "actor_rollout_ref.model.use_remove_padding=False",
        "actor_rollout_ref.model.enable_gradient_checkpointing=False",
        "+actor_rollout_ref.model.override_config.attn_implementation=sdpa",
        "actor_rollout_ref.actor.strategy=fsdp2",
        f"actor_rollout_ref.actor.ppo_mini_batch_size={run.prompts}",
        f"actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu={rows // run.ranks}",
        "actor_rollout_ref.actor.optim.lr=1e-3",
        "actor_rollout_ref.actor.use_torch_compile=False",
        "actor_rollout_ref.actor.fsdp_config.use_torch_compile=False",
        "actor_rollout_ref.actor.fsdp_config.dtype=float32",
        *(f"+actor_rollout_ref.actor.fsdp_config.mixed_precision.{name}=fp32" for name in FLOAT32),
        "actor_rollout_ref.rollout.name=rekindle_cpu",
        f"actor_rollout_ref.rollout.n={run.group}",
        f"actor_rollout_ref.rollout.tensor_model_parallel_size={run.ranks}",
        "actor_rollout_ref.rollout.agent.num_workers=1",
        f"actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu={rows // run.ranks}",
        "actor_rollout_ref.rollout.free_cache_engine=False",
        "actor_rollout_ref.rollout.dtype=float32",
        "actor_rollout_ref.rollout.calculate_log_probs=True",
    ]


def cluster_overrides(ranks):
    """Overrides with which verl starts Ray itself: made-up GPUs and CPUs, and no dashboard."""
    return [
        "ray_kwargs.ray_init.num_cpus=16",
        f"+ray_kwargs.ray_init.num_gpus={ranks}",
        "+ray_kwargs.ray_init.include_dashboard=False",
        f"+ray_kwargs.ray_init.object_store_memory={OBJECT_STORE_BYTES}",
    ]


OBJECT_STORE_BYTES = 200_000_000


def read_metrics(out):
    """The metrics of a run: a dictionary per step."""
    path = Path(out) / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [{"step": line["step"], **line["data"]} for line in map(json.loads, lines)]
