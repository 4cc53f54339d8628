"""Search environment: the policy writes queries, reads the documents that are found, and answers."""
