"""Whole runs of self-play, small: they conserve, resume, fail closed, and go with the other methods."""

import json
from collections import Counter
from itertools import pairwise

import pytest
import torch
from test_loop import assert_same_run, finish, last_weights, ledger_rows, opened, without_clocks

from dying import UPDATE, signalled
from fast import sample
from rekindle.cli import main
from rekindle.environments.self_play.proposals import Reason
from rekindle.observability.runs import load_run
from rekindle.observability.step_log import read_step_log
from rekindle.records.endings import Ending
from rekindle.types import Fate
from rekindle.verifiers import qa_exact_match
from searching import QUICK_SELF_PLAY, SELF_PLAY_EXAMPLE, recording, self_play_config

FILLS = ("dummy", "resample", "replay", "replay_reset")


def fill(kind):
    """The settings of a way to fill a step; earlier questions are forgotten after three."""
    return (f"self_play.fill={kind}", *(["self_play.reset_every=3"] if kind == "replay_reset" else []))


@pytest.fixture(scope="module", params=sample(FILLS, "replay_reset"))
def whole(request, tmp_path_factory):
    """A whole run: its directory, its loop, and the solver's rollouts by request."""
    directory = tmp_path_factory.mktemp("self_play") / "run"
    seam, played = recording()
    with opened(self_play_config("self_play", *fill(request.param), "train.steps=7"), directory, adapt=seam) as loop:
        assert loop.run() is Ending.DONE
    return directory, loop, played, request.param


def test_samples_have_conversations_of_both_roles_with_reward_and_fate(whole):
    directory, *_ = whole
    trained = [line for line in load_run(directory).samples if line["split"] == "train"]
    assert {line["role"] for line in trained} == {"solver", "proposer"}
    fates = {(row["request_id"], row["fate"]) for row in ledger_rows(directory)}
    assert {(line["request_id"], line["fate"]) for line in trained} <= fates
    for line in trained:
        of_proposer = line["role"] == "proposer"
        assert (line["request_id"] < 0) == of_proposer
        assert line["prompt"]
        assert any(
            "<information>" in one["completion"] for one in trained if (one["role"] == "proposer") == of_proposer
        )


def test_every_rollout_of_both_roles_has_one_fate(whole):
    directory, _, played, _ = whole
    rows, lines = ledger_rows(directory), without_clocks(directory)
    assert {row["role"] for row in rows} == {"solver", "proposer"}
    assert sum(row["n"] for row in rows) == lines[-1]["total_rollouts"]
    assert {row["fate"] for row in rows} <= set(Fate)
    for line in lines[1:]:
        solver, proposer = (
            Counter(row["fate"] for row in rows if row["step"] == line["step"] and row["role"] == role)
            for role in ("solver", "proposer")
        )
        assert all(solver[fate] == line[f"groups/{fate}"] for fate in Fate)
        assert all(proposer[fate] == line.get(f"proposer/{fate}", 0) for fate in Fate)
        assert solver.total() == line["groups/asked"]
        assert proposer.total() == line["self_play/proposals"]
    assert {row["request_id"] for row in rows if row["role"] == "solver"} == set(played)


def test_tokens_of_both_roles_add_up(whole):
    directory, *_ = whole
    rows, last = ledger_rows(directory), without_clocks(directory)[-1]
    for kind in ("prompt_tokens", "generated_tokens", "tool_tokens"):
        assert sum(row[kind] for row in rows) == last[f"total_{kind}"] > 0


def test_every_proposal_is_on_record_with_its_verdict(whole):
    directory, *_ = whole
    lines, rows = without_clocks(directory), ledger_rows(directory)
    records = list(read_step_log(directory / "proposals.jsonl"))
    verdicts = Counter(record["verdict"] for record in records)
    assert set(verdicts) <= {"valid", *Reason}
    assert verdicts["valid"] == sum(line["self_play/valid"] for line in lines[1:]) > 0
    for reason in Reason:
        assert verdicts[reason] == sum(line[f"self_play/rejected/{reason}"] for line in lines[1:])
    fates = {row["request_id"]: row["fate"] for row in rows}
    assert all(record["fate"] == fates[record["request_id"]] for record in records)
    assert all((record["reward"] or 0) >= 0 for record in records), "nobody is punished"
    for record in records:
        if record["verdict"] == "valid" and record["success"] is not None:
            assert record["reward"] == pytest.approx(1 - record["success"])


def test_the_solver_plays_accepted_questions_and_no_other(whole):
    directory, *_ = whole
    accepted = [one["task_id"] for one in read_step_log(directory / "proposals.jsonl") if one["verdict"] == "valid"]
    assert len(set(accepted)) == len(accepted), "no question twice in the pool"
    played = [row["task_id"] for row in ledger_rows(directory) if row["role"] == "solver"]
    assert set(played) <= set(accepted)
    assert without_clocks(directory)[-1]["pool/size"] == len(accepted)


def test_steps_are_filled_as_configured(whole):
    directory, _, _, kind = whole
    lines, rows = without_clocks(directory)[1:], ledger_rows(directory)
    played = {line["step"]: set() for line in lines}
    for row in rows:
        if row["role"] == "solver":
            assert row["task_id"] not in played[row["step"]], "no question twice in a step"
            played[row["step"]].add(row["task_id"])
    again = {late: played[late] & set().union(*(played[step] for step in range(1, late))) for late in played}
    if kind in {"dummy", "resample"}:
        assert not any(again.values())
        assert all(line["pool/replayed"] == 0 for line in lines)
        assert all(line["groups/asked"] <= min(8, line["self_play/valid"]) for line in lines)
    else:
        assert any(again.values())
        assert [line["pool/replayed"] for line in lines] == [len(again[line["step"]]) for line in lines]
    if kind == "resample":
        assert max(line["self_play/proposals"] for line in lines) > 8
        assert max(line["self_play/proposals"] for line in lines) <= 4 * 8
    if kind == "replay_reset":
        early = played[1] | played[2] | played[3]
        assert not (played[4] | played[5] | played[6] | played[7]) & early, "forgotten after three steps"


def test_both_roles_share_one_update(whole):
    directory, loop, _, _ = whole
    updated = [line["groups/trained"] + line.get("proposer/trained", 0) > 0 for line in without_clocks(directory)[1:]]
    assert loop.version == sum(updated) >= 3, "one update per step in which a role had signal"
    assert all(torch.isfinite(weight).all() for weight in last_weights(directory).values())


@pytest.mark.parametrize(
    "overrides",
    sample(
        [
            ("self_play.fill=replay_reset", "self_play.reset_every=2"),
            ("check.unsolved=refused", "self_play.fill=replay_reset", "self_play.reset_every=3"),
            ("self_play.fill=resample", "train.groups_per_step=3"),
            ("self_play.proposals=12", "self_play.fill=dummy"),
            ("self_play.fixed=proposer", "self_play.proposer_estimator=reinforce"),
            ("self_play.fixed=solver",),
            *(
                ("self_play.proposer_group_size=2", f"self_play.proposer_estimator={name}")
                for name in ("grpo", "gpg", "maxrl", "reinforce_pp_baseline")
            ),
            ("self_play.solver_from_step=3", "self_play.proposer_reward=intermediate"),
            ("check.kind=policy",),
            ("self_play.updates=proposer_first", "optimizer.schedule=linear"),
        ],
        ("self_play.fill=replay_reset", "self_play.reset_every=2"),
        ("check.unsolved=refused", "self_play.fill=replay_reset", "self_play.reset_every=3"),
    ),
    ids=" ".join,
)
def test_it_conserves_and_resumes_bit_for_bit(overrides, tmp_path):
    more = ("train.steps=6", "checkpoint.keep=9", "self_play.hops_warmup_steps=4")
    config = self_play_config("self_play", *overrides, *more)
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    finish(config, whole)
    with opened(config, halves) as loop:
        assert loop.run(lambda: loop.step + 1 >= 3) is Ending.INTERRUPTED
    assert finish(config, halves, resume=True)[0] is Ending.DONE
    assert_same_run(whole, halves)
    assert (whole / "proposals.jsonl").read_bytes() == (halves / "proposals.jsonl").read_bytes()
    rows, total = ledger_rows(whole), without_clocks(whole)[-1]["total_rollouts"]
    assert sum(row["n"] for row in rows) == total


@pytest.mark.slow
def test_kill_9_in_mid_run_then_resume_equals_the_uninterrupted_run(tmp_path):
    overrides = ("train.steps=7", "checkpoint.every=2", "self_play.fill=replay")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(self_play_config("self_play", *overrides), whole)
    command = ["train", str(SELF_PLAY_EXAMPLE), "--out", str(killed)]
    command += [part for key in (*QUICK_SELF_PLAY, *overrides) for part in ("--set", key)]
    signalled(command, UPDATE, 5)
    assert main([*command, "--resume"]) == 0
    assert_same_run(whole, killed)
    assert (whole / "proposals.jsonl").read_bytes() == (killed / "proposals.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("recipe", "overrides"),
    [
        pytest.param("recycle", ("pool.reset_below=0",), marks=pytest.mark.slow),
        pytest.param("posterior_recycle", (), marks=pytest.mark.slow),
        pytest.param("erpo", ("self_play.fill=replay",), marks=pytest.mark.slow),
        pytest.param(
            "grpo", ("sizes.rule=inverse_success", "sizes.maximum=4", "self_play.fill=replay"), marks=pytest.mark.slow
        ),
        pytest.param("c_rf_ntf", ("train.group_size=1",), marks=pytest.mark.slow),
        pytest.param("spo", ("self_play.fill=replay",), marks=pytest.mark.slow),
        pytest.param("greso", ("self_play.fill=replay",), marks=pytest.mark.slow),
        pytest.param("reinforce_ada", (), marks=pytest.mark.slow),
        pytest.param("pods", ("train.group_size=6",), marks=pytest.mark.slow),
    ],
)
def test_created_questions_are_tasks_for_every_method(recipe, overrides, tmp_path):
    config = self_play_config(recipe, *overrides, "train.steps=5")
    ending, _ = finish(config, tmp_path / "run")
    assert ending is Ending.DONE
    rows, lines = ledger_rows(tmp_path / "run"), without_clocks(tmp_path / "run")
    assert sum(row["n"] for row in rows) == lines[-1]["total_rollouts"]
    solver = [row for row in rows if row["role"] == "solver"]
    if recipe == "c_rf_ntf":
        assert {row["n"] for row in solver} == {1}
    if recipe == "recycle":
        assert any(row["fate"] == Fate.RECYCLED for row in solver)
        later = [row for row in solver if row["previous_outcome"] is not None]
        assert later, "a question without signal is drawn again"


@pytest.mark.slow
def test_a_run_without_any_valid_question_stops_and_says_why(tmp_path, capsys):
    config = ["filters.min_searches=9", "train.max_steps_without_signal=3", "train.steps=9"]
    command = ["train", str(SELF_PLAY_EXAMPLE), "--out", str(tmp_path / "run")]
    assert main([*command, *(part for key in (*QUICK_SELF_PLAY, *config) for part in ("--set", key))]) == 3
    errors = capsys.readouterr().err
    assert "no proposed question was valid" in errors
    assert "too few searches" in errors
    assert not (tmp_path / "run" / "proposals.jsonl").read_text().count('"verdict": "valid"')


def test_nothing_unverified_is_ever_played(tmp_path):
    """A policy that knows nothing confirms nothing: with its own check, no question gets through."""
    strict = ("task.verifier=qa_exact_match", "task.success_threshold=1.0", "train.max_steps_without_signal=9")
    config = self_play_config("self_play", "check.kind=policy", "train.steps=3", *strict)
    finish(config, tmp_path / "run")
    records = list(read_step_log(tmp_path / "run" / "proposals.jsonl"))
    confirmed = [one for one in records if one["verdict"] == "valid"]
    assert all(qa_exact_match(one["reply"], one["answers"]) for one in confirmed)
    assert Counter(one["verdict"] for one in records)["unanswerable"] > 0
    checked = without_clocks(tmp_path / "run")[1:]
    assert sum(line["rag_check/open_book"] for line in checked) > 0
    rows = ledger_rows(tmp_path / "run")
    total = without_clocks(tmp_path / "run")[-1]
    assert total["total_generated_tokens"] > sum(row["generated_tokens"] for row in rows), "the check costs tokens"
    assert total["total_rollouts"] == sum(row["n"] for row in rows), "and no rollouts"


def test_records_are_json_lines_in_the_order_of_the_steps(whole):
    directory, *_ = whole
    text = (directory / "proposals.jsonl").read_text()
    steps = [json.loads(line)["step"] for line in text.splitlines()]
    assert all(before <= after for before, after in pairwise(steps))
    first = json.loads(text.splitlines()[0])
    assert first["documents"] is not None
