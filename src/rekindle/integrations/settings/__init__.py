"""From another trainer's settings and a recipe to a configuration: what TRL and verl share; without torch."""
