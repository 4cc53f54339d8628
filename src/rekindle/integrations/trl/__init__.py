"""rekindle's methods inside TRL's GRPOTrainer."""
