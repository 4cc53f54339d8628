"""Construction of a method's scheduler and credit from a configuration, without torch; for loops and integrations."""

from rekindle.methods.credit import build_credit, proposer_credit
from rekindle.methods.scheduler import build_scheduler, needs_profile

__all__ = ["build_credit", "build_scheduler", "needs_profile", "proposer_credit"]
