"""Whole runs of search agents, small: they conserve, resume, train on what was sampled, and outlive who they ask."""

import json
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
import torch
from test_loop import Passing, assert_same_run, finish, last_weights, ledger_rows, opened, without_clocks

from dying import UPDATE, signalled
from fast import sample
from rekindle.cli import main
from rekindle.engines.torch_engine import TorchEngine
from rekindle.environments.search.partner import COUNTS
from rekindle.evaluation.profile_file import load_profile
from rekindle.observability.metrics import read_metrics
from rekindle.records.endings import Ending
from rekindle.training.trainer import Trainer
from rekindle.types import Fate
from searching import QUICK_SEARCH, SEARCH_EXAMPLE, answering, file_config, recording, search_config, served


def levels(line, name):
    return {level: line[f"level_{level}/{name}"] for level in (1, 2) if f"level_{level}/{name}" in line}


@pytest.fixture(scope="module", params=sample(["grpo", "recycle"], "recycle"))
def whole(request, tmp_path_factory):
    """A whole run: its directory, its loop, and the rollouts of every request."""
    directory = tmp_path_factory.mktemp("search") / "run"
    seam, played = recording()
    with opened(search_config(request.param), directory, adapt=seam) as loop:
        assert loop.run() is Ending.DONE
    return directory, loop, played


def test_a_search_agent_trains_and_conserves(whole):
    directory, loop, played = whole
    rows, lines = ledger_rows(directory), without_clocks(directory)
    assert loop.version == 4
    assert sum(row["n"] for row in rows) == lines[-1]["total_rollouts"] == sum(len(group) for group in played.values())
    assert {row["fate"] for row in rows} <= {*Fate} - {Fate.FAILED}
    assert Counter(row["fate"] for row in rows)[Fate.TRAINED] == sum(line["groups/trained"] for line in lines)
    assert all(torch.isfinite(weight).all() for weight in last_weights(directory).values())


def test_prompt_tool_and_generated_tokens_add_up(whole):
    directory, _, played = whole
    rows, last = ledger_rows(directory), without_clocks(directory)[-1]
    for kind in ("prompt_tokens", "generated_tokens", "tool_tokens"):
        assert sum(row[kind] for row in rows) == last[f"total_{kind}"] > 0
    for row in rows:
        group = played[row["request_id"]]
        assert row["generated_tokens"] == sum(sum(one.loss_mask) for one in group)
        assert row["prompt_tokens"] == sum(one.loss_mask.index(True) for one in group)
        tokens = row["prompt_tokens"] + row["generated_tokens"] + row["tool_tokens"]
        assert tokens == sum(len(one.token_ids) for one in group)


def test_metrics_by_level(whole):
    directory, loop, _ = whole
    start, *steps = without_clocks(directory)
    for line in steps:
        groups, rewards = levels(line, "groups"), levels(line, "reward")
        known = line["groups/mixed"] + line["groups/all_correct"] + line["groups/all_wrong"]
        assert sum(groups.values()) == known == line["groups/asked"]
        assert sum(groups[level] * reward for level, reward in rewards.items()) / known == pytest.approx(
            line["reward/mean"]
        )
        flat = sum(groups[level] * share for level, share in levels(line, "zero_variance").items())
        assert known - flat == pytest.approx(line["groups/mixed"])
    for line in (start, steps[2], steps[3]):
        for name in ("accuracy", "greedy"):  # half of the held-out questions have one hop, and half have two
            assert sum(levels(line, name).values()) / 2 == pytest.approx(line[f"eval/{name}"])
    assert set(loop.parts.supply.levels) == {1, 2}


def test_what_was_searched_is_counted_and_timed(whole):
    directory, _, played = whole
    lines = read_metrics(directory / "metrics.jsonl")[1:]
    total = {name: sum(line[f"search/{name}"] for line in lines) for name in COUNTS}
    rollouts = [one for group in played.values() for one in group]
    assert total["turns"] == sum(one.turns for one in rollouts)
    assert total["queries"] == sum(len(one.retrievals) for one in rollouts)
    assert total["documents"] == sum(len(found.documents) for one in rollouts for found in one.retrievals)
    assert 0 < total["forced_answers"] < len(rollouts)
    assert all(line["time/retrieve"] > 0 and line["time/generate"] > 0 for line in lines)
    assert all(line["seconds"] >= sum(line[f"time/{phase}"] for phase in ("retrieve", "generate")) for line in lines)


# -- resume -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", sample(["recycle", "erpo", "rekindle", "c_rf_ntf"], "recycle"))
def test_a_search_agent_resumes_bit_for_bit(recipe, tmp_path):
    config = search_config(recipe, "train.steps=3")
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    finish(config, whole)
    with opened(config, halves) as loop:
        assert loop.run(lambda: loop.step == 1) is Ending.INTERRUPTED
    assert finish(config, halves, resume=True)[0] is Ending.DONE
    assert without_clocks(whole)[-1]["version"] > 0
    assert_same_run(whole, halves)
    rows, total = ledger_rows(whole), without_clocks(whole)[-1]["total_rollouts"]
    assert sum(row["n"] for row in rows) == total


@pytest.mark.slow
def test_kill_9_in_mid_run_then_resume_equals_the_uninterrupted_run(tmp_path):
    overrides = ("train.steps=6", "train.groups_per_step=4", "eval.every=99")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(search_config("recycle", *overrides), whole)
    command = ["train", str(SEARCH_EXAMPLE), "--recipe", "recycle", "--out", str(killed)]
    command += [part for key in (*QUICK_SEARCH, *overrides) for part in ("--set", key)]
    signalled(command, UPDATE, 4)
    assert finish(search_config("recycle", *overrides), killed, resume=True)[0] is Ending.DONE
    assert_same_run(whole, killed)


# -- what is trained --------------------------------------------------------------------------------------------------


class Transcript:
    """What passes between the policy and who it talks to, written down piece by piece as (token ids, sampled)."""

    def __init__(self):
        self.conversations = []

    def partner(self, requests, inner):
        outer = self

        class Listening:
            def __init__(self):
                self.pieces = {}

            def on_turn(self, request, sample, completion):
                begin = [(list(requests[request].prompt_ids), False)]
                pieces = self.pieces.setdefault((request, sample), begin)
                pieces.append((list(completion.token_ids), True))
                goes_on = inner.on_turn(request, sample, completion)
                if not goes_on:
                    outer.conversations.append(pieces)
                return goes_on

            def respond(self, names):
                replies = inner.respond(names)
                for name, reply in zip(names, replies, strict=True):
                    self.pieces[name].append((list(reply.token_ids), False))
                return replies

        return Listening()

    def by_tokens(self):
        """From the tokens of a whole conversation to which of them were sampled."""
        return {
            tuple(token for ids, _ in pieces for token in ids): [sampled for ids, sampled in pieces for _ in ids]
            for pieces in self.conversations
        }


def trained_samples(config, directory):
    """Every sample that the trainer is given, and the tokens of the conversations."""
    transcript, samples = Transcript(), []

    class Listened(TorchEngine):
        def converse(self, requests, partner):
            super().converse(requests, transcript.partner(requests, partner))

    class Noted(Passing):
        def update(self, batch, *further):
            samples.extend(batch)
            return self.inner.update(batch, *further)

    finish(
        config,
        directory,
        engine=lambda config, policy: Listened(policy, max_rows=config.engine.max_rows),
        adapt=lambda parts: replace(parts, trainer=Noted(parts.trainer)),
    )
    return samples, transcript.by_tokens()


@pytest.mark.slow
def test_only_sampled_tokens_are_trained_unless_the_control_is_chosen(tmp_path):
    masked, control = (search_config("grpo", "train.steps=2", *more) for more in ([], ["loss.tool_tokens=trained"]))
    assert masked.loss.tool_tokens == "masked"
    samples, sampled = trained_samples(masked, tmp_path / "masked")
    assert len(samples) > 8
    for one in samples:
        assert list(one.loss_mask) == sampled[tuple(one.token_ids)]
        outside = [token for token, mine in enumerate(one.loss_mask) if not mine]
        assert {one.logprobs[token] for token in outside} == {one.advantages[token] for token in outside} == {0.0}
    assert any(list(one.loss_mask) != sorted(one.loss_mask) for one in samples), "somebody read something"
    samples, sampled = trained_samples(control, tmp_path / "control")
    for one in samples:
        before = sampled[tuple(one.token_ids)].index(True)
        assert list(one.loss_mask) == [False] * before + [True] * (len(one.token_ids) - before)
        assert len(set(one.advantages[before:])) == 1
    first, second = (without_clocks(tmp_path / name) for name in ("masked", "control"))
    assert first[0] == second[0]
    assert first[1]["generated_tokens"] == second[1]["generated_tokens"], "the first step is sampled by the same policy"
    assert second[1]["trained_tokens"] > first[1]["trained_tokens"]
    one, two = (last_weights(tmp_path / name) for name in ("masked", "control"))
    assert any(not torch.equal(one[name], two[name]) for name in one)


# -- who is asked may be down -----------------------------------------------------------------------------------------


def over_http(directory, url, *overrides):
    here = (f"retriever.url={json.dumps(url)}", "retriever.timeout_seconds=2.0", "retriever.retries=0")
    return file_config(directory, "grpo", "retriever.kind=http", *here, "retriever.cache_size=0", *overrides)


def assert_nothing_void_was_trained(samples, played):
    trained = {id(one.token_ids) for one in samples}
    assert not [one for group in played.values() for one in group if one.void and id(one.token_ids) in trained]


@pytest.fixture
def updates(monkeypatch):
    """Every batch that reaches a trainer."""
    batches, update = [], Trainer.update

    def noted(self, batch, *further):
        batches.extend(batch)
        return update(self, batch, *further)

    monkeypatch.setattr(Trainer, "update", noted)
    return batches


@pytest.mark.slow
def test_a_retriever_that_dies_ends_the_run_at_its_bound_and_it_goes_on_when_it_is_back(tmp_path, updates):
    run, corpus = tmp_path / "run", tmp_path / "corpus.jsonl"
    file_config(tmp_path)  # writes the corpus
    with ExitStack() as server:
        url = server.enter_context(served(corpus))
        config = over_http(tmp_path, url, "train.steps=6", "train.max_steps_without_signal=2", "train.group_size=8")
        seam, played = recording()
        with opened(config, run, adapt=seam) as loop:

            def dies_after_two():
                if loop.step == 2:
                    server.close()
                return False

            ending = loop.run(dies_after_two)
    assert (ending, ending.value, loop.step, loop.version) == (Ending.BOUND, 3, 4, 2)
    assert "2 steps in a row had nothing to train on" in loop.bound
    assert "continue with --resume and a higher bound" in loop.bound
    assert any("of 4 groups failed (retriever)" in text for text in loop.screen.warnings)
    lines, rows = without_clocks(run), ledger_rows(run)
    assert [line["groups/failed"] for line in lines[1:3]] == [0, 0]
    assert all(line["groups/failed"] >= 3 and line["loss"] is None for line in lines[3:])
    dead = [row for row in rows if row["fate"] == "failed"]
    assert {row["step"] for row in dead} == {3, 4}
    assert {(row["successes"], row["outcome"]) for row in dead} == {(0, None)}
    assert sum(row["n"] for row in rows) == lines[-1]["total_rollouts"]
    assert sum(row["generated_tokens"] for row in rows) == lines[-1]["total_generated_tokens"], "paid for all the same"
    for row in dead:
        void = [one for one in played[row["request_id"]] if one.void]
        assert void
        assert {(one.reward, one.failure) for one in void} == {(0.0, "retriever")}
    assert_nothing_void_was_trained(updates, played)
    with served(corpus, port=urlsplit(url).port):
        ending, loop = finish(config, run, resume=True)
        assert (ending, loop.step) == (Ending.BOUND, 4), "its end is part of its state"
        raised = over_http(tmp_path, url, "train.steps=6", "train.max_steps_without_signal=3", "train.group_size=8")
        ending, loop = finish(raised, run, resume=True)
    assert (ending, loop.step) == (Ending.DONE, 6)
    assert loop.version > 2


def test_errors_of_a_server_for_a_while_cost_the_groups_of_that_while(tmp_path, updates):
    def rule(payload, _):
        hit = {"id": "1", "contents": '"ka lo"\nka lo boss me ti .'}
        return (200, {"result": [[hit] for _ in payload["queries"]]}) if up else (500, {"detail": "out of memory"})

    up = True
    seam, played = recording()
    with (
        answering(rule) as url,
        opened(
            over_http(
                tmp_path, url, "train.steps=3", "train.gate=everything", "train.groups_per_step=2", "train.group_size=2"
            ),
            tmp_path / "run",
            adapt=seam,
        ) as loop,
    ):

        def down_in_the_second():
            nonlocal up
            up = loop.step != 1
            return False

        assert loop.run(down_in_the_second) is Ending.DONE
    failed = [line["groups/failed"] for line in without_clocks(tmp_path / "run")]
    assert failed[2] > 0
    assert (failed[1], failed[3]) == (0, 0)
    assert_nothing_void_was_trained(updates, played)
    assert len(updates) == 2 * sum(line["groups/trained"] for line in without_clocks(tmp_path / "run"))


def test_a_judge_that_answers_nonsense_makes_failed_groups_not_rewards(tmp_path, updates):
    def rule(payload, _):
        asked.append(payload)
        return 200, {
            "choices": [{"message": {"content": "MAYBE"}, "finish_reason": "stop"}],
            "usage": {"completion_tokens": 1},
        }

    asked = []
    with answering(rule) as url:
        judge = ("task.verifier=judge", f"judge.url={json.dumps(url + '/v1')}", "judge.model=grader")
        config = file_config(
            tmp_path, "grpo", *judge, "task.success_threshold=1.0", "train.steps=9", "train.max_steps_without_signal=2"
        )
        ending, loop = finish(config, tmp_path / "run")
    assert asked
    assert (ending, loop.version, loop.step) == (Ending.BOUND, 0, 2)
    assert any("groups failed (judge)" in text for text in loop.screen.warnings)
    assert not updates
    rows = ledger_rows(tmp_path / "run")
    assert {row["fate"] for row in rows} == {"failed", "retired"}, "where nobody answered, nobody was asked"
    assert {row["successes"] for row in rows} == {0}


# -- profiles ---------------------------------------------------------------------------------------------------------

SETTINGS = [part for key in QUICK_SEARCH for part in ("--set", key)]


def test_the_search_world_is_profiled(tmp_path, capsys):
    pytest.importorskip("pyarrow")
    out = tmp_path / "profile.parquet"
    profile = ["profile", str(SEARCH_EXAMPLE), *SETTINGS, "--samples", "2", "--out", str(out)]
    assert main([*profile, "--set", "task.pool_size=12"]) == 0
    found = load_profile(out)
    assert (len(found), found.total_samples) == (12, 24)
    assert 0 < found.success_rates.mean() < 1
    assert '"search"' not in capsys.readouterr().err
    out.unlink()
    assert main([*profile, "--endpoint", "http://127.0.0.1:9/v1", "--endpoint-model", "m"]) == 2
    (sentence,) = capsys.readouterr().err.strip().splitlines()
    assert sentence.startswith('rekindle: task.environment = "search" is played turn by turn')
    assert "model.path" in sentence
    assert not out.exists()


@pytest.mark.slow
def test_sgpo_makes_its_own_profile_of_the_search_world(tmp_path):
    pytest.importorskip("pyarrow")
    config = search_config("sgpo", "task.pool_size=24", "train.steps=2", "profile.samples=3")
    ending, loop = finish(config, tmp_path / "run")
    assert (ending, loop.version) == (Ending.DONE, 2)
    profile = load_profile(tmp_path / "run" / "profile.parquet")
    start = without_clocks(tmp_path / "run")[0]
    assert profile.total_samples == start["profile/rollouts"] == 24 * 3
    assert start["generated_tokens"] == profile.generated_tokens.sum() > 0
