"""rekindle on verl: verl owns engines, workers and the optimizer, we own prompts, groups and credit."""
