"""From TRL's arguments and a recipe to the configuration of a run; without TRL and torch."""
