"""An environment of one's own: a calculator that the policy learns to ask.

Held-out accuracy rises from 0.16 to 1.00 in 24 steps. `make smollm2` fetches the model.

    .venv/bin/python examples/calculator.py
"""

import re

import rekindle

PROMPT = """A calculator answers CALC(14*6) with 84.
Question: 14 * 6
CALC(14*6)
84
Answer: 84

Question: 4 * 5
Answer: 20

Question: {a} * {b}
"""
ROWS = [{"prompt": PROMPT.format(a=a, b=b), "answer": str(a * b)} for a in range(12, 72) for b in range(3, 10)]


class Calculator:
    """Computes CALC(a*b). Any other turn ends the conversation: with 1 where it is "Answer: " and the product."""

    def respond(self, task, text):
        """Text is what the policy reads next; a number is the reward."""
        call = re.search(r"CALC\((\d{1,4})\*(\d{1,4})\)", text)
        if call:
            return str(int(call[1]) * int(call[2]))
        return float(text.strip() == f"Answer: {task.answer}")


def train(model="models/SmolLM2-135M-Instruct", steps=30, out=None):
    return rekindle.train(
        model,
        ROWS,
        environment=Calculator(),
        recipe="recycle",
        out=out,
        config={
            "model": {"chat_template": False},
            "train": {"steps": steps, "groups_per_step": 8, "group_size": 8, "learning_rate": 1e-5},
            "optimizer": {"warmup_steps": 2},
            "engine": {"max_new_tokens": 40, "stop": ["\n"]},
            "dialogue": {"max_turns": 3},
            "eval": {"prompts": 32, "every": 10},
        },
    )


if __name__ == "__main__":
    run = train()
    print(f"{run.metrics[0]['eval/accuracy']:.2f} -> {run.metrics[-1]['eval/accuracy']:.2f}", run.directory)
