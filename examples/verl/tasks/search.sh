# Search-R1: questions of Natural Questions and HotpotQA, answered by searching Wikipedia, in conversations whose turns
# and documents together have at most max_response_length tokens.
RETRIEVER=${RETRIEVER:-http://127.0.0.1:8000/retrieve}
overrides+=(
  "data.train_files=$DATA/nq_hotpotqa_train/train.parquet"
  "data.val_files=$DATA/nq_hotpotqa_train/test.parquet"
  data.val_max_samples=1024
  data.max_prompt_length=1024
  data.max_response_length=4096
  data.train_batch_size=256
  actor_rollout_ref.actor.ppo_mini_batch_size=128
  actor_rollout_ref.rollout.agent.default_agent_loop=rekindle_search
  actor_rollout_ref.rollout.skip_tokenizer_init=False # the tags that end a turn are texts, which SGLang reads only so
  +rekindle.task.environment=search
  +rekindle.task.verifier=qa_exact_match
  "+rekindle.search.prompt='{question}'" # the prompts of Search-R1 have the instructions
  +rekindle.search.max_turns=4
  +rekindle.search.max_queries=1
  +rekindle.search.documents=3
  +rekindle.retriever.kind=http
  "+rekindle.retriever.url=$RETRIEVER"
  trainer.total_training_steps=500
)
