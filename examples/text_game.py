"""An environment of one's own around a game with Gymnasium's interface: `reset(seed)` and `step(action)`.

The policy guesses a number and is told whether it is higher or lower. `make smollm2` fetches the model.

    .venv/bin/python examples/text_game.py
"""

import random
import re

import rekindle

PROMPT = "Guess the number from 1 to 9. Answer with one number alone."


class GuessTheNumber:
    """A text game as Gymnasium has them: an observation from `reset`, and five values from `step`."""

    def reset(self, seed):
        """Choose a number."""
        self.secret = random.Random(seed).randint(1, 9)
        return PROMPT, {}

    def step(self, action):
        """Answer a guess: observation, reward, terminated, truncated, info."""
        found = re.search(r"\d+", action)
        if found is None:
            return "That is no number.", -0.1, True, False, {}
        guess = int(found[0])
        hint = "Higher." if guess < self.secret else "Lower."
        return hint, float(guess == self.secret), guess == self.secret, False, {}


class Game:
    """Plays a game per conversation; the reward is the sum of the game's rewards, less for every further guess."""

    def begin(self, task):
        """Return the state of a conversation: a game of its own."""
        game = GuessTheNumber()
        game.reset(seed=task.metadata["seed"])
        return {"game": game, "reward": 0.0, "guesses": 0}

    def respond(self, state, text):
        """Play a guess; text is what the policy reads next, and a number the reward."""
        observation, reward, terminated, truncated, _ = state["game"].step(text)
        state["guesses"] += 1
        state["reward"] += reward
        if terminated or truncated or state["guesses"] == 4:
            return state["reward"] - 0.1 * (state["guesses"] - 1)
        return observation


def train(model="models/SmolLM2-135M-Instruct", steps=30, out=None):
    rows = [{"id": f"game-{seed}", "prompt": f"Game {seed}. {PROMPT}", "seed": seed} for seed in range(256)]
    return rekindle.train(
        model,
        rows,
        environment=Game(),
        recipe="recycle",
        out=out,
        config={
            "train": {"steps": steps, "groups_per_step": 8, "group_size": 8, "learning_rate": 1e-5},
            "optimizer": {"warmup_steps": 2},
            "engine": {"max_new_tokens": 32},
            "dialogue": {"max_turns": 4, "turn_tokens": 8},
            "eval": {"prompts": 32, "every": 10},
        },
    )


if __name__ == "__main__":
    run = train()
    print(f"{run.metrics[0]['eval/accuracy']:.2f} -> {run.metrics[-1]['eval/accuracy']:.2f}", run.directory)
