"""verl with a recipe of rekindle."""
