"""Self-play about four capitals, with a policy that says what a script says: what the tests of its options share."""

import json
from collections import Counter
from dataclasses import dataclass, replace
from itertools import count

from test_loop import Passing, finish

from rekindle.assembly.self_play import build_self_play
from rekindle.environments.search.codec import PolicyCodec
from rekindle.learning.samples import build_samples
from rekindle.methods import build_credit, build_scheduler
from rekindle.recipes import resolve
from rekindle.records.supply import Supplied
from rekindle.scheduling.pools import GrowingPool
from rekindle.warm_starts.stage import start_workbench
from search_cases import ScriptedEngine
from searching import write_jsonl

LANDS = {"Paris": "France", "Rome": "Italy", "Oslo": "Norway", "Bern": "Switzerland"}
ROLES = {"proposer": "Ask for", "solver": "Solve", "verifier": "Read"}
"""What only the prompts of each role have in them."""


def settings_of(directory, model):
    """Answers, held-out questions and a corpus in files, and prompts that a script can tell apart; ``--set`` values."""
    answers, questions = directory / "answers.txt", [{"prompt": f"Solve {land}", "answer": "x"} for land in "AB"]
    answers.write_text("".join(f"{town}\n" for town in LANDS))
    passages = [{"id": land, "title": land, "text": f"{town}."} for town, land in LANDS.items()]
    settings = {
        "model.path": str(model),
        "task.source": "self_play",
        "task.path": str(answers),
        "task.eval_path": str(write_jsonl(directory / "questions.jsonl", questions)),
        "task.verifier": "qa_exact_match",
        "retriever.corpus": str(write_jsonl(directory / "lands.jsonl", passages)),
        "search.prompt": "Solve {question}",
        "search.documents": 1,
        "search.document_format": "[{title}: {text}] ",
        "search.answer_tokens": 12,
        "self_play.prompt": "Ask for {answer} in {hops} hops.",
        "engine.max_new_tokens": 200,
        "train.groups_per_step": 4,
        "train.group_size": 2,
        "train.steps": 3,
        "loss.kl_coefficient": 0.0,
        "train.gate": "everything",
        "eval.every": 99,
        "eval.prompts": 2,
    }
    return [f"{key}={json.dumps(value)}" for key, value in settings.items()]


def overrides_of(directory, model, *overrides):
    """The settings with these instead, ``key=`` leaves one out; no question is refused unless ``check.*`` says so."""
    nothing = ["check.kind=off", "check.unsolved=allowed"]
    given = dict(one.split("=", 1) for one in [*nothing, *settings_of(directory, model), *overrides])
    return [f"{key}={value}" for key, value in given.items() if value]


def stage_config(directory, model, *overrides):
    """The configuration with these overrides."""
    toml = directory / "run.toml"
    toml.write_text('recipe = "self_play"\n')
    return resolve(toml, "self_play", overrides_of(directory, model, *overrides))


# -- who says what -----------------------------------------------------------------------------------------------------


def role_of(text):
    """Whose prompt a conversation begins with."""
    return min((role for role in ROLES if ROLES[role] in text), key=lambda role: text.index(ROLES[role]))


def town_of(text):
    """The town that a conversation began with."""
    return min((town for town in LANDS if town in text), key=text.index)


def asks(question):
    """A proposer: searches its town once, then asks ``question(town, sample)``."""

    def says(text, sample):
        town = town_of(text)
        return f"<question>{question(town, sample)}</question>" if LANDS[town] in text else f"<search>{town}</search>"

    return says


def numbered(*good):
    """An ever new question for each of these towns, and one that gives the answer away for the others."""
    numbers = count()

    def question(town, _):
        return f"Which town number {next(numbers)} is it?" if town in good else f"Is it {town}?"

    return asks(question)


def capital(town, _=0):
    """A valid question."""
    return f"Which town is the capital of {LANDS[town]}?"


def solves(_, sample):
    """The first of a group is right about Paris, all others are wrong."""
    return f"<answer>{'Paris' if sample == 0 else 'unknown'}</answer>"


def confirms(text, _):
    """Right wherever a question names a land and documents are shown."""
    asked = text.rindex("capital of")
    land = next(land for land in LANDS.values() if land in text[asked:])
    town = next(town for town in LANDS if LANDS[town] == land)
    return f"<answer>{town if '[' in text[:asked] else 'unknown'}</answer>"


def script(proposer=None, solver=solves, verifier=confirms):
    """What the policy says in its three roles."""
    says = {"proposer": proposer or asks(capital), "solver": solver, "verifier": verifier}
    return lambda text, sample: says[role_of(text)](text, sample)


# -- steps without training --------------------------------------------------------------------------------------------


@dataclass
class Step:
    """A step: what the proposers brought, what the solver was asked and learns from, and how the pool stands."""

    supplied: Supplied
    requests: list
    samples: list
    pool: dict

    @property
    def lines(self):
        return self.supplied.lines

    @property
    def verdicts(self):
        return Counter(one["verdict"] for one in self.lines)


@dataclass
class Played:
    """Some steps, and what was asked of the policy and of the start policy: (text, request) each."""

    steps: list
    asked: list
    asked_start: list

    def of(self, role):
        return [(text, request) for text, request in self.asked if role_of(text) == role]


def played(config, says=None, steps=1):
    """Play steps as the training loop does, without an update."""
    with start_workbench(config, lambda _: None) as bench:
        engine, start = (ScriptedEngine(PolicyCodec(bench.policy), says or script()) for _ in range(2))
        scheduler = build_scheduler(config, ())
        assert isinstance(scheduler.pool, GrowingPool)
        sides = build_self_play(replace(bench, engine=engine), scheduler.pool, start)
        done = [_step(config, number, sides, scheduler) for number in range(1, steps + 1)]
        asked, asked_start = (
            [(bench.policy.decode(request.prompt_ids), request) for request in one.requests] for one in (engine, start)
        )
    return Played(done, asked, asked_start)


def _step(config, number, sides, scheduler):
    sides.supply.prepare(number, number - 1)
    asked = list(iter(scheduler.ask, None))
    for request_id, rollouts in sides.environment.play(asked):
        scheduler.tell(request_id, rollouts)
    groups = scheduler.take()
    supplied = sides.supply.conclude(number, scheduler.drain_records())
    scheduler.advance(number)
    samples = build_samples(groups, build_credit(config)) if groups else []
    return Step(supplied, asked, samples, dict(scheduler.pool.metrics()))


# -- whole runs --------------------------------------------------------------------------------------------------------


def speaking(says=None):
    """How to make engines for runs in which a script speaks for the policy and the start policy."""
    return lambda config, policy: ScriptedEngine(PolicyCodec(policy), says or script())


def let_speak(monkeypatch):
    """Let the script speak in runs of the command."""
    monkeypatch.setattr("rekindle.assembly.engines.TorchEngine", lambda policy, **_: speaking()(None, policy))


def updates_of(config, directory, says=None):
    """The samples of every update of a run whose policy follows a script: (of proposers, of solvers) each."""
    updates = []

    class Noted(Passing):
        def update(self, samples, *args, **given):
            of_proposers = [one for one in samples if one.prompt_key < 0]
            updates.append((of_proposers, [one for one in samples if one.prompt_key >= 0]))
            return self.inner.update(samples, *args, **given)

    finish(config, directory, engine=speaking(says), adapt=lambda parts: replace(parts, trainer=Noted(parts.trainer)))
    return updates
