"""Scheduling: prompt selection, group sizes, temperatures, gates, and the ledger. No torch, network or clock."""
