"""Engines: they sample completions from the policy."""
