"""Which prompts to roll out, how often and how hot, and what became of every rollout. No torch, network or clock."""
