# vLLM: its share of all memory, for weights and KV cache. It is empty while the model is trained.
overrides+=(
  actor_rollout_ref.rollout.name=vllm
  actor_rollout_ref.rollout.gpu_memory_utilization=0.6
)
