"""Environments: how a task is played with an engine, as ordinary control flow."""
