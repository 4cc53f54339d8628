# MATH, 7,500 prompts: solutions of some hundred tokens, and one optimizer step for each batch of 256 groups.
overrides+=(
  "data.train_files=$DATA/math/train.parquet"
  "data.val_files=$DATA/math/test.parquet"
  data.max_prompt_length=1024
  data.max_response_length=1024
  data.train_batch_size=256
  actor_rollout_ref.actor.ppo_mini_batch_size=256
  trainer.total_training_steps=200
)
