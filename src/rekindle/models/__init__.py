"""The causal language model shared by engine and trainer: loading, packed forward pass, kernels."""
