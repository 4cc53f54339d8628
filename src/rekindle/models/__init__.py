"""A causal language model as the engine and the trainer share it."""
