"""Rollouts from TRL's own generation and reward functions, each row with a temperature and a seed of its own."""
