# Qwen2.5-7B.
MODEL=${MODEL:-Qwen/Qwen2.5-7B-Instruct}
overrides+=(
  actor_rollout_ref.actor.ppo_max_token_len_per_gpu=16384
  actor_rollout_ref.rollout.tensor_model_parallel_size=1
)
