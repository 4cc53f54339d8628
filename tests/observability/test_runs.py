"""Reading run directories: sound, going on, killed and broken ones."""

import json
import os
import sqlite3
import subprocess
import sys

import pytest
from synthetic_run import write_ledger, write_run

import rekindle
from rekindle.observability.runs import FateCount, RunError, load_run
from rekindle.types import Fate

ROW = (1, 1, 0, "a", "solver", 4, 1.0, 2, "mixed", None, None, "trained", 36, 30, 0.1)


def test_everything_of_a_run(tmp_path):
    run = load_run(write_run(tmp_path / "run", steps=12, batch=4))
    assert run.config["train"]["groups_per_step"] == 4
    assert run.info["git_revision"] == "0afaf8b"
    assert [row["step"] for row in run.metrics] == list(range(13))
    assert sum(count.rollouts for count in run.fates().values()) == run.metrics[-1]["total_rollouts"]
    assert run.fates()[Fate.TRAINED].groups == sum(row.get("groups/trained", 0) for row in run.metrics)
    assert rekindle.load_run is load_run


def test_groups_with_and_without_a_condition(tmp_path):
    run = load_run(write_run(tmp_path, steps=5, batch=4))
    rows = list(run.groups())
    assert [row["request_id"] for row in rows] == list(range(1, 41))
    assert set(rows[0]) >= {"task_id", "role", "n", "first_outcome", "fate", "generated_tokens", "seconds"}
    trained = list(run.groups("fate = ? and step > 2", ["trained"]))
    assert trained == [row for row in rows if row["fate"] == "trained" and row["step"] > 2]
    with pytest.raises(RunError, match="syntax error"):
        list(run.groups("fate = = 1"))
    with pytest.raises(RunError, match=r"cannot be read"):
        list(run.groups("1; delete from groups"))


def test_fates_up_to_a_step(tmp_path):
    write_run(tmp_path, steps=0)
    (tmp_path / "ledger.sqlite").unlink()
    write_ledger(tmp_path / "ledger.sqlite", [ROW, (2, 2, *ROW[2:]), (3, 2, *ROW[2:11], "failed", 0, 0, 0.0)]).close()
    run = load_run(tmp_path)
    assert run.fates()[Fate.TRAINED] == FateCount(2, 8)
    assert run.fates(1) == {fate: FateCount(1, 4) if fate is Fate.TRAINED else FateCount() for fate in Fate}


def test_both_roles_of_self_play(tmp_path):
    write_run(tmp_path, steps=0)
    (tmp_path / "ledger.sqlite").unlink()

    def row(number, step, role, n):
        return (number, step, 0, "a", role, n, *ROW[6:])

    rows = [row(-1, 1, "proposer", 1), row(-2, 1, "proposer", 1), row(-3, 2, "proposer", 1)]
    rows += [row(1, 1, "solver", 5), row(2, 2, "solver", 5)]
    write_ledger(tmp_path / "ledger.sqlite", rows).close()
    run = load_run(tmp_path)
    assert [row["request_id"] for row in run.groups()] == [-1, -2, 1, -3, 2]
    assert run.fates()[Fate.TRAINED] == FateCount(5, 13)
    assert run.fates(role="proposer")[Fate.TRAINED] == FateCount(3, 3)
    assert run.fates(1, "solver")[Fate.TRAINED] == FateCount(1, 5)


def test_proposals_are_read_line_by_line(tmp_path):
    run = load_run(write_run(tmp_path, steps=1))
    assert list(run.proposals()) == []
    (tmp_path / "proposals.jsonl").write_text('{"step": 1, "verdict": "valid"}\nbroken\n')
    lines = run.proposals()
    assert next(lines) == {"step": 1, "verdict": "valid"}
    with pytest.raises(RunError, match=r"proposals\.jsonl, line 2"):
        next(lines)


def test_checkpoints_are_sorted_by_step_and_temporary_ones_left_out(tmp_path):
    write_run(tmp_path, steps=9)
    for name in ("step-100", "step-20", "step-30.tmp"):
        (tmp_path / "checkpoints" / name).mkdir()
    assert [path.name for path in load_run(tmp_path).checkpoints] == ["step-9", "step-20", "step-100"]


def test_a_run_before_its_first_line_is_a_run(tmp_path):
    (tmp_path / "config.toml").write_text('recipe = "grpo"\n')
    run = load_run(tmp_path)
    assert (run.metrics, run.info, run.checkpoints, list(run.groups())) == ([], {}, [], [])
    assert not run.has_ledger
    assert set(run.fates().values()) == {FateCount()}


def test_reads_what_is_committed_while_another_process_writes(tmp_path):
    write_run(tmp_path, steps=0)
    (tmp_path / "ledger.sqlite").unlink()
    writer = write_ledger(tmp_path / "ledger.sqlite", [ROW])
    run = load_run(tmp_path)
    writer.execute(f"insert into groups values ({', '.join('?' * 15)}, 0)", (2, *ROW[1:]))
    assert run.fates()[Fate.TRAINED].groups == 1
    writer.commit()
    assert run.fates()[Fate.TRAINED].groups == 2
    writer.close()


def test_reads_the_ledger_of_a_killed_process(tmp_path):
    write_run(tmp_path, steps=0)
    (tmp_path / "ledger.sqlite").unlink()
    program = (
        f"import os, signal, sys; sys.path.insert(0, {os.path.dirname(__file__)!r})\n"
        "from pathlib import Path; from synthetic_run import write_ledger\n"
        f"ledger = write_ledger(Path(sys.argv[1]), [{ROW!r}])\n"
        "ledger.execute('delete from groups')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path / "ledger.sqlite"], check=False)
    assert (tmp_path / "ledger.sqlite-wal").exists()
    assert [row["task_id"] for row in load_run(tmp_path).groups()] == ["a"]


def test_a_ledger_of_version_1_has_no_tool_tokens(tmp_path):
    write_run(tmp_path, steps=0)
    (tmp_path / "ledger.sqlite").unlink()
    ledger = write_ledger(tmp_path / "ledger.sqlite", [ROW, (2, *ROW[1:])])
    ledger.execute("alter table groups drop column tool_tokens")
    ledger.execute("pragma user_version=1")
    ledger.commit()
    ledger.close()
    run = load_run(tmp_path)
    assert [(row["request_id"], row["tool_tokens"]) for row in run.groups()] == [(1, 0), (2, 0)]
    assert sum(count.groups for count in run.fates().values()) == 2


def test_reading_a_finished_run_leaves_nothing_behind(tmp_path):
    write_run(tmp_path, steps=3)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    list(load_run(tmp_path).groups())
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_a_path_with_signs_that_mean_something_in_an_address(tmp_path):
    run = load_run(write_run(tmp_path / "50% of? #1", steps=1))
    assert len(list(run.groups())) == 32


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.toml", b"recipe = \n", "config.toml is broken"),
        ("config.toml", b"\xff\xfe", "config.toml is broken"),
        ("run.json", b"{", "run.json is broken"),
        ("run.json", b"[1]", "run.json is broken"),
        ("metrics.jsonl", b'{"step": 0}\n[]\n{"step": 2}\n', "metrics.jsonl, line 2"),
        ("ledger.sqlite", b"not a data base, but long enough to be looked at" * 10, "ledger.sqlite cannot be read"),
    ],
)
def test_a_broken_file_is_named_in_one_sentence(tmp_path, name, content, words):
    write_run(tmp_path, steps=2)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RunError) as caught:
        load_run(tmp_path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_directory_that_is_no_run(tmp_path):
    with pytest.raises(ValueError, match=r"is not a run: it has no config\.toml"):
        load_run(tmp_path)
    with pytest.raises(ValueError, match="is not a run"):
        load_run(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("pragma user_version = 7", "its version is 7"),
        ("alter table groups rename column fate to end", "no column fate"),
        ("drop table groups", "no column request_id"),
        ("update groups set fate = 'lost'", "fate 'lost'"),
    ],
)
def test_a_ledger_of_another_version(tmp_path, statement, words):
    write_run(tmp_path, steps=2)
    ledger = sqlite3.connect(tmp_path / "ledger.sqlite")
    ledger.execute(statement)
    ledger.commit()
    ledger.close()
    with pytest.raises(RunError, match=words):
        load_run(tmp_path).fates()


def test_the_ledger_that_training_writes_is_read(tmp_path):
    from rekindle.scheduling.group_records import records_of
    from rekindle.scheduling.ledger import Ledger
    from rekindle.types import Group, GroupRequest, Outcome, Rollout

    (tmp_path / "config.toml").write_text("")
    ledger = Ledger(tmp_path / "ledger.sqlite")
    request = GroupRequest(id=1, task_id="t/1", row=0, n=2, temperature=1.0, seed=5, version=0, step=1)
    rollouts = [
        Rollout(token_ids=[1, 2, 3], loss_mask=[False, True, True], logprobs=[0.0, -1.0, -1.0], reward=reward)
        for reward in (0.0, 1.0)
    ]
    ledger.write(
        records_of(Group(request=request, rollouts=tuple(rollouts), outcome=Outcome.MIXED), Fate.TRAINED), {1: 0.25}
    )
    (row,) = load_run(tmp_path).groups()
    assert (row["task_id"], row["n"], row["successes"], row["fate"], row["seconds"]) == ("t/1", 2, 1, "trained", 0.25)
    ledger.close()


def test_run_json_may_hold_anything_json(tmp_path):
    write_run(tmp_path, steps=1)
    (tmp_path / "run.json").write_text(json.dumps({"versions": {}, "seed": None}))
    assert load_run(tmp_path).info == {"versions": {}, "seed": None}


def test_samples_are_read_and_a_torn_last_line_is_left_out(tmp_path):
    write_run(tmp_path, steps=2)
    assert load_run(tmp_path).samples == []
    lines = [{"step": 0, "completion": "a"}, {"step": 1, "completion": "\ud800"}]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 2, "co')
    assert load_run(tmp_path).samples == lines
    (tmp_path / "samples.jsonl").write_text('{"step": 0}\nnothing\n{"step": 1}\n')
    with pytest.raises(RunError, match=r"samples.jsonl, line 2: not a JSON object"):
        load_run(tmp_path).samples  # noqa: B018
