"""How a task is played with an engine: ordinary control flow."""
