"""What a GPU is to show: speed against its own bounds, agreement, and the papers' claims at a larger size."""
