"""Which prompts to roll out, how often, at which temperature; the fate of every rollout. No torch, network or clock."""
