"""What the noisy teachers of the embedded search world show: the solver's role, and those of self-play."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from random import Random

from rekindle.assembly.bench import Workbench
from rekindle.assembly.environments import build_talks
from rekindle.config.rules.facts import plays_itself
from rekindle.environments.search.conversation import Conversation
from rekindle.environments.search.protocol import QUESTION
from rekindle.environments.search.talks import Opening
from rekindle.retrieval.lexical import LexicalIndex
from rekindle.tasks import search_world
from rekindle.training import warm_start
from rekindle.types import Document, GroupRequest, Task, TrainingSample

__all__ = ["search_lessons"]

CONVERSATIONS = 12_000
"""Most lessons of the search world's teachers; each is used again with other names when more are needed."""
ROLES = {"solver": 0.5, "proposer": 0.3, "verifier": 0.2}
"""Shares of the demonstrations in self-play."""
CLOSED_BOOK = 0.05
"""Share of the verifier's lessons without any document."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """A demonstration: tokens, and which of them the teacher said."""

    token_ids: Sequence[int]
    loss_mask: Sequence[bool]


def search_lessons(bench: Workbench) -> Iterator[TrainingSample]:
    """What the teachers say and read in the environments that the policy will play in, under ever new names.

    Endless. Where the policy is to play itself, the three roles take turns at random.

    Raises:
        WarmStartError: A lesson does not fit into the model.
    """
    settings, params = bench.config.warm_start, search_world.Params.read(bench.config.task.params)
    wanted = min(CONVERSATIONS, (settings.steps + settings.decay_steps) * settings.batch_size)
    shown = _roles(bench, params, wanted) if plays_itself(bench.config) else _solver(bench, params, wanted)
    names = bench.policy.encode_prompt(" ".join(search_world.name_words(params.name_words)), chat_template=False)
    renaming = search_world.Renaming(names)
    for number in count():
        one = shown(number)
        yield warm_start.imitated(renaming.apply(one.token_ids, f"{settings.seed} {number}"), one.loss_mask)


def _solver(bench: Workbench, params: search_world.Params, wanted: int) -> Callable[[int], _Shown]:
    with closing(_index(params, mentions=False)) as index:
        lessons = _solved(replace(bench, retrievers={search_world.TAUGHT: index}), params, wanted)
    return lambda number: lessons[number % len(lessons)]


def _index(params: search_world.Params, *, mentions: bool) -> LexicalIndex:
    return LexicalIndex.in_memory(search_world.passages(params, search_world.TAUGHT, mentions=mentions))


def _solved(school: Workbench, params: search_world.Params, wanted: int) -> list[_Shown]:
    """Conversations of the solver's teacher."""
    seed = school.config.warm_start.seed
    tasks = search_world.demonstration_tasks(params, wanted, seed)
    engine = _engine(school, search_world.solver_lessons(tasks, params))
    requests = [_request(row, task.id, seed) for row, task in enumerate(tasks)]
    played = sorted(school.environment(tasks, engine).play(requests))
    rollouts = [one for _, group in played for one in group or ()]
    if len(rollouts) < len(tasks):  # who is left out would put the teacher off by one
        raise _too_long("question", school)
    return [_Shown(rollout.token_ids, rollout.loss_mask) for rollout in rollouts]


def _engine(school: Workbench, lesson: Callable[[int, int, int], search_world.Lesson]) -> search_world.TeacherEngine:
    encode = partial(school.policy.encode_prompt, chat_template=False)
    return search_world.TeacherEngine(lesson, encode=encode, decode=school.policy.decode)


def _request(row: int, task_id: str, seed: int) -> GroupRequest:
    return GroupRequest(row, task_id, row, 1, 1.0, seed + row, 0, 0)


def _too_long(what: str, school: Workbench) -> warm_start.WarmStartError:
    return warm_start.WarmStartError(
        f"a {what} of the search world does not fit into model.tiny.max_length = {school.policy.max_length}; raise it"
    )


def _roles(bench: Workbench, params: search_world.Params, wanted: int) -> Callable[[int], _Shown]:
    """Lessons of three roles, each in an order of its own."""
    with closing(_index(params, mentions=True)) as index:
        school = replace(bench, retrievers={search_world.TAUGHT: index})
        solved = _solved(school, params, round(wanted * ROLES["solver"]))
        proposed = _proposed(school, params, round(wanted * ROLES["proposer"]))
    verified = _verified(school, proposed, round(wanted * ROLES["verifier"]))
    lessons = {
        "solver": solved,
        "proposer": [_Shown(one.token_ids, one.loss_mask) for one in proposed],
        "verifier": verified,
    }
    turns = dict.fromkeys(ROLES, 0)
    rng = Random(f"roles {bench.config.warm_start.seed}")

    def shown(number: int) -> _Shown:
        (role,) = rng.choices(list(ROLES), list(ROLES.values()))
        turns[role] += 1
        return lessons[role][turns[role] % len(lessons[role])]

    return shown


def _proposed(school: Workbench, params: search_world.Params, wanted: int) -> list[Conversation]:
    """Conversations of the proposer's teacher."""
    seed, prompt = school.config.warm_start.seed, school.config.self_play.prompt
    asked = search_world.wishes(params, search_world.TAUGHT, wanted, seed)
    engine = _engine(school, search_world.proposer_lessons(asked, params))
    talks = build_talks(school.config, QUESTION, policy=school.policy, engine=engine, retrievers=school.retrievers)
    openings = [
        Opening(
            _request(row, "", seed),
            search_world.TAUGHT,
            talks.prompt(prompt.replace("{answer}", wish.answer).replace("{hops}", str(wish.hops))),
        )
        for row, wish in enumerate(asked)
    ]
    if not all(talks.has_room(one.prompt_ids) for one in openings):
        raise _too_long("proposal", school)
    return [one for (one,) in talks.hold(openings)]


def _verified(school: Workbench, proposed: Sequence[Conversation], wanted: int) -> list[_Shown]:
    """Verdicts of the verifier's teacher on the questions of the proposer's, right and wrong."""
    rng = Random(f"verifier {school.config.warm_start.seed}")
    asked = [one for one in proposed if one.final is not None]
    teacher = search_world.VerifierTeacher()
    return [_verdict(school, asked, teacher, rng) for _ in range(wanted)]


def _verdict(
    school: Workbench, asked: Sequence[Conversation], teacher: search_world.VerifierTeacher, rng: Random
) -> _Shown:
    config, policy = school.config, school.policy
    others = rng.randrange(config.check.noise + 1)
    while True:
        first, *rest = rng.sample(asked, others + 1)
        question = first.final or ""
        documents = [] if rng.random() < CLOSED_BOOK else _documents([first, *rest])
        rng.shuffle(documents)
        prompt = policy.encode_prompt(_prompt(school, documents, question), chat_template=False)
        said = policy.encode_prompt(teacher.reply(question, [one.text for one in documents], rng), chat_template=False)
        if len(prompt) + config.check.max_new_tokens <= policy.max_length:
            return _Shown([*prompt, *said], [False] * len(prompt) + [True] * len(said))


def _documents(conversations: Sequence[Conversation]) -> list[Document]:
    return list(
        {
            document.id: document
            for one in conversations
            for retrieval in one.retrievals
            for document in retrieval.documents
        }.values()
    )


def _prompt(school: Workbench, documents: Sequence[Document], question: str) -> str:
    config = school.config
    shown = "".join(config.search.document_format.replace("{text}", one.text) for one in documents)
    return config.check.prompt.replace("{documents}", shown).replace("{question}", question)
