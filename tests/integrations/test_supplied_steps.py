"""A run inside another trainer whose tasks are created during the run: one update of both roles, files, resume."""

import json

import pytest

from rekindle.environments.self_play.created_tasks import CreatedTasks
from rekindle.integrations.hosted_run import HostedRun
from rekindle.integrations.state_folder import read_state, write_state
from rekindle.records.update_stats import UpdateStats
from rekindle.types import UserError
from search_cases import environment
from searching import self_play_config
from self_play_cases import SEEDS, asks, game

STEPS = 3
UPDATE = UpdateStats(
    loss=0.1,
    entropy=1.0,
    grad_norm=0.5,
    lr=1e-3,
    kl=None,
    clip_fraction=0.0,
    trained_tokens=10,
    computed_tokens=20,
    padded_tokens=0,
    recomputed_tokens=0,
    microbatches=1,
    optimizer_steps=1,
)
FACTS = {
    "trainer": "other",
    "names": {},
    "held_out": 0,
    "model": "m",
    "processes": 1,
    "device": "cpu",
    "threads": 1,
    "parameters": 1,
}


def numbered(answer):
    """A question that no other answer has; the solver knows those about Paris and Rome."""
    return f"<question>Which capital has a name like {answer[1:]}?</question>"


def solves(text, sample):
    return "<answer>Paris</answer>" if sample % 2 else "<answer>Rome</answer>"


def new_run(directory):
    """A run of self-play over four seeds, with scripts in place of the policy."""
    created = CreatedTasks()
    config = self_play_config(
        "self_play",
        "train.groups_per_step=4",
        "train.group_size=4",
        "self_play.fill=replay",
        "self_play.reference_samples=0",
        "task.verifier=qa_exact_match",
        "task.success_threshold=1.0",
    )
    return HostedRun(
        config,
        SEEDS,
        environment(solves, tasks=created.tasks),
        directory=directory,
        parameters=1,
        decode=lambda ids: "".join(map(chr, ids)),
        said=str,
        say=lambda text: None,
        supply=lambda scheduler: game(asks(numbered), created=created, pool=scheduler.pool, reply=reply_of),
    )


def reply_of(book):
    return next(one.answer for one in SEEDS if one.answer[1:] in book.question) if book.documents else ""


def made_steps(run, count):
    """The samples of further steps, as numbers."""
    found = []
    for _ in range(count):
        samples = run.steps.next()
        assert samples is not None, run.steps.over
        found.append([(one.prompt_key, list(one.token_ids), list(one.advantages), one.weight) for one in samples])
        run.finish(UPDATE)
    return found


def opened(run, state=None):
    return run.opened(state, resumable=state is not None, profile=lambda: None, **FACTS)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The samples of an uninterrupted run, and its folder."""
    directory = tmp_path_factory.mktemp("whole") / "rekindle"
    run = new_run(directory)
    with opened(run):
        return made_steps(run, STEPS), directory


def test_an_update_has_samples_of_both_roles(whole):
    samples, _ = whole
    keys = {key for key, *_ in samples[0]}
    assert keys >= {-1, -2, -3, -4}, "the proposer's requests count down"
    assert any(key >= 0 for key in keys)


def test_every_file_has_both_roles(whole):
    _, directory = whole
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    first = lines[0]
    assert (first["self_play/proposals"], first["self_play/valid"], first["groups/asked"]) == (4, 4, 4)
    assert first["rollouts"] == 4 + 16
    assert first["proposer/trained"] + first["proposer/retired"] == 4
    assert first["proposer/turns"] == 8
    assert first["rag_check/open_book"] == 4
    proposals = [json.loads(line) for line in (directory / "proposals.jsonl").read_text().splitlines()]
    assert {one["verdict"] for one in proposals if one["step"] == 1} == {"valid"}
    roles = {json.loads(line)["role"] for line in (directory / "samples.jsonl").read_text().splitlines()}
    assert roles == {"proposer", "solver"}


@pytest.mark.parametrize("kept", [1, 2])
def test_a_run_that_goes_on_makes_the_same_steps(whole, tmp_path, kept):
    run = new_run(tmp_path / "rekindle")
    with opened(run):
        before = made_steps(run, kept)
        write_state(tmp_path / "state", run.state_dict())
        made_steps(run, 1)  # lost
    again = new_run(tmp_path / "rekindle")
    with opened(again, read_state(tmp_path / "state")):
        after = made_steps(again, STEPS - kept)
    assert before + after == whole[0]
    ours, theirs = ((one / "proposals.jsonl").read_text() for one in (tmp_path / "rekindle", whole[1]))
    assert ours == theirs


def test_a_checkpoint_without_its_supply_is_damaged(tmp_path):
    run = new_run(tmp_path / "rekindle")
    with opened(run):
        made_steps(run, 1)
        write_state(tmp_path / "state", run.state_dict())
    state = read_state(tmp_path / "state")
    del state["supply"]
    with pytest.raises(UserError, match="state of rekindle is damaged"), opened(new_run(tmp_path / "rekindle"), state):
        pass
