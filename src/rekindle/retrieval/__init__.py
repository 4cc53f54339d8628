"""Retrieval of passages: local indexes, and an HTTP client and server."""
