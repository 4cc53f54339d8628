"""Which prompts to roll out, how many times and how hot; what became of every rollout. No torch, no network, no clock."""
