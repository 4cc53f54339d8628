"""Rows of a generation over several turns with tools."""

import copy
from itertools import cycle, pairwise

import pytest
import torch
from trl import GRPOTrainer

from rekindle.integrations.trl.sampling.row_plan import RowPlan
from rekindle.integrations.trl.sampling.row_sampling import RowSeed, drawing


def test_turns_after_tools_go_on_with_their_rows():
    rows = [RowSeed(seed, 0, 1.0 + seed / 10) for seed in range(4)]
    plan = RowPlan(rows)
    prompts = [[1], [2], [2], [3, 4]]
    assert [row.seed for row in plan.begin(prompts).rows] == [0, 1, 2, 3]
    plan.end([[5, 6], [7], [8, 9], [5]], [[-0.1, -0.2], [-0.3], [-0.4, -0.5], [-0.6]])
    later = plan.begin([[1, 5, 6, 20, 21], [2, 8, 9, 22]])
    assert [row.seed for row in later.rows] == [0, 2]
    assert later.temperatures == [1.0, 1.2]
    assert later._firsts == (4, 3)
    plan.end([[30], [31, 32]], [[-0.7], [-0.8, -0.9]])
    last = plan.begin([[2, 8, 9, 22, 31, 32, 23]])
    assert last._firsts == (6,)
    plan.end([[33]], [[-1.0]])
    final = [[5, 6, 20, 21, 30], [7], [8, 9, 22, 31, 32, 23], [5]]
    assert plan.logprobs(final) == [
        [-0.1, -0.2, 0.0, 0.0, -0.7],
        [-0.3],
        [-0.4, -0.5, 0.0, -0.8, -0.9, 0.0],
        [-0.6],
    ]


def test_a_sequence_of_no_row_and_foreign_completions_are_refused():
    plan = RowPlan([RowSeed(0, 0, 1.0), RowSeed(1, 0, 1.0)])
    plan.begin([[1], [2]])
    plan.end([[5], [6]], [[-1.0], [-2.0]])
    with pytest.raises(RuntimeError, match="sequence 1 of TRL's next turn continues no row"):
        plan.begin([[2, 6, 9], [1, 5, 9]])
    with pytest.raises(RuntimeError, match="is not what its rows sampled"):
        plan.logprobs([[7], [6]])


def test_of_equal_rows_one_may_take_the_place_of_the_other():
    plan = RowPlan([RowSeed(0, 0, 1.0), RowSeed(1, 0, 1.0)])
    plan.begin([[1], [1]])
    plan.end([[5], [5]], [[-1.0], [-1.0]])
    plan.begin([[1, 5, 9]])  # of the second row in truth: the first one's output was too long
    plan.end([[6]], [[-3.0]])
    assert plan.logprobs([[5], [5, 9, 6]]) == [[-1.0], [-1.0, 0.0, -3.0]]


SUFFIX = [36, 37, 38]
"""Tokens of a tool's output."""


class Conversing(GRPOTrainer):
    """A stock trainer whose rows are drawn by a plan; a turn calls a tool where its last token is even."""

    plan: RowPlan
    turns: list[list[int]]

    def prepare(self, plan, sizes):
        self.plan, self.turns, self.tools = plan, [], [{"type": "function", "function": {"name": "f"}}]
        self._sync_tool_dicts = [{"f": lambda: "x"} for _ in range(sizes)]
        self._async_tool_dicts = [{} for _ in range(sizes)]
        self.max_tool_calling_iterations = 3

    def _generate_single_turn(self, prompt_ids, images, multimodal_fields, num_generations, has_tool_images=False):
        draws = self.plan.begin(prompt_ids)
        self.turns.append([row.index for row in draws.rows])
        with drawing(self, draws):
            completions, _ = super()._generate_single_turn(
                prompt_ids, images, multimodal_fields, num_generations, has_tool_images
            )
        self.plan.end(completions, draws.logprobs(completions))
        return completions, None

    def _get_tool_suffix_ids(self, tool_messages):
        return SUFFIX * len(tool_messages)


def parsed(_tokenizer, ids, prefix=None, tools=None):
    """A turn of the assistant, as TRL's parser returns it."""
    calls = [{"type": "function", "function": {"name": "f", "arguments": {}}}] if ids[-1] % 2 == 0 else None
    return {"role": "assistant", "content": "", "tool_calls": calls}


@pytest.fixture
def converse(tiny_model, tokenizer, args, dataset, monkeypatch):
    """A function of row seeds that plays conversations: (trainer, prompts, completions, tool mask, log-probs)."""
    monkeypatch.setattr("trl.trainer.grpo_trainer.parse_response", parsed)
    talking = copy.deepcopy(tokenizer)
    talking.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}="
    talking.response_template = "any"
    settings = {"generation_kwargs": {"suppress_tokens": [tokenizer.eos_token_id]}, "max_completion_length": 30}
    trainer = Conversing(
        model=tiny_model,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=args(**settings),
        train_dataset=dataset,
        processing_class=talking,
    )
    trainer.generation_config.max_new_tokens = 4

    def played(rows):
        trainer.prepare(RowPlan(rows), len(rows))
        prompts = [[{"role": "user", "content": "ab" * (1 + row.index % 3)}] for row in rows]
        prompt_ids, completions, mask, *_ = trainer._generate(prompts)
        return trainer, prompt_ids, completions, mask, trainer.plan.logprobs(completions)

    return played


ROWS = [RowSeed(100 + row, row, [1.0, 1.5, 0.7][row % 3]) for row in range(8)]


def test_trls_loop_of_tools_goes_on_with_the_rows_of_the_plan(converse):
    trainer, prompts, completions, mask, logprobs = converse(ROWS)
    first, *later = trainer.turns
    assert first == list(range(8))
    assert 2 <= len(later) <= 3  # turns after tools
    assert all(set(after) <= set(before) and after for before, after in pairwise(trainer.turns))
    assert len(later[-1]) < 8
    for row, prompt, completion, kept, values in zip(ROWS, prompts, completions, mask, logprobs, strict=True):
        assert len(completion) == len(kept) == len(values)
        assert completion == with_outputs(completion, kept)
        ids = torch.tensor([prompt + completion])
        with torch.no_grad():
            scores = trainer.model.eval()(input_ids=ids).logits[0, len(prompt) - 1 : -1]
        scores[:, trainer.eos_token_ids[0]] = -torch.inf
        expected = torch.log_softmax(scores / row.temperature, -1).gather(1, ids[0, len(prompt) :, None]).squeeze(1)
        assert values == pytest.approx((expected * torch.tensor(kept)).tolist(), abs=1e-4)


def with_outputs(completion, mask):
    """The completion with a tool's tokens where the mask says so."""
    outputs = cycle(SUFFIX)
    return [token if own else next(outputs) for token, own in zip(completion, mask, strict=True)]


def test_conversations_do_not_depend_on_the_other_rows(converse):
    _, _, whole, _, _ = converse(ROWS)
    _, _, part, _, _ = converse(ROWS[1::2])
    assert part == whole[1::2]
