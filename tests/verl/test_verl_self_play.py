"""Self-play over submitted rows: the same proposals, tasks, rewards and samples as in ``rekindle train``."""

from collections import Counter

import pytest
from agent_loops import Replay, Servers, Worker, rollout_of, settings_of

from rekindle.environments.building import build_environment
from rekindle.environments.retrievers import opened_retrievers
from rekindle.environments.rewards import build_rewards
from rekindle.environments.search.codec import PolicyCodec
from rekindle.environments.self_play.building import build_check, build_policy_answerer, build_proposer, build_supply
from rekindle.environments.self_play.created_tasks import CreatedTasks
from rekindle.integrations.verl.row_keys import SEED, TEMPERATURE
from rekindle.integrations.verl.rows import row_of
from rekindle.integrations.verl.self_play import build_submitted_supply
from rekindle.integrations.verl.sessions import chat_of
from rekindle.integrations.verl.settings import settle
from rekindle.integrations.verl.settings.environments import CHECK, PROPOSER, SEARCH
from rekindle.learning.samples import build_samples
from rekindle.methods import build_credit, build_scheduler
from rekindle.scheduling.pools import GrowingPool
from rekindle.types import Task
from search_cases import ScriptedEngine, bpe_policy
from searching import write_jsonl

LANDS = {"Paris": "France", "Rome": "Italy", "Oslo": "Norway", "Bern": "Switzerland"}
SEEDS = [Task(f"seed/{town}", town, town) for town in LANDS]
RESPONSE = 400


def says(text, sample):
    """What the policy says in its three roles; it solves the question about Paris, and gives Bern away."""
    role = min((role for role in ("Ask for", "Solve", "Read") if role in text), key=text.index)
    if role == "Ask for":
        town = min((town for town in LANDS if town in text), key=text.index)
        if LANDS[town] not in text:
            return f"<search>{town}</search>"
        return f"<question>{'Is it Bern' if town == 'Bern' else f'Which is the capital of {LANDS[town]}'}?</question>"
    land = next((land for land in LANDS.values() if f"capital of {land}" in text), "")
    town = next((town for town in LANDS if LANDS[town] == land), "")
    if role == "Read":
        return f"<answer>{town if '[' in text else 'unknown'}</answer>"
    return f"<answer>{town if town == 'Paris' else 'unknown'}</answer>"


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    made = bpe_policy(None)
    directory = tmp_path_factory.mktemp("model")
    made.save(directory)
    return made, directory


@pytest.fixture
def tables(tmp_path):
    passages = [{"id": land, "title": land, "text": f"{town}."} for town, land in LANDS.items()]
    answers = tmp_path / "answers.txt"
    answers.write_text("".join(f"{town}\n" for town in LANDS))
    questions = write_jsonl(tmp_path / "questions.jsonl", [{"prompt": "Solve A", "answer": "x"}])
    return {
        "recipe": "self_play",
        "task": {"source": "self_play", "path": str(answers), "eval_path": str(questions)},
        "retriever": {"corpus": str(write_jsonl(tmp_path / "lands.jsonl", passages)), "index": str(tmp_path / "index")},
        "search": {
            "prompt": "Solve {question}",
            "documents": 1,
            "document_format": "[{title}: {text}] ",
            "answer_tokens": 12,
        },
        "self_play": {"prompt": "Ask for {answer} in {hops} hops."},
        "check": {
            "prompt": "Read {documents} {question}",
            "max_new_tokens": 24,
            "noise": 1,
            "unsolved": "allowed",
        },
        "engine": {"max_new_tokens": 200},
        "train": {"group_size": 2},
    }


class Sessions:
    """``PlaysRows`` without Ray: rows with what the driver adds, played by a worker; it can lose some of them."""

    def __init__(self, worker, lost=lambda request, row: False):
        self.worker, self.lost = worker, lost
        self.played = Counter()
        self.trained = {}

    def play_rows(self, rows, *, trained):
        rows = list(rows)
        sent = [{**row, SEED: request.seed, TEMPERATURE: request.temperature} for request, row in rows]
        self.played.update(row["agent_name"] for row in sent)
        groups = self.worker.play_rows(sent, sessions=[request.n for request, _ in rows]) if rows else []
        for (request, row), group in reversed(list(zip(rows, groups, strict=True))):
            found = None if self.lost(request, row) else [rollout_of(one, request.temperature) for one in group]
            if trained and found:
                self.trained[request.id] = found
            yield request.id, found


class Step:
    """A step of a run with self-play, without its update."""

    def __init__(self, config, supply, play, scheduler):
        supply.prepare(1, 0)
        self.requests = list(iter(scheduler.ask, None))
        for request_id, rollouts in play(self.requests):
            scheduler.tell(request_id, rollouts)
        groups = scheduler.take()
        self.groups = groups or []
        self.supplied = supply.conclude(1, scheduler.drain_records())
        self.samples = build_samples(self.groups, build_credit(config))


def submitted(policy, tables, lost=lambda request, row: False):
    """A step whose conversations are sessions: the step, what was played, and the created tasks."""
    (made, directory), created = policy, CreatedTasks()
    settings = settings_of(directory, tables, prompt=200, response=RESPONSE, **{"actor_rollout_ref.rollout.n": 1})
    sessions = Sessions(Worker(settings, made.tokenizer, Servers(ScriptedEngine(PolicyCodec(made), says))), lost)
    config = settle(settings)
    scheduler, verifier = build_scheduler(config, ()), build_rewards(config)
    assert isinstance(scheduler.pool, GrowingPool)
    supply = build_submitted_supply(
        config,
        SEEDS,
        chat=chat_of(config, settings, made.tokenizer),
        sessions=sessions,
        verifier=verifier,
        pool=scheduler.pool,
        created=created,
    )

    def play(requests):
        rows = [(request, row_of(created.tasks[request.row], SEARCH, request.row)) for request in requests]
        return sessions.play_rows(rows, trained=True)

    return Step(config, supply, play, scheduler), sessions, created


def native(policy, sessions):
    """The same step in the environments of ``rekindle train``."""
    (made, _), created, worker = policy, CreatedTasks(), sessions.worker
    config = settle(worker.settings)
    chat, engine = chat_of(config, worker.settings, made.tokenizer), Replay(worker.servers)
    scheduler, verifier = build_scheduler(config, ()), build_rewards(config)
    assert isinstance(scheduler.pool, GrowingPool)
    with opened_retrievers(config, print) as retrievers:
        supply = build_supply(
            config,
            SEEDS,
            chat=chat,
            proposer=build_proposer(config, chat=chat, engine=engine, retrievers=retrievers),
            check=build_check(config, build_policy_answerer(config, chat=chat, engine=engine), verifier),
            created=created,
            pool=scheduler.pool,
            reference_solver=None,
        )
        world = build_environment(
            config, created.tasks, chat=chat, engine=engine, verifier=verifier, retrievers=retrievers
        )
        return Step(config, supply, world.play, scheduler), created


@pytest.mark.parametrize(("unsolved", "reward"), [("allowed", 1.0), ("refused", 0.0)])
def test_a_step_is_that_of_rekindle_train(unsolved, reward, policy, tables):
    tables["check"]["unsolved"] = unsolved
    step, sessions, created = submitted(policy, tables)
    same, same_created = native(policy, sessions)
    assert created.tasks == same_created.tasks
    assert len(created.tasks) == 3, "the question about Bern gives its answer away"
    assert step.supplied.lines == same.supplied.lines
    assert step.supplied.records == same.supplied.records
    assert step.supplied.metrics == same.supplied.metrics
    assert step.supplied.further_tokens == same.supplied.further_tokens
    assert step.supplied.further_tokens[1] > 0, "the check's tokens count"
    assert [group.rollouts for group in step.groups] == [group.rollouts for group in same.groups]
    assert step.supplied.samples == same.supplied.samples
    assert step.samples == same.samples
    assert sessions.played == {PROPOSER: 4, CHECK: 6, SEARCH: 3}
    rewards = {line["answers"][0]: line["reward"] for line in step.supplied.lines}
    assert rewards == {"Paris": 0.0, "Rome": reward, "Oslo": reward, "Bern": 0.0}


def test_the_proposers_samples_are_of_rollouts_that_the_sessions_kept(policy, tables):
    step, sessions, _ = submitted(policy, tables)
    assert {one.prompt_key for one in step.supplied.samples} == {-1, -2, -3, -4}
    kept = {id(one.token_ids) for group in sessions.trained.values() for one in group}
    assert all(id(one.token_ids) in kept for one in step.supplied.samples)


def test_lost_sessions_fail_their_groups_and_no_others(policy, tables):
    def lost(request, row):
        return (row["agent_name"], row["rekindle_task"]["prompt"]) == (PROPOSER, "Rome")

    step, _, created = submitted(policy, tables, lost)
    assert step.supplied.metrics["self_play/failed"] == 1
    assert {task.answer for task in created.tasks} == {"Paris", "Oslo"}


def test_a_check_without_a_reply_lets_nothing_pass(policy, tables):
    step, _, created = submitted(policy, tables, lambda request, row: row["agent_name"] == CHECK)
    assert created.tasks == []
    assert step.supplied.metrics["self_play/rejected/unverified"] == 3
    assert not step.groups
