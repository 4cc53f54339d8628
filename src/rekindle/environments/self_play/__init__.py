"""Search self-play: one policy proposes questions and solves them; only verified questions are trained on."""
