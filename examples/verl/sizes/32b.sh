# Qwen2.5-32B. Its weights, gradients and optimizer state are 524 GB: on fewer than 16 GPUs they stay in the memory of
# the host, and the optimizer steps there.
MODEL=${MODEL:-Qwen/Qwen2.5-32B-Instruct}
overrides+=(
  actor_rollout_ref.actor.ppo_max_token_len_per_gpu=10240
  actor_rollout_ref.rollout.tensor_model_parallel_size=4
)
if ((NODES * GPUS < 16)); then
  overrides+=(actor_rollout_ref.actor.fsdp_config.offload_policy=True)
fi
