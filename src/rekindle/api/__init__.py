"""The commands as functions for scripts; the command line is their first caller."""
