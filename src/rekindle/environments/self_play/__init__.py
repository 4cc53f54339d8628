"""Search self-play: one policy proposes questions and solves them; nothing unverified is learned."""
