"""Shared cases of self-play: a scripted proposer, and a chosen verifier."""

from rekindle.engines.engine import SamplingLimits
from rekindle.environments.search.conversations import SearchConversations
from rekindle.environments.search.hostile import Sanitizer
from rekindle.environments.search.limits import SearchLimits
from rekindle.environments.search.tags import Tags
from rekindle.environments.search.turn_protocol import QUESTION
from rekindle.environments.self_play.answering import Cost
from rekindle.environments.self_play.created_tasks import CreatedTasks
from rekindle.environments.self_play.filters import FilterLimits
from rekindle.environments.self_play.proposer import Proposer
from rekindle.environments.self_play.question_supply import QuestionSupply, SupplySettings
from rekindle.environments.self_play.rag_check import RagCheck
from rekindle.environments.self_play.review import Review
from rekindle.environments.self_play.rewards import difficulty
from rekindle.environments.self_play.seeds import Seeds
from rekindle.learning.aggregation import group_token_mean
from rekindle.learning.credit import Credit
from rekindle.learning.estimators import ESTIMATORS
from rekindle.scheduling.group_records import GroupRecord
from rekindle.scheduling.history import History
from rekindle.scheduling.pools import CyclingPool, GrowingPool
from rekindle.types import Fate, GroupRequest, Outcome, Task
from rekindle.verifiers.qa import QaVerifier
from search_cases import FORMAT, CharacterCodec, ScriptedEngine, Shelf, in_turn

SEEDS = [Task(f"seed/{name}", name, name, {"corpus": ""}) for name in ("Paris", "Rome", "Oslo", "Bern")]
PROMPT = "propose {hops} {answer}\n"


def asks(text_of_answer):
    """A script of the proposer: search once, then ask ``text_of_answer(answer)``."""

    def script(text, sample):
        answer = text.splitlines()[0].split()[2]
        if "<information>" not in text:
            return f"<search>about {answer}</search>"
        return text_of_answer(answer)

    return script


def question(answer):
    return f"<question>Which capital has a name like {answer[1:]}?</question>"


class Answers:
    """An answerer: ``reply(book)``; counts like a real one."""

    def __init__(self, reply):
        self.reply, self.books, self.seconds, self.cost = reply, [], 0.5, Cost()

    def answer(self, books):
        self.books += books
        for _ in books:
            self.cost.add(30, 4)
        return [self.reply(book) for book in books]


def knows(book):
    """Right with documents in view: the seed whose name ends as the question says; nothing without."""
    if not book.documents:
        return ""
    return next(seed.answer for seed in SEEDS if seed.answer[1:] in book.question)


def game(
    script=None, *, reply=knows, shelf=None, created=None, pool=None, engine=None, estimator="reinforce", **settings
):
    """A supply over four seeds; ``settings``: of ``SupplySettings``."""
    codec = CharacterCodec()
    conversations = SearchConversations(
        codec=codec,
        engine=engine or ScriptedEngine(codec, script or asks(question)),
        retrievers={"": shelf or Shelf()},
        limits=SearchLimits(SamplingLimits(max_new_tokens=400, context=4000), answer_tokens=60),
        protocol=Tags(3, QUESTION),
        document_format=FORMAT,
    )
    check = RagCheck(reply and Answers(reply), QaVerifier("qa_exact_match"), noise=1, seed=5)
    return QuestionSupply(
        SupplySettings(**{"proposals": 4, "wanted": 4, "seed": 11} | settings),
        seeds=Seeds(SEEDS, hops=2, seed=3),
        proposer=Proposer(conversations, PROMPT),
        review=Review(
            limits=FilterLimits(), near_duplicate=1.0, check=check, is_sanitized=Sanitizer(codec.controls).is_sanitized
        ),
        created=created or CreatedTasks(),
        pool=pool or new_pool(),
        reward=difficulty,
        credit=Credit(ESTIMATORS[estimator], group_token_mean),
    )


def new_pool(**options):
    return GrowingPool(CyclingPool(History((), growing=True)), **options)


def solved(task_id, rewards, number=0):
    """The solver's account of one task."""
    request = GroupRequest(
        id=number, task_id=task_id, row=number, n=len(rewards), temperature=1.0, seed=0, version=0, step=1
    )
    return GroupRecord(request=request, fate=Fate.TRAINED, outcome=Outcome.MIXED, reward_sum=sum(rewards))


__all__ = ["PROMPT", "SEEDS", "Answers", "asks", "game", "in_turn", "knows", "new_pool", "question", "solved"]
