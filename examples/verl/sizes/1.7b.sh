# Qwen3-1.7B without its thinking mode, whose long thoughts would fill the responses.
MODEL=${MODEL:-Qwen/Qwen3-1.7B}
overrides+=(
  +data.apply_chat_template_kwargs.enable_thinking=False
  actor_rollout_ref.actor.ppo_max_token_len_per_gpu=24576
  actor_rollout_ref.rollout.tensor_model_parallel_size=1
)
