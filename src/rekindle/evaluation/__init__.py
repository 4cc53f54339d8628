"""Accuracy on held-out prompts."""
