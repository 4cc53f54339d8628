"""Every option of self-play, of its filters and of its check reaches the code that it names."""

import json
import threading
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from self_play_stage import (
    LANDS,
    asks,
    capital,
    let_speak,
    numbered,
    overrides_of,
    played,
    script,
    stage_config,
    town_of,
    updates_of,
)
from test_loop import opened, without_clocks

from fast import sample
from rekindle.assembly.self_play import policy_answerer
from rekindle.cli import main
from rekindle.engines.endpoint import Endpoint
from rekindle.engines.engine import Completion
from rekindle.environments.self_play.answering import OpenBook
from rekindle.environments.self_play.proposer import TAGS_INSTRUCTIONS, Proposer
from rekindle.models.policy import Policy
from rekindle.observability.step_log import read_step_log
from rekindle.recipes import resolve
from rekindle.tasks import search_world
from rekindle.types import Document, Fate, TrainingSample
from rekindle.warm_starts.stage import _key, start_workbench
from search_cases import bpe_policy
from searching import QUICK_SELF_PLAY, SELF_PLAY_EXAMPLE, answering, recording, self_play_config, write_jsonl

COVERED = {
    "self_play.proposals": "test_so_many_seeds_are_drawn",
    "self_play.prompt": "test_what_the_proposer_reads",
    "self_play.hops": "test_wished_hops",
    "self_play.hops_warmup_steps": "test_wished_hops_rise",
    "self_play.max_turns": "test_the_proposers_turns",
    "self_play.max_new_tokens": "test_the_proposers_tokens",
    "self_play.turn_tokens": "test_the_proposers_tokens",
    "self_play.question_tokens": "test_the_proposers_tokens",
    "self_play.proposer_group_size": "test_so_many_proposals_for_each_seed",
    "self_play.proposer_temperature": "test_each_role_has_its_temperature",
    "self_play.proposer_estimator": "test_the_proposers_advantages",
    "self_play.proposer_reward": "test_what_a_proposer_earns",
    "self_play.intermediate_low": "test_what_a_proposer_earns",
    "self_play.intermediate_high": "test_what_a_proposer_earns",
    "self_play.intermediate_extremes": "test_what_a_proposer_earns",
    "self_play.updates": "test_the_proposer_is_trained_first_and_then_the_solver",
    "self_play.proposer_weight": "test_a_weight_scales_the_loss_of_its_role_alone",
    "self_play.solver_weight": "test_a_weight_scales_the_loss_of_its_role_alone",
    "self_play.proposer_from_step": "test_nobody_learns_before_its_first_step",
    "self_play.solver_from_step": "test_nobody_learns_before_its_first_step",
    "self_play.fixed": "test_the_start_policy_plays_the_fixed_role",
    "self_play.fill": "test_steps_with_too_few_questions",
    "self_play.max_rounds": "test_rounds_of_proposals",
    "self_play.reset_every": "test_earlier_questions_are_forgotten",
    "self_play.reference_samples": "test_the_start_policy_measures_each_question",
    "self_play.recorded_documents": "test_documents_of_so_many_proposals_are_on_record",
    "filters.min_characters": "test_a_filter_rejects_what_it_names",
    "filters.max_characters": "test_a_filter_rejects_what_it_names",
    "filters.min_words": "test_a_filter_rejects_what_it_names",
    "filters.min_searches": "test_a_filter_rejects_what_it_names",
    "filters.answer_in_query": "test_a_filter_rejects_what_it_names",
    "filters.near_duplicate": "test_near_duplicates",
    "filters.ambiguous": "test_questions_with_several_answers",
    "check.kind": "test_who_checks",
    "check.noise": "test_documents_of_other_trajectories_are_mixed_in",
    "check.closed_book": "test_attempts_without_documents",
    "check.unsolved": "test_questions_that_nobody_solves",
    "warm_start.check_noise": "test_the_demonstrated_noise_decides_which_start_policy_is_made",
    "check.prompt": "test_what_the_verifier_reads",
    "check.temperature": "test_how_the_verifier_is_sampled",
    "check.max_new_tokens": "test_how_the_verifier_is_sampled",
    "check.url": "test_a_server_is_asked_by_its_name_with_its_key",
    "check.model": "test_a_server_is_asked_by_its_name_with_its_key",
    "check.key_env": "test_a_server_is_asked_by_its_name_with_its_key",
    "check.timeout_seconds": "test_a_reply_is_waited_for_timeout_seconds",
    "check.concurrency": "test_so_many_requests_are_in_flight",
}
"""Of what ``test_options`` wants covered, and where it is."""


def quiet(*_):
    pass


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A chat model that is never asked anything: a script speaks for it."""
    directory = tmp_path_factory.mktemp("stage") / "model"
    bpe_policy().save(directory)
    return directory


@pytest.fixture
def config(model, tmp_path):
    """``config("self_play.hops=2")``"""
    return lambda *overrides: stage_config(tmp_path, model, *overrides)


def test_every_test_that_is_named_is_here():
    assert all(callable(globals().get(name)) for name in COVERED.values())


# -- seeds -------------------------------------------------------------------------------------------------------------


def test_answers_and_held_out_questions_come_from_files(config):
    with start_workbench(config(), quiet) as bench:
        assert [task.answer for task in bench.tasks.pool] == list(LANDS)
        assert [task.prompt for task in bench.tasks.held_out] == ["Solve A", "Solve B"]
    (step,) = played(config()).steps
    assert {answer for one in step.lines for answer in one["answers"]} == set(LANDS)
    (fewer,) = played(config("task.pool_size=2")).steps
    assert {answer for one in fewer.lines for answer in one["answers"]} == {"Paris", "Rome"}


@pytest.mark.parametrize(
    ("overrides", "count"), [((), 4), (("self_play.proposals=7",), 7), (("self_play.proposals=1",), 1)]
)
def test_so_many_seeds_are_drawn(overrides, count, config):
    (step,) = played(config(*overrides)).steps
    assert step.supplied.metrics["self_play/proposals"] == len(step.lines) == count
    assert len({one["seed"] for one in step.lines}) == min(count, 4)


@pytest.mark.parametrize("hops", [1, 3])
def test_wished_hops(hops, config):
    (step,) = played(config("self_play.proposals=24", f"self_play.hops={hops}")).steps
    assert {one["hops"] for one in step.lines} == set(range(1, hops + 1))


def test_wished_hops_rise(config):
    def most(*overrides):
        steps = played(config("self_play.proposals=24", *overrides), steps=5).steps
        return [max(one["hops"] for one in step.lines) for step in steps]

    assert most("self_play.hops_warmup_steps=4") == [1, 2, 3, 4, 4]
    assert most() == [4] * 5


# -- what the proposer is asked ----------------------------------------------------------------------------------------


def test_what_the_proposer_reads(config):
    text, _ = played(config('self_play.prompt="Ask for {answer}; {hops}!"')).of("proposer")[0]
    assert any(f"\nAsk for {town}; {hops}!\n" in text for town in LANDS for hops in range(1, 5))
    heard = []

    def nothing(text, _):
        heard.append(text)
        return "<question>?</question>"

    played(config("self_play.prompt="), nothing)
    assert all(TAGS_INSTRUCTIONS.split("{answer}")[0] in text for text in heard)


@pytest.mark.parametrize(
    ("overrides", "turns"),
    [(("self_play.max_turns=2",), 2), (("self_play.max_turns=3",), 3), (("search.max_turns=4",), 4)],
    ids=["two", "three", "as the solver"],
)
def test_the_proposers_turns(overrides, turns, config):
    """One who searches for ever is asked for a question after its last turn."""
    proposer = script(proposer=lambda text, _: f"<search>{town_of(text)} {len(text)}</search>")
    found = played(config("self_play.proposals=1", *overrides), proposer).of("proposer")
    assert len(found) == turns + 1
    assert found[-1][0].rstrip().endswith("<question>")


@pytest.mark.parametrize(
    ("overrides", "first", "forced"),
    [
        ((), 104, 96),
        (("self_play.max_new_tokens=150",), 54, 96),
        (("self_play.question_tokens=50",), 150, 50),
        (("self_play.turn_tokens=30",), 30, 96),
        (("search.turn_tokens=30",), 104, 96),
    ],
)
def test_the_proposers_tokens(overrides, first, forced, config):
    """Its first turn may take what is not kept for its question, or as much as one turn may."""
    rambles = script(proposer=lambda *_: "so " * 400)
    found = [request.max_new_tokens for _, request in played(config(*overrides), rambles).of("proposer")]
    assert (found[0], found[-1]) == (first, forced)


@pytest.mark.parametrize("count", [1, 3])
def test_so_many_proposals_for_each_seed(count, config):
    play = played(config(f"self_play.proposer_group_size={count}"), script(numbered(*LANDS)))
    (step,) = play.steps
    assert {request.n for text, request in play.of("proposer") if "<information>" not in text} == {count}
    assert len(step.lines) == step.verdicts["valid"] == 4 * count
    assert [one.n for one in step.requests] == [2] * 4, "what a step has no place for is played later"
    fates = {Fate.TRAINED, Fate.EXCESS} if count > 1 else {Fate.TRAINED}
    assert {one.fate for one in step.supplied.records} == fates


def test_each_role_has_its_temperature(config):
    play = played(config("self_play.proposer_temperature=0.7", "train.temperature=1.3"))
    assert {request.temperature for _, request in play.of("proposer")} == {0.7}
    assert {request.temperature for _, request in play.of("solver")} == {1.3}
    assert {one.temperature for one in play.steps[0].supplied.samples} == {0.7}


# -- what the proposer learns ------------------------------------------------------------------------------------------

PAIRS = ("task.pool_size=2", "train.groups_per_step=2", "self_play.proposer_group_size=2")


def first_only(town, sample):
    """The first of a pair asks, and the second gives the answer away."""
    return capital(town) if sample == 0 else f"Is it {town}?"


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [  # of rewards [0.5, 0] about Paris, which one of two solves, and [1, 0] about Rome
        ("reinforce", [0.5, 0, 1, 0]),
        ("batch_centred", [0.125, -0.375, 0.625, -0.375]),
        ("batch_standardize", [0.301511, -0.904534, 1.507557, -0.904534]),
        ("grpo", [1, -1, 1, -1]),
        ("dr_grpo", [0.25, -0.25, 0.5, -0.5]),
        ("rloo", [0.5, -0.5, 1, -1]),
        ("maxrl", [1, -1, 1, -1]),
        ("gpg", [0.25, -0.25, 0.5, -0.5]),
        ("reinforce_pp_baseline", [0.632456, -0.632456, 1.264911, -1.264911]),
    ],
)
def test_the_proposers_advantages(estimator, expected, config):
    overrides = (*PAIRS, f"self_play.proposer_estimator={estimator}")
    (step,) = played(config(*overrides), script(asks(first_only))).steps
    towns = [one["answers"] for one in step.lines]
    given = [max(one.advantages, key=abs) for one in step.supplied.samples]
    by_town = [advantage for _, advantage in sorted(zip(towns, given, strict=True), key=lambda pair: pair[0])]
    assert by_town == pytest.approx(expected, abs=1e-5)


GENTLE = ("self_play.proposer_reward=intermediate", "self_play.intermediate_low=0.25")


@pytest.mark.parametrize(
    ("overrides", "half", "never"),
    [
        ((), 0.5, 1.0),
        (("self_play.proposer_reward=intermediate",), 1.0, 0.0),
        (("self_play.proposer_reward=intermediate", "self_play.intermediate_low=0.25"), 1.5, 1.0),
        (("self_play.proposer_reward=intermediate", "self_play.intermediate_high=0.75"), 0.5, 0.0),
        ((*GENTLE, "self_play.intermediate_extremes=formula"), 1.5, 1.0),
        ((*GENTLE, "self_play.intermediate_extremes=zero"), 1.5, 0.0),
    ],
)
def test_what_a_proposer_earns(overrides, half, never, config):
    """4 (low + s) (high - s) of a question that half of the solvers, or none, got right."""
    (step,) = played(config(*overrides)).steps
    assert {one["answers"][0]: one["reward"] for one in step.lines} == {
        town: half if town == "Paris" else never for town in LANDS
    }


@pytest.mark.parametrize("estimator", ["reinforce", "batch_centred"])
def test_estimators_without_a_group_for_the_solver(estimator, config):
    """``advantage.estimator``: rewards as they are, or less their mean over the step (one of eight is right)."""
    (step,) = played(config(f"advantage.estimator={estimator}", "loss.aggregation=sequence_mean")).steps
    baseline = 0.125 if estimator == "batch_centred" else 0.0
    given = sorted(max(one.advantages, key=abs) for one in step.samples)
    assert given == pytest.approx([-baseline] * 7 + [1 - baseline])


# -- who learns --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights(model, tmp_path_factory):
    """The weights of both roles' samples in the first update, under some settings."""

    def of(*overrides):
        directory = tmp_path_factory.mktemp("weights")
        given = stage_config(directory, model, "train.steps=1", *overrides)
        ((proposer, solver),) = updates_of(given, directory / "run")
        return [one.weight for one in proposer], [one.weight for one in solver]

    return of


@pytest.mark.parametrize("role", sample(["proposer", "solver"], "proposer"))
def test_a_weight_scales_the_loss_of_its_role_alone(role, weights):
    (plain_proposer, plain_solver), (proposer, solver) = weights(), weights(f"self_play.{role}_weight=3.0")
    factors = {"proposer": 1.0, "solver": 1.0} | {role: 3.0}
    assert proposer == pytest.approx([factors["proposer"] * one for one in plain_proposer])
    assert solver == pytest.approx([factors["solver"] * one for one in plain_solver])


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), [(4, 8)] * 3),
        (("self_play.proposer_from_step=3",), [(0, 8), (0, 8), (4, 8)]),
        pytest.param(("self_play.solver_from_step=2",), [(4, 0), (4, 8), (4, 8)], marks=pytest.mark.slow),
        pytest.param(("self_play.fixed=proposer",), [(0, 8)] * 3, marks=pytest.mark.slow),
        pytest.param(("self_play.fixed=solver",), [(4, 0)] * 3, marks=pytest.mark.slow),
    ],
    ids=lambda one: " ".join(map(str, one)),
)
def test_nobody_learns_before_its_first_step(overrides, expected, config, tmp_path):
    """Samples of proposers and solvers in each update; who is fixed never learns."""
    updates = updates_of(config(*overrides), tmp_path / "run", script(numbered(*LANDS)))
    assert [(len(proposer), len(solver)) for proposer, solver in updates] == expected


def test_the_proposer_is_trained_first_and_then_the_solver(config, tmp_path):
    """Two updates of a step, one version; joint is one. The proposer's update moves the policy, and the solver's still
    has the ratio 1, so nothing is clipped; the schedule ends with the last update of the last step."""
    given = (
        "train.learning_rate=0.02",
        "optimizer.warmup_steps=0",
        "optimizer.schedule=linear",
        "loss.clip_low=0.0001",
    )
    found = {}
    for kind in ("joint", "proposer_first"):
        asked = config(f"self_play.updates={kind}", *given, "loss.clip_high=0.0001")
        updates = updates_of(asked, tmp_path / kind, script(numbered(*LANDS)))
        found[kind] = (
            [(len(proposer), len(solver)) for proposer, solver in updates],
            without_clocks(tmp_path / kind)[1:],
        )
    (joint, together), (apart, lines) = found["joint"], found["proposer_first"]
    assert joint == [(4, 8)] * 3
    assert apart == [(4, 0), (0, 8)] * 3
    assert [line["version"] for line in lines] == [line["version"] for line in together] == [1, 2, 3]
    assert [line["clip_fraction"] for line in lines] == [0.0] * 3
    assert [line["lr"] / 0.02 for line in lines] == pytest.approx([5 / 6, 3 / 6, 1 / 6])
    assert [line["lr"] / 0.02 for line in together] == pytest.approx([1, 2 / 3, 1 / 3])
    assert lines[0]["trained_tokens"] == together[0]["trained_tokens"], "in the first step the policy is the same"
    assert lines[0]["loss"] != together[0]["loss"]


READS = ("check.kind=policy", 'check.prompt="Read {documents} {question}"', "engine.max_new_tokens=600")


def alike(town, _=0):
    """A valid question that differs from those of the other towns in one word of 58."""
    return f"Which town is the capital of {LANDS[town]} {'and of no other land ' * 10}today?"


def test_the_paper_alone(config, tmp_path, model):
    """No closed-book attempts, no reference policy, near-duplicates and unsolved questions pass; groups all train."""
    toml = tmp_path / "run.toml"
    toml.write_text("")
    own = [one for one in overrides_of(tmp_path, model) if not one.startswith(("check.", "train.gate"))]
    found = played(resolve(toml, "self_play_paper", [*own, *READS]), script(asks(alike)))
    (step,) = found.steps
    assert step.verdicts == {"valid": 4}
    assert {one["reference_success"] for one in step.lines} == {None}
    assert not found.asked_start
    assert len(found.of("verifier")) == 4, "each question once, with documents"
    given = [max(one.advantages, key=abs) for one in step.samples]
    assert sorted(given) == [-0.5, *[0.0] * 6, 0.5], "three of the four groups have no signal"

    ours = played(config(*READS, "check.unsolved="), script(asks(alike)))
    assert ours.steps[0].verdicts == {"unsolved": 1, "duplicate": 3}
    assert len(ours.of("verifier")) == 2, "once with documents and once without"
    assert ours.asked_start


MOVING = (
    "train.learning_rate=0.02",
    "advantage.estimator=c_rf",  # groups that are all wrong move the policy as well
    "train.gate=everything",
    "train.steps=4",
    "eval.every=99",
    "eval.prompts=2",
)


def start_agrees(start, rollouts):
    """Whether the start policy has the log-probabilities with which rollouts were sampled."""
    samples = [
        TrainingSample(
            token_ids=one.token_ids,
            loss_mask=one.loss_mask,
            logprobs=one.logprobs,
            advantages=one.logprobs,
            temperature=one.temperature,
            weight=1.0,
        )
        for one in rollouts
    ]
    with torch.no_grad():
        found = start.token_logprobs(samples).logprobs
    behaviour = [value for one in rollouts for value, own in zip(one.logprobs, one.loss_mask, strict=True) if own]
    return torch.allclose(found, torch.tensor(behaviour), atol=1e-3)


@pytest.mark.parametrize("fixed", sample(["none", "proposer", "solver"]))
def test_the_start_policy_plays_the_fixed_role(fixed, tmp_path, monkeypatch):
    """After some updates, its rollouts still have the start policy's log-probabilities, and the others have not."""
    proposed, propose = [], Proposer.propose

    def noted(self, orders):
        proposals, failed = propose(self, orders)
        proposed.append([one.rollout for one in proposals])
        return proposals, failed

    monkeypatch.setattr(Proposer, "propose", noted)
    estimator = "self_play.proposer_estimator=reinforce"  # a fixed proposer has none of its own
    given = self_play_config("self_play", *MOVING, estimator, f"self_play.fixed={fixed}")
    with start_workbench(given, quiet) as bench:
        assert bench.directory is not None
        start = Policy.load(bench.directory, device="cpu", dtype="float32")
    seam, played_groups = recording()
    with opened(given, tmp_path / "run", adapt=seam) as loop:
        loop.run()
    solved = [rollout for rollouts in played_groups.values() for rollout in rollouts]
    newest = [one for one in solved if one.version == max(rollout.version for rollout in solved)]
    assert newest[0].version > 0, "there were updates before"
    agreed = {"proposer": start_agrees(start, proposed[-1]), "solver": start_agrees(start, newest)}
    assert agreed == {role: role == fixed for role in agreed}


# -- how a step is filled ----------------------------------------------------------------------------------------------

HALF = ("Paris", "Rome")


def steps_of(config, *overrides, good=HALF, steps=5):
    """(Proposals, groups of the solver, earlier questions among them) of some steps with so many good seeds of four."""
    found = played(config(*overrides), script(numbered(*good)), steps).steps
    return [(len(step.lines), len(step.requests), step.pool["pool/replayed"]) for step in found]


@pytest.mark.parametrize(
    ("fill", "expected"),
    [
        ("dummy", [(4, 2, 0)] * 5),
        ("resample", [(8, 4, 0)] * 5),
        ("replay", [(4, 2, 0)] + [(4, 4, 2)] * 4),
        ("replay_reset", [(4, 2, 0)] + [(4, 4, 2)] * 4),
    ],
)
def test_steps_with_too_few_questions(fill, expected, config):
    """Two of four seeds give a question: a smaller step, more proposals, or earlier questions."""
    assert steps_of(config, f"self_play.fill={fill}") == expected


@pytest.mark.parametrize(("most", "expected"), [(2, (8, 2, 0)), (3, (12, 3, 0)), (9, (16, 4, 0))])
def test_rounds_of_proposals(most, expected, config):
    """One of four seeds gives a question; rounds go on until there are four, or so many were made."""
    overrides = ("self_play.fill=resample", f"self_play.max_rounds={most}")
    assert steps_of(config, *overrides, good=["Oslo"], steps=2) == [expected] * 2


@pytest.mark.parametrize(("every", "replayed"), [(2, [0, 2, 0, 2, 0]), (3, [0, 2, 2, 0, 2])])
def test_earlier_questions_are_forgotten(every, replayed, config):
    found = steps_of(config, f"self_play.reset_every={every}")
    assert [one[2] for one in found] == replayed
    assert [one[1] for one in found] == [2 + again for again in replayed]


# -- what is measured and kept -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [0, 1, 2])
def test_the_start_policy_measures_each_question(samples, config):
    play = played(config(f"self_play.reference_samples={samples}"))
    (step,) = play.steps
    assert [request.n for _, request in play.asked_start] == ([samples] * 4 if samples else [])
    of_paris = {0: None, 1: 1.0, 2: 0.5}[samples]
    assert {one["reference_success"] for one in step.lines if one["answers"] == ["Paris"]} == {of_paris}
    mean = None if of_paris is None else of_paris / 4
    assert step.supplied.metrics["self_play/reference_success"] == mean


@pytest.mark.parametrize("count", [0, 3, 8])
def test_documents_of_so_many_proposals_are_on_record(count, config):
    (step,) = played(config(f"self_play.recorded_documents={count}")).steps
    assert ["documents" in one for one in step.lines] == [number < count for number in range(4)]


# -- filters -----------------------------------------------------------------------------------------------------------


def unsearched(text, _):
    return f"<question>{capital(town_of(text))}</question>"


def twice(text, _):
    """Searches for its land, which is not given away, and then for its answer."""
    queries = text.count("<information>")
    if queries == 2:
        return unsearched(text, 0)
    return f"<search>{town_of(text) if queries else LANDS[town_of(text)]}</search>"


FILTERED = {
    # key: (a value under which questions are rejected, why, the proposer)
    "filters.min_characters": (60, "too_short", None),
    "filters.max_characters": (20, "too_long", None),
    "filters.min_words": (9, "too_short", None),
    "filters.min_searches": (2, "too_few_searches", None),
    "filters.answer_in_query": ("refused", "answer_in_query", twice),
}


@pytest.mark.parametrize("key", FILTERED)
def test_a_filter_rejects_what_it_names(key, config):
    value, reason, proposer = FILTERED[key]
    says = script(proposer)
    assert played(config(), says).steps[0].verdicts == {"valid": 4}
    assert played(config(f"{key}={json.dumps(value)}"), says).steps[0].verdicts == {reason: 4}


def test_a_question_may_need_no_search(config):
    assert played(config(), script(unsearched)).steps[0].verdicts == {"too_few_searches": 4}
    assert played(config("filters.min_searches=0"), script(unsearched)).steps[0].verdicts == {"valid": 4}


@pytest.mark.parametrize(("threshold", "valid"), [(1.0, 4), (0.7, 4), (0.6, 1), (0.5, 1)])
def test_near_duplicates(threshold, valid, config):
    """Two questions of seven words that differ in the last one share 6 of 10 pairs of neighbours."""
    verdicts = played(config(f"filters.near_duplicate={threshold}")).steps[0].verdicts
    assert (verdicts["valid"], verdicts["duplicate"]) == (valid, 4 - valid)


@pytest.mark.parametrize(("overrides", "verdict"), [((), "ambiguous"), (("filters.ambiguous=allowed",), "valid")])
def test_questions_with_several_answers(overrides, verdict, monkeypatch):
    """In the embedded world, where somebody has two bosses."""
    told = search_world.self_play_passages

    def two_bosses(params, corpus):
        name, boss, other = (one.title for one in told(params, corpus)[:3])
        facts = [Document(one, name, f"{name} boss {one} .") for one in (boss, other)]
        questions.append(f"{name} boss ?")
        return [*told(params, corpus), *facts]

    def says(text, _):
        return f"<question> {questions[-1]} </question>" if "<information>" in text else "<search> boss </search>"

    questions = []
    monkeypatch.setattr(search_world, "self_play_passages", two_bosses)
    given = self_play_config("self_play", "self_play.proposals=1", *overrides)
    assert played(given, says).steps[0].verdicts == {verdict: 1}


# -- the check ---------------------------------------------------------------------------------------------------------

CHECKED = ("check.kind=policy", 'check.prompt="Read {documents} and answer {question}"')


def checks(play):
    """Prompts of the verifier, with and without documents."""
    texts = [text for text, _ in play.of("verifier")]
    return [text for text in texts if "[" in text], [text for text in texts if "[" not in text]


def doubts(*_):
    return "<answer>unknown</answer>"


def test_who_checks(config):
    refused = script(verifier=doubts)
    off, policy = played(config(), refused), played(config(*CHECKED), refused)
    assert (off.steps[0].verdicts, len(off.of("verifier"))) == ({"valid": 4}, 0)
    assert (policy.steps[0].verdicts, len(policy.of("verifier"))) == ({"unanswerable": 4}, 4)
    assert played(config(*CHECKED)).steps[0].verdicts == {"valid": 4}
    assert policy.steps[0].supplied.further_tokens[1] > 0
    with answering(says_the_town) as url:
        endpoint = played(config(*endpoint_at(url)), refused)
    start = played(config(*CHECKED, "check.kind=start", "self_play.reference_samples=0"), refused)
    assert (start.steps[0].verdicts, len(start.asked_start), start.of("verifier")) == ({"unanswerable": 4}, 4, [])
    assert start.steps[0].supplied.further_tokens == policy.steps[0].supplied.further_tokens
    assert (endpoint.steps[0].verdicts, len(endpoint.of("verifier"))) == ({"valid": 4}, 0)
    assert endpoint.steps[0].supplied.further_tokens == (0, 0), "a server's tokens are not the policy's"


@pytest.mark.parametrize("noise", [0, 2, 9])
def test_documents_of_other_trajectories_are_mixed_in(noise, config):
    shown, _ = checks(played(config(*CHECKED, f"check.noise={noise}")))
    assert [text.count("[") for text in shown] == [1 + min(noise, 3)] * 4, "one document of each trajectory"


@pytest.mark.parametrize("attempts", [0, 1, 3])
def test_attempts_without_documents(attempts, config):
    play = played(config(*CHECKED, f"check.closed_book={attempts}"))
    assert len(checks(play)[1]) == 4 * attempts
    towns = {land: town for town, land in LANDS.items()}
    knows = script(verifier=lambda text, _: f"<answer>{towns[land_of(text)]}</answer>")
    expected = {"known": 4} if attempts else {"valid": 4}
    assert played(config(*CHECKED, f"check.closed_book={attempts}"), knows).steps[0].verdicts == expected


def test_questions_that_nobody_solves(config):
    """Paris is solved by one of two rollouts; the three other questions come again only where they are allowed."""
    allowed, refused = (
        played(config("self_play.fill=replay", f"check.unsolved={unsolved}"), steps=2).steps
        for unsolved in ("allowed", "refused")
    )
    assert [step.verdicts for step in allowed] == [{"valid": 4}, {"duplicate": 4}]
    assert [step.verdicts for step in refused] == [{"valid": 1, "unsolved": 3}, {"duplicate": 4}]
    assert [len(step.requests) for step in (*allowed, *refused)] == [4, 4, 4, 1]
    assert [one["reward"] for one in refused[0].lines] == [
        0.5 * (one["answers"] == ["Paris"]) for one in refused[0].lines
    ]
    assert {one["reward"] for one in allowed[0].lines} == {0.5, 1.0}


def land_of(text):
    """The land that a verifier is asked about."""
    asked = text[text.rindex("capital of") :]
    return next(land for land in LANDS.values() if land in asked)


def test_what_the_verifier_reads(config):
    shown, closed = checks(played(config("check.kind=policy", 'check.prompt="{question} Read {documents}"')))
    assert all("user\nWhich town is the capital of" in text and "? Read [" in text for text in shown)
    assert all(text.rstrip().endswith("? Read \nassistant") for text in closed)
    heard = []

    def says(text, sample):
        if "Answer the question below" not in text:
            return script()(text, sample)
        heard.append(text)
        return "<answer>unknown</answer>"

    played(config("check.kind=policy"), says)
    assert len(heard) == 4
    assert all("write it between <answer> and </answer>" in text for text in heard)


def test_how_the_verifier_is_sampled(config):
    def sampling(*overrides):
        found = played(config(*CHECKED, *overrides)).of("verifier")
        return {(request.temperature, request.max_new_tokens) for _, request in found}

    assert sampling() == {(0.0, 256)}
    assert sampling("check.temperature=0.8", "check.max_new_tokens=99") == {(0.8, 99)}


def test_the_demonstrated_noise_decides_which_start_policy_is_made():
    def key(*overrides):
        return _key(self_play_config("self_play", *overrides))

    base = key("check.noise=4")
    assert key("check.noise=7", "warm_start.check_noise=4") == key("warm_start.check_noise=4") == base
    assert key("check.noise=7") == key("warm_start.check_noise=7", "check.noise=4") != base


# -- a server that checks ----------------------------------------------------------------------------------------------


def says_the_town(payload, _):
    """A server that is right with documents in view, and knows nothing without."""
    text = payload["messages"][-1]["content"]
    town = next(town for town in LANDS if LANDS[town] == land_of(text))
    text = f"<answer>{town if 'Document 1' in text else 'unknown'}</answer>"
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return 200, {"choices": [choice], "usage": {"completion_tokens": 3}}


def endpoint_at(url):
    return ("check.kind=endpoint", f"check.url={json.dumps(url + '/v1')}", "check.model=checker")


def test_a_server_is_asked_by_its_name_with_its_key(config, monkeypatch):
    monkeypatch.setenv("CHECK_KEY", "secret-123")
    seen = set()

    def rule(payload, headers):
        sampling = (payload["temperature"], payload["max_tokens"])
        seen.add((payload["model"], headers.get("Authorization"), *sampling))
        return says_the_town(payload, headers)

    def asked(*overrides):
        seen.clear()
        assert played(config(*endpoint_at(url), *overrides)).steps[0].verdicts == {"valid": 4}
        return set(seen)

    with answering(rule) as url:
        assert asked() == {("checker", None, 0.0, 256)}
        assert asked("check.model=other", "check.key_env=CHECK_KEY") == {("other", "Bearer secret-123", 0.0, 256)}
        assert asked("check.temperature=0.5", "check.max_new_tokens=77") == {("checker", None, 0.5, 77)}


def test_a_server_reads_the_prompt_that_is_chosen(config):
    seen = []

    def rule(payload, headers):
        seen.append(payload["messages"][-1]["content"])
        return says_the_town(payload, headers)

    with answering(rule) as url:
        played(config(*endpoint_at(url), 'check.prompt="Mind this: {documents} {question}"', "check.noise=1"))
    assert len(seen) == 8
    assert all(text.startswith("Mind this: ") for text in seen)
    assert sorted(text.count("Document ") for text in seen) == [0] * 4 + [2] * 4


def test_a_reply_is_waited_for_timeout_seconds(config, monkeypatch):
    waits, post = set(), Endpoint._post

    def noted(self, payload):
        waits.add(self._timeout)
        return post(self, payload)

    monkeypatch.setattr(Endpoint, "_post", noted)
    with answering(says_the_town) as url:
        played(config(*endpoint_at(url)))
        played(config(*endpoint_at(url), "check.timeout_seconds=1.5"))
    assert waits == {60.0, 1.5}


@pytest.mark.parametrize("concurrency", [1, 2])
def test_so_many_requests_are_in_flight(concurrency, config):
    """The server answers only when as many as may be are there, and counts how many there were."""
    together, here, most = threading.Barrier(concurrency), [], []

    def rule(payload, headers):
        here.append(1)
        most.append(len(here))
        together.wait(20)
        here.pop()
        return says_the_town(payload, headers)

    with answering(rule) as url:
        play = played(config(*endpoint_at(url), f"check.concurrency={concurrency}"))
    assert play.steps[0].verdicts == {"valid": 4}
    assert max(most) == concurrency


# -- whole runs, and what is refused -----------------------------------------------------------------------------------


@pytest.fixture
def command(model, tmp_path, monkeypatch, capsys):
    """``command("train", "check.noise=1")``: the exit code, and the lines on the error stream."""
    monkeypatch.chdir(tmp_path)

    def run(name, *overrides):
        (tmp_path / "run.toml").write_text('recipe = "self_play"\n')
        settings = [part for one in overrides_of(tmp_path, model, *overrides) for part in ("--set", one)]
        out = tmp_path / ("run" if name == "train" else "profile.parquet")
        code = main([name, str(tmp_path / "run.toml"), "--out", str(out), *settings])
        return code, capsys.readouterr().err.strip().splitlines()

    return run


def test_a_file_of_answers_trains(config, tmp_path):
    updates = updates_of(config(), tmp_path / "run", script(numbered(*LANDS)))
    lines = without_clocks(tmp_path / "run")
    assert [line["step"] for line in lines] == [0, 1, 2, 3]
    assert all(first["version"] < second["version"] for first, second in pairwise(lines))
    assert len(updates) == 3
    records = read_step_log(tmp_path / "run" / "proposals.jsonl")
    assert {one["verdict"] for one in records} == {"valid"}
    assert all("true_answers" not in one for one in records), "only the embedded world can tell"


def files(tmp_path):
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "broken.jsonl").write_text('"Paris"\n{"answer": \n')
    (tmp_path / "answers.csv").write_text("Paris\n")
    write_jsonl(tmp_path / "unnamed.jsonl", [{"name": "Paris"}])


REFUSED = {
    "no file": (["task.path=nowhere.txt"], ["nowhere.txt", "task.path"]),
    "no answers": (["task.path=empty.txt"], ["empty.txt has no answers; write at least one"]),
    "a broken line": (["task.path=broken.jsonl"], ["broken.jsonl:2: not valid JSON"]),
    "another field": (["task.path=unnamed.jsonl"], ['unnamed.jsonl:1: there is no "answer" (fields: name)']),
    "another kind of file": (["task.path=answers.csv"], ["answers.csv", "convert or rename it"]),
    "nothing to evaluate on": (["task.eval_path="], ["none can be held out; set task.eval_path"]),
    "no such questions": (["task.eval_path=nowhere.jsonl"], ["nowhere.jsonl"]),
    "no answer in the prompt": (['self_play.prompt="Ask in {hops}."'], ["self_play.prompt", "has no {answer} in it"]),
    "no hops in the prompt": (['self_play.prompt="Ask {answer}"'], ["self_play.prompt", "has no {hops} in it"]),
    "no question to check": (["check.kind=policy", 'check.prompt="{documents}"'], ["check.prompt", "{question}"]),
    "no documents to check": (["check.kind=policy", 'check.prompt="{question}"'], ["check.prompt", "{documents}"]),
    "a field twice": (
        ["check.kind=policy", 'check.prompt="{documents} {question} {question}"'],
        ["check.prompt", "{question}"],
    ),
    "no key": (
        [*endpoint_at("http://127.0.0.1:9"), "check.key_env=NOT_SET_HERE"],
        ['check.key_env = "NOT_SET_HERE" names an environment variable that is not set; set it'],
    ),
    "no address": (["check.kind=endpoint", "check.model=m"], ["needs check.url and check.model; set check.url"]),
    "no name": (["check.kind=endpoint", 'check.url="http://127.0.0.1:9"'], ["set check.model"]),
    "no room to verify": (["check.kind=policy", "check.max_new_tokens=65530"], ["check.max_new_tokens"]),
    "params of the world": (
        ["task.params.hops=2"],
        ["would not be read; set task.source to a generator", "or remove it"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_errors_are_reported_before_anything_is_written(name, command, tmp_path):
    files(tmp_path)
    overrides, message = REFUSED[name]
    code, lines = command("train", *overrides)
    assert code == 2
    (sentence,) = [line for line in lines if not line.startswith("loading ")]
    assert sentence.startswith("rekindle: ")
    assert all(words in sentence for words in message), sentence
    assert not (tmp_path / "run").exists()


def test_questions_that_are_not_there_yet_have_no_profile(command):
    code, lines = command("profile")
    assert (code, len(lines)) == (2, 1)
    assert 'task.source = "self_play" invents its questions in the run' in lines[0]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("task.params.colour=3", "colour"),
        ("task.params.hops=many", "hops"),
        ("self_play.hops=0", "self_play.hops"),
        ("self_play.tries=2", "self_play.tries"),
        ("self_play.fill=nothing", "self_play.fill"),
    ],
)
def test_unknown_keys_and_values_of_the_embedded_world(override, message, tmp_path, capsys):
    settings = [part for one in (*QUICK_SELF_PLAY, override) for part in ("--set", one)]
    assert main(["train", str(SELF_PLAY_EXAMPLE), "--out", str(tmp_path / "run"), *settings]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert not (tmp_path / "run").exists()


def test_a_server_that_refuses_ends_the_run(command, monkeypatch):
    """With one sentence, at the first question: no retry helps against a wrong key."""
    let_speak(monkeypatch)
    monkeypatch.setenv("CHECK_KEY", "wrong")
    with answering(lambda *_: (401, {"error": {"message": "no such key"}})) as url:
        code, lines = command("train", *endpoint_at(url), "check.key_env=CHECK_KEY")
    assert code == 2
    refused = [line for line in lines if line.startswith("rekindle: ")]
    assert len(refused) == 1
    assert "401" in refused[0]
    assert "no such key" in refused[0]
    assert not any("Traceback" in line or "wrong" in line for line in lines), "and no secret is told"


@pytest.mark.parametrize(("protocol", "stop"), [("tags", ("</answer>",)), ("tool_calls", ())])
def test_chat_models_may_think_aloud_in_the_check(protocol, stop):
    """Who thinks about the tags before using them is not cut off at the first."""
    given = self_play_config("self_play", "check.kind=policy")
    spoken = given.model_copy(update={"search": given.search.model_copy(update={"protocol": protocol})})
    with start_workbench(given, quiet) as bench:
        engine = Noting()
        answerer = policy_answerer(replace(bench, config=spoken, engine=engine))
        answerer.answer([OpenBook("who is it ?", (Document("1", "", "it is he ."),), frozenset(), 0)])
    assert [order.stop for order in engine.orders] == [stop]


class Noting:
    """An engine that notes what it is asked, and says nothing."""

    def __init__(self):
        self.orders = []

    def sync(self, policy, version):
        pass

    def generate(self, requests):
        self.orders += requests
        for index, _ in enumerate(requests):
            yield index, [Completion([], [], truncated=True, text="")]
