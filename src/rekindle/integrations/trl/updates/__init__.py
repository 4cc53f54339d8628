"""From training samples to TRL's micro-batches, and the numbers of an update."""
