"""A trial before a run: what it shows, what it finds, and what it says of the costs."""

import itertools
import json

import pytest

from rekindle.cli import main
from rekindle.config import Config
from rekindle.given import NOTHING
from rekindle.recipes import resolve
from rekindle.trial import Trial, TrialResult, Written, signal_share
from rekindle.trial_words import forecast, problems, reason
from rekindle.types import Rollout, Task
from rekindle.warm_starts.tiny_model import build_tiny

EXACT = Config.model_validate({"task": {"verifier": "exact_match"}, "engine": {"max_new_tokens": 24}})
TASK = Task("t", "What is 2 + 3?", "5")


def written(text, reward=0.0, task=TASK, **more):
    tokens = list(range(4 + len(text)))
    rollout = Rollout(
        token_ids=tokens,
        loss_mask=[False] * 4 + [True] * len(text),
        logprobs=[0.0] * len(tokens),
        reward=reward,
        text=text,
        **more,
    )
    return Written(task, "<user>What is 2 + 3?", text, rollout)


def result(*groups, samples=None, config=None):
    return TrialResult(
        config=config or EXACT,
        written=groups,
        successes=[sum(one.rollout.reward >= 1 for one in group) for group in groups],
        samples=samples or len(groups[0]),
        seconds={"generate": 2.0, "verify": 0.5, "train": 4.0},
        peak_bytes=3_000_000_000,
        held_out=10,
    )


@pytest.mark.parametrize("samples", [2, 5, 8])
def test_the_share_with_signal_is_that_of_all_subsets(samples):
    """Without bias: the mean over every choice of ``size`` rollouts of each prompt."""
    rights = range(samples + 1)
    found = result(*[[written("x", float(k < right)) for k in range(samples)] for right in rights])
    for size in range(2, samples + 1):
        mixed = [
            0 < sum(chosen) < size
            for right in rights
            for chosen in itertools.combinations([k < right for k in range(samples)], size)
        ]
        assert signal_share(found, size) == pytest.approx(sum(mixed) / len(mixed))
    assert signal_share(found, samples + 1) is None
    assert signal_share(found, 1) is None


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (written("5", 1.0), 'right; the reference is "5"'),
        (written("The answer is 5."), 'contains the reference "5", but exact_match judges "The answer is 5."'),
        (written("15"), 'wrong; the reference is "5"'),
        (written("so we", truncated=True), 'cut at a limit after 5 tokens; the reference is "5"'),
        (written("?", failure="timeout"), "no verdict (timeout)"),
        (written("no", task=Task("t", "p", ("a", "b"))), 'wrong; the reference is "a" or "b"'),
    ],
)
def test_every_reward_has_a_reason(one, words):
    assert reason(EXACT, one) == words


def found_in(*groups, config=EXACT):
    return " / ".join(problems(result(*groups, config=config)))


def test_right_answers_that_count_as_wrong_are_named():
    """Seven of eight answers are right, and the verifier compares the whole text."""
    said = [written("The answer is 5."), *[written("2 + 3 = 5") for _ in range(6)], written("6")]
    found = found_in(said)
    assert "7 of 8 completions contain the reference answer and count as wrong, because exact_match compares" in found
    assert 'set task.verifier = "math" for numbers' in found
    assert "none of the 8 completions is right" in found
    maths = Config.model_validate({"task": {"verifier": "math"}})
    assert "math does not read them as they are written" in found_in(said, config=maths)


def test_where_functions_judge_the_reference_is_no_matter():
    config = Config.model_validate({"rewards": ({"function": "a.py:short"},)})
    assert reason(config, written("The answer is 5.", 0.25, rewards={"short": 0.25, "other": None})) == "short 0.25"
    assert "contain the reference answer" not in found_in([written("The answer is 5.", 0.25)] * 8, config=config)
    both = Config.model_validate({"rewards": ({"function": "a.py:short"},), "task": {"verifier": "math"}})
    found = found_in([written("The answer is 5.", 0.25)] * 8, config=both)
    assert 'the reward "short" and task.verifier = "math" does not read them' in found


def test_what_is_wrong_is_a_sentence_each():
    assert found_in([written("5", 1.0), written("6")] * 4) == ""
    assert "8 of 8 completions are cut at a limit" in found_in([written("so", truncated=True)] * 8)
    assert "4 of 8 completions are empty" in found_in([written("5", 1.0), written(" ")] * 4)
    assert "8 of 8 completions have no verdict" in found_in([written("5", failure="crash")] * 8)
    assert "every completion is right" in found_in([written("5", 1.0)] * 8)


def test_the_forecast_counts_what_a_run_does():
    config = Config.model_validate(
        {"train": {"steps": 100, "groups_per_step": 4, "group_size": 2}, "eval": {"every": 50, "samples": 1}}
    )
    lines = list(forecast(result([written("5", 1.0), written("6")], [written("6"), written("7")], config=config)))
    assert lines == [
        "4 rollouts of 2 prompts",
        "  right          1 (25%)",
        "  tokens         1 sampled on average, 0% of the completions cut",
        "  with signal    50% of groups of 2",
        # 8 of 4 rollouts: twice the seconds; half of the groups are trained on
        "  a step         8 rollouts, 8 tokens, 9.0 s (generate 4.0 s, verify 1.0 s, train 4.0 s)",
        "  peak memory    3.0 GB",
        # 3 evaluations x 10 prompts x (1 + 1) rollouts x 2.5 s / 4
        "  the run        100 steps in about 15 min 38 s, of it 38 s for 3 evaluations of 10 prompts, "
        "refills not counted",
    ]


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    directory = tmp_path_factory.mktemp("try")
    build_tiny(layers=1, hidden_size=16, max_length=64).save(directory / "model")
    rows = [{"prompt": one, "answer": list("abcdefghijklm")} for one in ("abc", "tree", "pony", "lake", "made")]
    (directory / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    file = directory / "my.toml"
    file.write_text(
        f'[model]\npath = "{directory}/model"\n[task]\nsource = "jsonl"\npath = "{directory}/rows.jsonl"\n'
        "[train]\nsteps = 3\ngroups_per_step = 2\ngroup_size = 4\n[engine]\nmax_new_tokens = 1\n"
    )
    return file


def test_the_command_shows_prompts_completions_and_costs_and_writes_nothing(config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["try", str(config), "--prompts", "2", "--measure", "16"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.endswith("the prompt as the model sees it") for line in lines) == 2
    assert sum(line.startswith("--- a completion; reward ") for line in lines) == 4
    assert "16 rollouts of 4 prompts" in lines
    assert any(line.startswith("  the run        3 steps in about ") for line in lines)
    assert not list(tmp_path.iterdir())


def test_the_verifier_is_the_one_that_suits_the_tasks(config, tmp_path, capsys):
    """A file of numbers is judged as mathematics, and the words name that verifier."""
    (tmp_path / "sums.jsonl").write_text('{"prompt": "ab", "answer": "1"}\n{"prompt": "cd", "answer": "2"}\n')
    assert main(["try", str(config), "--set", f"task.path={tmp_path}/sums.jsonl", "--measure", "4"]) == 0
    assert "exact_match" not in capsys.readouterr().out
    settings = ["--set", f"task.path={tmp_path}/sums.jsonl", "--set", "train.group_size=2", "--measure", "2"]
    trial = Trial(resolve(config, overrides=settings[1::2][:2]), NOTHING, lambda _: None, 2).run()
    assert trial.config.task.verifier == "math"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--measure", "1"], "--measure 1 must be at least 2"),
        (["--prompts", "-1"], "--prompts -1 must be at least 0"),
        (["--set", "task.path=none.jsonl"], "none.jsonl"),
        (["--set", "model.path=none"], "none"),
        (["--set", "task.source=self_play"], "self_play"),
    ],
)
def test_wrong_input_is_one_sentence(config, more, words, capsys):
    assert main(["try", str(config), *more]) == 2
    assert words in capsys.readouterr().err.splitlines()[-1]
