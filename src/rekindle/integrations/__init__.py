"""rekindle inside other trainers: they own models, processes and the optimizer, we own prompts, groups and credit."""
