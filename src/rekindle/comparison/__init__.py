"""Comparison of runs: arms and their seeds, accuracy at equal cost, cost to a target, and the page that shows them."""
