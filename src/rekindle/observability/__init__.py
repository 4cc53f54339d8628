"""Progress display, step log, reading of run directories, and the HTML report."""
