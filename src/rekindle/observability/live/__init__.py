"""Live displays of a run: what they show, in a terminal and in a notebook."""
