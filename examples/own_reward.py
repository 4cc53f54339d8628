"""A reward function of one's own, with the signature of TRL's: from nothing to a run that can be resumed.

`make smollm2` fetches the model.

    .venv/bin/python examples/own_reward.py
"""

import rekindle


def polite(completions, **columns):
    """1 for a greeting that ends by itself within ten words."""
    return [float("thank" in text.lower() and len(text.split()) <= 10) for text in completions]


def train(model="models/SmolLM2-135M-Instruct", out="runs/own_reward", steps=30, **more):
    rows = [{"prompt": f"Give a short answer. Do you like {thing}?"} for thing in THINGS]
    settings = {
        "train": {"steps": steps, "groups_per_step": 8, "group_size": 8, "learning_rate": 1e-5},
        "optimizer": {"warmup_steps": 2},
        "engine": {"max_new_tokens": 24},
        "eval": {"prompts": 16, "every": 10},
    }
    return rekindle.train(model, rows, reward=polite, recipe="recycle", config=settings, out=out, **more)


COLOURS = ["red", "blue", "green", "yellow", "white", "black", "orange", "pink"]
NAMES = ["cars", "shoes", "houses", "flowers", "birds", "stones", "hats", "books", "trains", "boats", "lamps", "doors"]
THINGS = [f"{colour} {name}" for colour in COLOURS for name in NAMES]

if __name__ == "__main__":
    run = train(resume=True)
    print(f"{run.metrics[0]['eval/accuracy']:.2f} -> {run.metrics[-1]['eval/accuracy']:.2f}", run.directory)
