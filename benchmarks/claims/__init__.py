"""The claims of five papers, each measured by one command beside its controls: ``python benchmarks/claims``."""
