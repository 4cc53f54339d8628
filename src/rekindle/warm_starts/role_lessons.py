"""Demonstrations of self-play in the embedded search world: of solver, proposer and verifier, in one warm start."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from random import Random

from rekindle.assembly.bench import Workbench
from rekindle.assembly.self_play import build_proposer, policy_answerer
from rekindle.config.facts import demonstrated_noise
from rekindle.engines.engine import Completion, SamplingRequest
from rekindle.environments.self_play.answering import OpenBook
from rekindle.environments.self_play.proposals import Proposal
from rekindle.environments.self_play.proposer import Order
from rekindle.models.policy import Policy
from rekindle.tasks import search_world
from rekindle.types import Task, TrainingSample
from rekindle.warm_starts import search_world as teachers
from rekindle.warm_starts.search_lessons import (
    Demonstration,
    lesson_request,
    lessons_wanted,
    on_teacher_corpus,
    renamed,
    solver_lessons,
    teacher_engine,
    too_long,
)

__all__ = ["role_lessons"]

ROLES = {"solver": 0.3, "proposer": 0.25, "verifier": 0.45}
"""Shares of the demonstrations."""
CLOSED_BOOK, MISREAD = 0.05, 0.35
"""Shares of the verifier's demonstrations without any document, and with a word of the question replaced."""
EASIER = 0.75
"""Factor on the frequency of the verifier's questions per further hop, and of documents per further trajectory.

Finding a fact among few documents is learned before finding one among many.
"""


def role_lessons(bench: Workbench) -> Iterator[TrainingSample]:
    """Endless demonstrations of the three roles' teachers, the role drawn at random, each with new names.

    Raises:
        WarmStartError: A demonstration does not fit into the model.
    """
    params, wanted = search_world.Params.read(bench.config.task.params), lessons_wanted(bench)
    share = {role: max(1, round(wanted * share)) for role, share in ROLES.items()}
    with on_teacher_corpus(bench, search_world.self_play_passages(params, search_world.TEACHER_CORPUS)) as here:
        solved = solver_lessons(here, params, share["solver"])
        proposed = _proposals(here, params, share["proposer"])
    lessons = {
        "solver": solved,
        "proposer": [Demonstration(one.rollout.token_ids, one.rollout.loss_mask) for one in proposed],
        "verifier": _verdicts(bench, params, proposed, share["verifier"]),
    }
    yield from renamed(bench, params, _turns(lessons, bench.config.warm_start.seed))


def _turns(lessons: dict[str, list[Demonstration]], seed: int) -> Callable[[int], Demonstration]:
    """The demonstrations of each role in order; the role is drawn at random."""
    rng, used = Random(f"roles {seed}"), dict.fromkeys(lessons, 0)

    def shown(number: int) -> Demonstration:
        (role,) = rng.choices(list(ROLES), list(ROLES.values()))
        used[role] += 1
        return lessons[role][used[role] % len(lessons[role])]

    return shown


def _proposals(bench: Workbench, params: search_world.Params, wanted: int) -> list[Proposal]:
    """Proposals of the proposer's teacher."""
    seed = bench.config.warm_start.seed
    wishes = teachers.wishes(params, search_world.TEACHER_CORPUS, wanted, seed)
    engine = teacher_engine(bench, teachers.proposer_lessons(wishes, params))
    orders = [_order(row, wish, seed) for row, wish in enumerate(wishes)]
    proposals, unplayable = build_proposer(bench, engine).propose(orders)
    if unplayable:
        raise too_long("proposal", bench)
    return proposals


def _order(row: int, wish: teachers.Wish, seed: int) -> Order:
    answer = Task("", wish.answer, wish.answer, {"corpus": search_world.TEACHER_CORPUS})
    return Order(lesson_request(row, answer.id, seed), answer, wish.hops)


# -- the verifier -----------------------------------------------------------------------------------------------------


class _Recorder:
    """Engine that answers with a given text, and records the conversation.

    Args:
        encode: Text -> token ids.
    """

    def __init__(self, encode: Callable[[str], list[int]]) -> None:
        self._encode = encode
        self.text = ""
        self.written: list[Demonstration] = []

    def sync(self, policy: Policy, version: int) -> None:
        """No effect: it has no weights."""

    def generate(self, requests: Sequence[SamplingRequest]) -> Iterator[tuple[int, list[Completion]]]:
        """See ``Engine.generate``."""
        for index, request in enumerate(requests):
            answer_ids, read = self._encode(self.text), len(request.prompt_ids)
            self.written.append(
                Demonstration([*request.prompt_ids, *answer_ids], [False] * read + [True] * len(answer_ids))
            )
            yield index, [Completion(answer_ids, [0.0] * len(answer_ids), truncated=False, text=self.text)]


def _verdicts(
    bench: Workbench, params: search_world.Params, proposed: Sequence[Proposal], wanted: int
) -> list[Demonstration]:
    """Answers of the verifier's teacher to the proposer teacher's questions, in the format of the RAG check."""
    rng, teacher = Random(f"verifier {bench.config.warm_start.seed}"), teachers.VerifierTeacher()
    recorder = _Recorder(partial(bench.policy.encode_prompt, chat_template=False))
    answerer = policy_answerer(replace(bench, engine=recorder))
    asked = [one for one in proposed if one.question is not None]
    noises = range(demonstrated_noise(bench.config) + 1)
    for first in rng.choices(asked, [EASIER ** (one.hops - 1) for one in asked], k=wanted):
        (noise,) = rng.choices(noises, [EASIER**noise for noise in noises])
        asking = _open_book(params, first, rng.sample(asked, min(noise, len(asked))), rng)
        recorder.text = teacher.reply(asking.question, [one.text for one in asking.documents], rng)
        answerer.answer([asking])
    if not recorder.written:
        raise too_long("question with its documents", bench)
    return recorder.written


def _open_book(params: search_world.Params, first: Proposal, others: Sequence[Proposal], rng: Random) -> OpenBook:
    """A question with the documents found for it and for others, or without documents."""
    question, found = first.question or "", [document for one in (first, *others) for document in one.documents]
    if rng.random() < MISREAD:
        question = teachers.misread(question, params, rng)
    documents = [] if rng.random() < CLOSED_BOOK else list({document.id: document for document in found}.values())
    rng.shuffle(documents)
    return OpenBook(question, tuple(documents), frozenset(), 0)
