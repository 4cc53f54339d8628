# SGLang: the share of the memory for weights and KV cache alone, so that activations need room beside it.
overrides+=(
  actor_rollout_ref.rollout.name=sglang
  actor_rollout_ref.rollout.gpu_memory_utilization=0.5
)
