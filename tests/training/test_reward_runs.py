"""Runs with reward functions of one's own: their numbers, their resume, and their end where a function is dead."""

import json
import shutil

import pytest
import torch
from test_loop import assert_same_run, finish, last_weights, ledger_rows, opened, without_clocks

from dying import UPDATE, signalled
from embedded import EXAMPLE, QUICK
from rekindle.cli import main
from rekindle.config import ConfigError, dump_toml
from rekindle.config.tables.rewards import AuditTable, RewardTable
from rekindle.environments.rewards import build_rewards
from rekindle.given import GivenReward, given_tables
from rekindle.notices import RekindleWarning
from rekindle.observability.report import write_report
from rekindle.observability.runs import load_run
from rekindle.preflight import check_rewards
from rekindle.records.endings import Ending
from rekindle.records.run_directory import note_ending
from rekindle.tasks.loading import TaskSet
from rekindle.types import Task, UserError
from rekindle.verifiers.verifier import Verdict, VerifierError

FILE = """
def right(completions, answer):
    return [float(text == reference) for text, reference in zip(completions, answer)]

def short(completions, prompts):
    return [None if prompt[0] == "a" else -0.125 * len(text) for prompt, text in zip(prompts, completions)]

def broken(completions):
    raise ValueError("not today")

def sometimes(completions, prompts):
    return [1 / (prompt[0] < "m") for prompt in prompts]
"""


@pytest.fixture
def rewarded(quick_config, tmp_path):
    """Configurations with functions of the file, in this process unless ``in_process`` says otherwise."""
    (tmp_path / "own.py").write_text(FILE)

    def rewarded(*names, in_process=True, weights=(1.0, 1.0), file="own.py", overrides=()):
        tables = tuple(
            RewardTable(function=f"{tmp_path}/{file}:{name}", in_process=in_process, weight=weight)
            for name, weight in zip(names, weights, strict=False)
        )
        config = quick_config("grpo", *overrides)
        task = config.task.model_copy(update={"binary_rewards": False, "success_threshold": 0.5})
        return config.model_copy(update={"rewards": tables, "task": task})

    return rewarded


@pytest.mark.slow
def test_a_function_that_does_what_a_verifier_does_gives_the_same_run_to_the_bit(rewarded, quick_config, tmp_path):
    finish(quick_config("grpo"), tmp_path / "verifier")
    finish(rewarded("right", in_process=False), tmp_path / "function")
    before, after = (last_weights(tmp_path / name) for name in ("verifier", "function"))
    assert all(torch.equal(before[name], after[name]) for name in before)
    lines = without_clocks(tmp_path / "function")
    assert [line["reward/right"] for line in lines[1:]] == [line["reward/mean"] for line in lines[1:]]
    assert [line["eval/reward"] for line in lines if "eval/reward" in line] == [
        line["eval/accuracy"] for line in lines if "eval/accuracy" in line
    ]


def test_several_rewards_are_added_up_and_resume_bit_for_bit(rewarded, tmp_path):
    config = rewarded("right", "short", weights=(2.0, 0.5))
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    finish(config, whole)
    with opened(config, halves) as loop:
        assert loop.run(lambda: loop.step + 1 >= 3) is Ending.INTERRUPTED
    assert finish(config, halves, resume=True)[0] is Ending.DONE
    assert_same_run(whole, halves)
    samples = load_run(whole).samples
    for line in samples:
        applies = [2.0 * line["rewards"]["right"]]
        if line["rewards"]["short"] is not None:
            applies.append(0.5 * line["rewards"]["short"])
        assert line["reward"] == sum(applies)
        assert line["rewards"]["right"] == (line["completion"] == line["answer"])
    assert {line["prompt"][0] == "a" for line in samples if line["rewards"]["short"] is None} <= {True}
    last = without_clocks(whole)[-1]
    assert last["reward/short"] < 0 < last["reward/right"] <= 1
    assert "reward/mean" in last


def test_a_dead_function_ends_the_run_at_the_first_evaluation(rewarded, tmp_path):
    with pytest.warns(RekindleWarning, match=r'reward "broken" failed: ValueError: not today \(own.py, line 9\)'):
        ending, loop = finish(rewarded("right", "broken"), tmp_path / "run")
    assert (ending, loop.step) == (Ending.BOUND, 0)
    assert loop.bound == (
        'no rollout of the evaluation has a verdict: reward "broken" failed: ValueError: not today (own.py, line 9); '
        "fix the function, and continue with --resume"
    )
    kept = [json.loads(line)["text"] for line in (tmp_path / "run" / "warnings.jsonl").read_text().splitlines()]
    assert 'reward "broken" failed: ValueError: not today (own.py, line 9)' in kept


@pytest.mark.slow
def test_kill_9_with_rewards_and_audits_then_resume_equals_the_uninterrupted_run(quick_config, tmp_path):
    (tmp_path / "own.py").write_text(FILE)
    rewards = (
        f"rewards=[{{function='{tmp_path}/own.py:right'}},{{function='{tmp_path}/own.py:short',weight=0.5}}]",
        f"audits=[{{function='{tmp_path}/own.py:right',share=0.5}},{{verifier='qa_exact_match'}}]",
    )
    overrides = ("train.steps=6", "checkpoint.every=2", *rewards)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(quick_config("dr_grpo", *overrides), whole)
    command = ["train", str(EXAMPLE), "--recipe", "dr_grpo", "--out", str(killed)]
    command += [part for key in (*QUICK, *overrides) for part in ("--set", key)]
    signalled(command, UPDATE, 4)
    assert finish(quick_config("dr_grpo", *overrides), killed, resume=True)[0] is Ending.DONE
    assert_same_run(whole, killed)


@pytest.mark.slow
def test_a_function_that_dies_in_the_run_ends_it_and_a_fixed_one_goes_on(rewarded, tmp_path):
    config, file = rewarded("right", in_process=False), tmp_path / "own.py"

    def break_it(parts):
        """The function fails from the second step on, in the process of every call."""
        inner = parts.environment.play
        steps = iter(range(99))

        def play(requests):
            if next(steps) == 1:
                (tmp_path / "stop").touch()
            return inner(requests)

        parts.environment.play = play
        return parts

    file.write_text(FILE.replace("def right(completions, answer):", f"""
def right(completions, answer):
    import os
    if os.path.exists({str(tmp_path / "stop")!r}): raise ValueError("gone")"""))  # fmt: skip
    with pytest.warns(RekindleWarning, match=r'reward "right" failed: ValueError: gone'):
        ending, loop = finish(config, tmp_path / "run", adapt=break_it)
    assert (ending, loop.step) == (Ending.BOUND, 2)
    assert loop.bound.startswith('none of the 32 rollouts of the step has a verdict: reward "right" failed: ValueError')
    last = without_clocks(tmp_path / "run")[-1]
    assert (last["verify/failures"], last["groups/failed"], last["reward/mean"]) == (32, 8, None)
    assert "reward/right" not in last, "a failure is no reward"

    file.write_text(FILE)
    with pytest.warns(RekindleWarning, match='the file of the reward "right" has changed since the run began'):
        assert finish(config, tmp_path / "run", resume=True)[0] is Ending.BOUND, "killed before it told its end"
    note_ending(tmp_path / "run", "bound", loop.bound)
    assert finish(config, tmp_path / "run", resume=True)[0] is Ending.DONE


@pytest.mark.slow
def test_groups_without_a_verdict_fail_and_the_others_train(rewarded, tmp_path):
    with pytest.warns(RekindleWarning, match="ZeroDivisionError"):
        ending, _ = finish(rewarded("right", "sometimes"), tmp_path / "run")
    assert ending is Ending.DONE
    lines = without_clocks(tmp_path / "run")[1:]
    assert all(0 < line["groups/failed"] < line["groups/asked"] for line in lines)
    assert all(line["reward/sometimes"] == 1.0 for line in lines)


def test_other_rewards_do_not_resume_and_another_folder_does(rewarded, tmp_path):
    finish(rewarded("right", overrides=("train.steps=1",)), tmp_path / "run")
    for other, message in (
        (rewarded("right", weights=(2.0,)), r"rewards\[0\].weight = 2.0 differs from 1.0"),
        (rewarded("short"), r"rewards\[0\].function = 'own.py:short' differs from 'own.py:right'"),
        (rewarded("right", "short"), r"rewards\[1\].function = 'own.py:short' differs from None"),
        (rewarded(), r"rewards\[0\].function = None differs from 'own.py:right'"),
    ):
        with pytest.raises(ConfigError, match=message):
            finish(other, tmp_path / "run", resume=True)
    (tmp_path / "moved").mkdir()
    shutil.move(tmp_path / "own.py", tmp_path / "moved" / "own.py")
    moved = rewarded("right", file="moved/own.py", overrides=("train.steps=2",))
    assert finish(moved, tmp_path / "run", resume=True)[0] is Ending.DONE


@pytest.mark.slow
def test_audits_change_nothing_in_the_training_and_are_in_metrics_samples_and_report(quick_config, tmp_path):
    """With them, without them, and with them from the middle on."""
    (tmp_path / "own.py").write_text(FILE)
    audits = (
        AuditTable(verifier="qa_exact_match", share=0.5),
        AuditTable(function=f"{tmp_path}/own.py:short", in_process=True),
    )
    plain = quick_config("grpo")
    audited = plain.model_copy(update={"audits": audits})
    without, beside = tmp_path / "without", tmp_path / "beside"
    finish(plain, without)
    with opened(plain, beside) as loop:
        assert loop.run(lambda: loop.step >= 2) is Ending.INTERRUPTED
    assert finish(audited, beside, resume=True)[0] is Ending.DONE
    assert ledger_rows(without) == ledger_rows(beside)
    first, second = last_weights(without), last_weights(beside)
    assert all(torch.equal(first[name], second[name]) for name in first)
    lines, others = without_clocks(beside), without_clocks(without)
    assert [{key: value for key, value in line.items() if "audit" not in key} for line in lines] == others
    last = lines[-1]
    assert last["audit/short"] < 0 < last["audit/qa_exact_match"]
    assert last["eval/audit/qa_exact_match"] == last["eval/accuracy"], "it judges all of an evaluation"
    assert last["eval/greedy_audit/qa_exact_match"] == last["eval/greedy"]
    assert "audit/short" not in lines[1]
    assert {name for line in load_run(beside).samples for name in line["audits"]} == {"qa_exact_match", "short"}
    page = write_report(beside).read_text()
    assert "Second opinions" in page
    assert "the audit qa_exact_match, which is not trained on, says" in page


@pytest.mark.slow
def test_a_hole_in_a_reward_that_a_policy_really_finds_is_said_within_14_steps(quick_config, tmp_path):
    """Paid is any text that begins like the answer and repeats a letter, however long; the exact answer is not."""
    (tmp_path / "own.py").write_text("""
def paid(completions, answer):
    return [float(text[:1] == right[0] and len(set(text)) < len(text)) for text, right in zip(completions, answer)]
""")
    table = f"rewards=[{{function='{tmp_path}/own.py:paid',in_process=true}}]"
    audit = "audits=[{verifier='exact_match'}]"
    larger = ("train.steps=14", "train.groups_per_step=16", "train.group_size=8", "train.learning_rate=1e-3")
    config = quick_config("grpo", "optimizer.warmup_steps=0", "eval.every=99", table, audit, *larger)
    _, loop = finish(config, tmp_path / "run")
    (found,) = [text for text in loop.screen.warnings if "the policy may have found a hole in the verifier" in text]
    assert found.count("(task spell_backward/") == 3
    last = without_clocks(tmp_path / "run")[-1]
    assert last["reward/mean"] > 0.3
    assert last["audit/exact_match"] < 0.1


def test_functions_given_from_python_are_entries_of_the_configuration(quick_config):
    given = [GivenReward("ones", lambda completions: [1.0] * len(completions), 2.0)]
    task = Task("t", "p", "a")
    for config in (
        quick_config(),
        quick_config().model_copy(update={"rewards": tuple(map(RewardTable.model_validate, given_tables(given)))}),
    ):
        verifier = build_rewards(config, given, tasks=[task])
        assert verifier.judge([(task, "x")]) == [Verdict(2.0, parts={"ones": 1.0})]
        verifier.close()
    with pytest.raises(UserError, match=r'rewards\[0\].function = "given:ones" was a Python function that a script'):
        build_rewards(config)
    with pytest.raises(UserError, match="run that script again, or put the function into a file"):
        check_rewards(config, TaskSet((task,), ()))
    with pytest.raises(VerifierError, match='"given:other" has the parameters text'):
        build_rewards(quick_config(), [GivenReward("other", lambda text: 1.0)])


def test_built_in_verifiers_are_what_they_were(quick_config):
    assert type(build_rewards(quick_config())).__name__ == "ExactMatchVerifier"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "raises.py:score",
            "raises.py cannot be imported: NameError: name 'x' is not defined (raises.py, line 2); fix",
        ),
        ("column.py:score", "needs the column 'solution', which no row has; the rows have answer"),
    ],
)
def test_the_command_says_what_is_wrong_before_it_writes_anything(name, message, rewarded, tmp_path, capsys):
    (tmp_path / "raises.py").write_text("import json\nx\n")
    (tmp_path / "column.py").write_text("def score(completions, solution):\n    return []\n")
    (tmp_path / "run.toml").write_text(
        dump_toml(rewarded()).replace("rewards = []", f"rewards = [{{function = '{name}'}}]")
    )
    assert main(["train", str(tmp_path / "run.toml"), "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert f'rewards[0].function = "{tmp_path}/{name}"' in error
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
