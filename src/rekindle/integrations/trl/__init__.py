"""rekindle inside TRL's GRPOTrainer."""
