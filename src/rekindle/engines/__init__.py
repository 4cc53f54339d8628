"""What samples from the policy."""
