"""rekindle inside other trainers."""
