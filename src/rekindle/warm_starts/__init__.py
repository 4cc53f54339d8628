"""Warm starts of the embedded tasks: tiny models from scratch that imitate noisy teachers, before a run."""
