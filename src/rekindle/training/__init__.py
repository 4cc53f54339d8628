"""From a batch of groups to new weights, and the loop around it."""
