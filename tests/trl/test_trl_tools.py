"""Tools and environments of TRL with a recipe: what counts in the loss, what is kept, and groups of several sizes."""

import json
import string
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from transformers import Qwen3Config, Qwen3ForCausalLM

from rekindle import load_run
from rekindle.integrations.trl import RekindleTrainer
from rekindle.integrations.trl.sampling.row_sampling import RowDraws
from rekindle.types import UserError
from rekindle.warm_starts.tiny_tokenizers import character_tokenizer

LONGEST = 320
TEMPLATE = (
    "{% for one in messages %}<{{ one.role }}>{{ one.content }}{% for call in one.tool_calls or [] %}"
    "<call>{{ call.function | tojson }}</call>{% endfor %}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
PARSED = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<assistant>",
    "fields": {
        "tool_calls": {
            "open": "<call>",
            "close_pattern": "</call>",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"content": "text"},
    },
}


@pytest.fixture
def talker():
    """A tokenizer of characters whose chat template has tools."""
    made = character_tokenizer(string.printable, LONGEST)
    made.padding_side, made.chat_template, made.response_template = "left", TEMPLATE, PARSED
    return made


@pytest.fixture
def model(talker):
    config = Qwen3Config(
        vocab_size=len(talker), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
        head_dim=8, intermediate_size=32, max_position_embeddings=LONGEST, pad_token_id=talker.pad_token_id,
        bos_token_id=None, eos_token_id=talker.eos_token_id,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return Qwen3ForCausalLM(config).float()


def call(name, **arguments):
    return f"<call>{json.dumps({'name': name, 'arguments': arguments})}</call>"


@pytest.fixture
def says(talker, monkeypatch):
    """A function that makes some rollouts of a group begin with a text and the end token; log-probabilities stay the
    policy's. What follows is drawn as ever."""
    theirs = RowDraws._drawn

    def begins(text, speaks):
        script = [*talker(text)["input_ids"], talker.eos_token_id]

        def drawn(self, scores, settings, positions):
            tokens, logprobs = theirs(self, scores, settings, positions)
            for place, row in enumerate(self.rows):
                position = int(positions[place])
                if speaks(row) and position < len(script):
                    tokens[place] = script[position]
                    logits = scores[place].float() / row.temperature
                    logprobs[place] = logits.log_softmax(-1)[tokens[place]]
            return tokens, logprobs

        monkeypatch.setattr(RowDraws, "_drawn", drawn)

    return begins


def even(row):
    return row.index % 2 == 0


def add(a: int, b: int) -> int:
    """
    Adds two numbers.

    Args:
        a: The first one.
        b: The second one.

    Returns:
        The sum.
    """
    return a + b


async def add_later(a: int, b: int) -> int:
    """
    Adds two numbers.

    Args:
        a: The first one.
        b: The second one.

    Returns:
        The sum.
    """
    return a + b


def recite(times: int) -> str:
    """
    Says a word often.

    Args:
        times: How often.

    Returns:
        The words.
    """
    return "word " * times


def asked(completions, **_):
    """1 where a tool answered."""
    return [float(any(one["role"] == "tool" for one in messages)) for messages in completions]


@pytest.fixture
def made(model, talker, args, monkeypatch):
    data = Dataset.from_list([{"prompt": [{"role": "user", "content": f"{n}+2="}], "number": n} for n in range(12)])
    data = data.add_column("environment", ["game", "riddle"] * 6)

    def make(reward=asked, recipe="grpo", *, rows=12, tools=None, environment_factory=None, **changes):
        trainer = RekindleTrainer(
            model, reward, args(**{"max_completion_length": 96} | changes), data.select(range(rows)),
            processing_class=talker, recipe=recipe, tools=tools, environment_factory=environment_factory,
        )  # fmt: skip
        trainer.updates = []
        build = trainer._updates.build

        def noted(samples, *rest):
            trainer.updates.append(list(samples))
            return build(samples, *rest)

        monkeypatch.setattr(trainer._updates, "build", noted)
        return trainer

    return make


def lines(trainer, name="metrics"):
    text = (Path(trainer.args.output_dir) / "rekindle" / f"{name}.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("tool", [add, add_later])
def test_only_sampled_tokens_count(tool, made, says, talker):
    says(call(tool.__name__, a=1, b=2), even)
    trainer = made(tools=[tool])
    trainer.train()
    conversations = 0
    for one in (sample for samples in trainer.updates for sample in samples):
        text, sampled = (
            talker.decode([token for token, real in zip(one.token_ids, mask, strict=True) if real])
            for mask in ([True] * len(one.token_ids), one.loss_mask)
        )
        if "<call>{" in text:
            conversations += 1
            end = talker.eos_token
            assert f"</call>{end}<tool>3{end}<assistant>" in text
            assert sampled.startswith(call(tool.__name__, a=1, b=2) + end)
            assert "<tool>" not in sampled
            assert any(one.loss_mask[-1:])
        masked = [value for value, real in zip(one.logprobs, one.loss_mask, strict=True) if not real]
        assert set(masked) == {0.0}
        assert len({value for value, real in zip(one.advantages, one.loss_mask, strict=True) if real}) == 1
        assert {value for value, real in zip(one.advantages, one.loss_mask, strict=True) if not real} == {0.0}
    assert conversations == 8
    assert all(line["policy_gap"] < 1e-5 for line in lines(trainer))
    assert all(line["tool_tokens"] > 0 for line in lines(trainer))
    assert trainer.state.log_history[0]["tools/call_frequency"] == 0.5


def test_transcripts_and_turns_are_kept(made, says):
    says(call("add", a=1, b=2), even)
    trainer = made(tools=[add], max_steps=1)
    trainer.train()
    found = [one for one in lines(trainer, "samples") if one["turns"] == 2]
    assert len(found) == 2
    assert all(one["completion"].startswith("assistant: add(a=1, b=2)\ntool: 3\nassistant: ") for one in found)
    assert all(one["turns"] == 1 for one in lines(trainer, "samples") if one not in found)


def test_a_failing_tool_and_one_that_says_too_much_do_not_end_the_run(made, says):
    says(call("recite", times=90), even)
    trainer = made(
        lambda completions, **_: [float(len(one[0]["content"]) % 2) for one in completions], tools=[recite], max_steps=1
    )
    trainer.train()
    assert all(line["tool_tokens"] == 0 for line in lines(trainer))
    says(call("recite", often=1), even)
    again = made(tools=[recite], output_dir=trainer.args.output_dir + "2", max_completion_length=160, max_steps=1)
    again.train()
    assert all(line["groups/trained"] == 2 for line in lines(again))
    assert again.state.log_history[0]["tools/failure_frequency"] == 1.0


def test_groups_of_several_sizes_have_tools(made, says):
    def easy_or_asked(completions, number, **_):
        return [1.0 if n == 0 else one for n, one in zip(number, asked(completions), strict=True)]

    says(call("add", a=1, b=2), even)
    trainer = made(easy_or_asked, "knapsack", tools=[add], rows=2, max_steps=3)
    trainer.train()
    sizes = {one["n"] for one in load_run(Path(trainer.args.output_dir) / "rekindle").groups()}
    assert len(sizes) > 1, sizes
    assert max(line["policy_gap"] or 0 for line in lines(trainer)) < 1e-5


def test_single_rollouts_have_tools(made, says):
    says(call("add", a=1, b=2), lambda row: row.seed % 2)
    trainer = made(recipe="c_rf_ntf", tools=[add], num_generations=8, max_steps=1)
    trainer.train()
    assert {1, 2} == {one["turns"] for one in lines(trainer, "samples")}
    assert lines(trainer)[-1]["policy_gap"] < 1e-5


def test_raised_temperatures_hold_in_every_turn(made, says):
    says(call("add", a=1, b=2), lambda row: True)
    trainer = made(recipe={"recipe": "erpo", "heating": {"delta": 0.4, "maximum": 1.8}}, tools=[add], rows=2)
    trainer.train()
    heats = {one["temperature"] for one in load_run(Path(trainer.args.output_dir) / "rekindle").groups()}
    assert max(heats) > 1
    assert max(line["policy_gap"] or 0 for line in lines(trainer)[1:]) < 1e-5


class Game:
    """Counts what was guessed."""

    def reset(self, number, **row):
        self.number, self.guessed = number, []
        return f" or {number}?"

    def guess(self, number: int) -> str:
        """
        Guesses a number.

        Args:
            number: The guess.

        Returns:
            Whether it is right.
        """
        self.guessed.append(number)
        return "right" if number == self.number else "wrong"

    def get_reward(self):
        return float(self.number in self.guessed)


def asked_of(sample):
    """The number in the prompt of the dataset."""
    return sample["prompt"].removeprefix("<user>").partition("+")[0]


def guessed(environments, **_):
    return [float(bool(one.guessed)) for one in environments]


@pytest.mark.parametrize("further", [None, guessed])
def test_an_environment_owns_its_reward(further, made, says):
    says(call("guess", number=3), even)
    trainer = made(further, "grpo", environment_factory=Game, rows=4)
    trainer.train()
    found = lines(trainer, "samples")
    assert {name for one in found for name in one["rewards"]} == {"Game"} | ({"guessed"} if further else set())
    assert all(f" or {asked_of(one)}?" in one["prompt"] for one in found)
    assert {one["rewards"]["Game"] for one in found if asked_of(one) == "3"} == {0.0, 1.0}
    assert all(line["reward/Game"] is not None for line in lines(trainer))
    assert max(line["policy_gap"] or 0 for line in lines(trainer)) < 1e-5


class Riddle(Game):
    """Another environment."""

    def get_reward(self):
        return 0.5


def test_every_row_has_the_environment_that_it_names(made, says):
    says(call("guess", number=0), even)
    trainer = made(None, environment_factory={"game": Game, "riddle": Riddle}, rows=4)
    trainer.train()
    for one in lines(trainer, "samples"):
        own, other = ("Game", "Riddle") if int(asked_of(one)) % 2 == 0 else ("Riddle", "Game")
        assert one["rewards"][other] is None
        assert one["reward"] == one["rewards"][own]


def test_a_reward_with_the_name_of_an_environment_is_refused(made):
    def same(completions, **_):
        return [0.0] * len(completions)

    same.__name__ = "Game"
    with pytest.raises(UserError, match='two reward functions have the name "Game"'):
        made(same, environment_factory=Game)
