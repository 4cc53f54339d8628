"""Start policies of the embedded tasks: tiny models made from scratch that imitate noisy teachers, before any run."""
