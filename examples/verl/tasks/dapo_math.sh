# DAPO-Math-17k, about 17,400 distinct prompts: long solutions, and four optimizer steps for each batch of 128 groups.
overrides+=(
  "data.train_files=$DATA/dapo_math/train.parquet"
  "data.val_files=$DATA/dapo_math/aime-2024.parquet"
  data.max_prompt_length=1024
  data.max_response_length=8192
  data.train_batch_size=128
  actor_rollout_ref.actor.ppo_mini_batch_size=32
  # AIME 2024 has 30 problems, and the file repeats each: sampled answers, and their mean.
  actor_rollout_ref.rollout.val_kwargs.do_sample=True
  actor_rollout_ref.rollout.val_kwargs.temperature=1.0
  actor_rollout_ref.rollout.val_kwargs.top_p=0.7
  trainer.total_training_steps=400
)
