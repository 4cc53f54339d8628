"""Search agents: the policy asks, documents are found and shown, the policy answers."""
