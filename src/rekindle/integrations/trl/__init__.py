"""rekindle inside TRL."""
