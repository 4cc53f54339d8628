"""What every run writes about itself, whoever trains: run directory, files, metrics of a step, samples, health."""
