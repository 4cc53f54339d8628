"""From a configuration to the parts of a method, without torch: what a loop, an integration or a plan stands on."""

from rekindle.methods.credit import build_credit, proposer_credit
from rekindle.methods.scheduler import build_scheduler, needs_profile

__all__ = ["build_credit", "build_scheduler", "needs_profile", "proposer_credit"]
