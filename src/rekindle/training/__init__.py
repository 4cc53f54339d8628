"""The training loop, the trainer that updates the weights, and the files of a run."""
