"""Statistics of runs over seeds: Student's t, intervals, paired comparisons, and their correction for multiplicity."""
