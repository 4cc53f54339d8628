"""What a person sees of a run: progress while it goes, the run directory afterwards, and the HTML report."""
