import json
from dataclasses import replace

import pytest

from rekindle.engines.conversing import next_turn
from rekindle.engines.engine import SamplingLimits
from rekindle.environments.search.limits import SearchLimits
from rekindle.environments.search.tags import Tags
from rekindle.environments.search.tool_calls import ToolCalls
from rekindle.retrieval.retriever import Hit
from rekindle.testing import FakeEngine, check_environment
from rekindle.types import Document, Retrieval, Task, UserError
from rekindle.verifiers.audited import AuditedVerifier, verifier_audit
from rekindle.verifiers.functions import LocalFunction
from rekindle.verifiers.qa import QaVerifier
from rekindle.verifiers.verifier import Verdict
from rekindle.verifiers.weighted import WeightedVerifier, function_part
from search_cases import (
    PARIS,
    TASK,
    CharacterCodec,
    DeadShelf,
    ScriptedEngine,
    Shelf,
    environment,
    in_turn,
    order,
    play,
    runs,
    sampled_runs,
    shown_runs,
)

CODEC = CharacterCodec()
SEARCH, ANSWER = "<search>capital</search>", "<answer>Paris</answer>"
SHOWN = '\n\n<information>Doc 1(Title: "France") The capital of France is Paris.\n</information>\n\n'


def text(ids):
    return CODEC.decode(ids)


def call(**arguments):
    return f"<tool_call>{json.dumps({'name': 'search', 'arguments': arguments})}</tool_call>$"


def tools(script, shelf=None, **options):
    return environment(script, shelf, protocol=ToolCalls(options.get("max_queries", 3), CODEC), **options)


class Verdicts:
    """Gives one verdict, and records the answers."""

    def __init__(self, verdict):
        self.verdict, self.shown = verdict, []

    def judge(self, items):
        self.shown += items
        return [self.verdict for _ in items]

    def close(self):
        pass


def test_columns_by_hand():
    (rollout,) = play(environment(in_turn(SEARCH, ANSWER)))
    prompt = "Q: Capital of France?\n"
    assert [(sampled, text(ids)) for sampled, ids in runs(rollout)] == [
        (False, prompt),
        (True, SEARCH),
        (False, SHOWN),
        (True, ANSWER),
    ]
    expected = [0.0] * len(prompt)
    for generated, shown in ((SEARCH, SHOWN), (ANSWER, "")):
        expected += [-0.25 * (1 + position % 7) for position in range(len(generated))] + [0.0] * len(shown)
    assert rollout.logprobs == expected
    assert (rollout.text, rollout.turns, rollout.reward) == (f"{SEARCH}\n{ANSWER}", 2, 1.0)
    assert (rollout.truncated, rollout.failure, rollout.void, rollout.version) == (False, None, False, 3)
    assert rollout.transcript == SEARCH + SHOWN + ANSWER
    assert rollout.retrievals == (Retrieval(1, "capital", (PARIS,)),)
    assert rollout.generated_tokens == len(SEARCH + ANSWER)


def test_columns_by_hand_with_tool_calls():
    generated = "Let me see." + call(query="capital")
    (rollout,) = play(tools(in_turn(generated, ANSWER + "$")))
    assert [(sampled, text(ids)) for sampled, ids in runs(rollout)] == [
        (False, "tools by <tool_call>{\nU:Q: Capital of France?\n$A:"),
        (True, generated),
        (False, 'T:Doc 1(Title: "France") The capital of France is Paris.\n$A:'),
        (True, ANSWER + "$"),
    ]
    assert (rollout.reward, rollout.turns) == (1.0, 2)


def test_a_tool_call_without_its_end_token_is_ended_by_us():
    generated = call(query="capital").rstrip("$")
    (rollout,) = play(tools(in_turn(generated, ANSWER + "$")))
    assert text(shown_runs(rollout)[0]).startswith("$T:Doc 1")


def test_conforms():
    tasks = [Task(f"t{row}", "abc"[: 1 + row % 3], "yes") for row in range(7)]
    check_environment(environment(lambda text, sample: SEARCH, tasks=tasks), tasks=7)
    check_environment(tools(lambda text, sample: "well$", tasks=tasks), tasks=7)
    world = environment(None, tasks=tasks, engine=FakeEngine(lambda request, sample: ANSWER))
    check_environment(world, tasks=7)


def test_samples_of_a_group_go_their_own_ways():
    def script(text, sample):
        # Turns after the first are requests of their own, whose only sample is 0: their texts distinguish them.
        if "capital" not in text:
            return [ANSWER, SEARCH, "<search>capital </search>"][sample]
        return SEARCH if text.count("<search>") == 1 and "capital </search>" in text else "<answer>Rome</answer>"

    shelf = Shelf()
    rollouts = play(environment(script, shelf), n=3)
    assert [rollout.turns for rollout in rollouts] == [1, 2, 3]
    assert [rollout.reward for rollout in rollouts] == [1.0, 0.0, 0.0]
    assert shelf.asked == [["capital"], ["capital"]], "one search per reply, a repeated query once"


class OneAtATime(ScriptedEngine):
    """A converser: every conversation is held to its end before the next begins, the last one first."""

    def converse(self, requests, partner):
        for index in reversed(range(len(requests))):
            for sample in range(requests[index].n):
                request = replace(requests[index], n=1)
                generated = self._say(request, sample)
                while partner.on_turn(index, sample, generated):
                    (reply,) = partner.respond([(index, sample)])
                    request = next_turn(request, generated, sample, reply)
                    generated = self._say(request, 0)


def test_an_engine_that_converses_plays_the_same_rollouts():
    def script(text, sample):
        return ANSWER if "information" in text else [SEARCH, "eh$", ANSWER][sample]

    shelf = Shelf()
    turn_by_turn = play(environment(script), n=3)
    conversed = play(environment(None, shelf, engine=OneAtATime(CODEC, script)), n=3)
    assert conversed == turn_by_turn
    assert shelf.asked == [["capital"]]


def test_each_corpus_is_asked_once_for_all_conversations():
    tasks = [Task(f"t{row}", "q", "Paris", {"corpus": "ab"[row % 2]}) for row in range(4)]
    shelves = {"a": Shelf(), "b": Shelf(Document("2", "", "Paris"))}
    world = environment(
        lambda text, sample: ANSWER if "information" in text else f"<search>{'one' if sample else 'two'}</search>",
        tasks=tasks,
        retrievers=shelves,
    )
    played = dict(world.play([order(row, n=2) for row in range(4)]))
    assert [sorted(batch) for shelf in shelves.values() for batch in shelf.asked] == [["one", "two"]] * 2
    assert played[0][0].retrievals[0].documents == (PARIS,)
    assert played[1][0].retrievals[0].documents[0].id == "2"


def test_several_queries_of_a_turn():
    shelf = Shelf()
    world = environment(in_turn("<search>a||b\nc||d</search>", ANSWER), shelf, max_queries=2)
    (rollout,) = play(world)
    document = 'Doc 1(Title: "France") The capital of France is Paris.\n'
    assert text(shown_runs(rollout)[0]) == (
        f"\n\n<information>\nQuery 1:\n{document}\nQuery 2:\n{document}"
        "\nNot answered: 2 more (at most 2 in a turn).\n</information>\n\n"
    )
    assert shelf.asked == [["a", "b"]]
    assert [(one.turn, one.query) for one in rollout.retrievals] == [(1, "a"), (1, "b")]
    assert world.counts == {
        "search/turns": 2,
        "search/queries": 2,
        "search/refused_queries": 2,
        "search/malformed_calls": 0,
        "search/idle_turns": 0,
        "search/forced_answers": 0,
        "search/documents": 2,
        "search/documents_cut": 0,
        "search/documents_marked": 0,
    }


def test_parallel_tool_calls_and_a_malformed_one():
    turns = call(query="a").rstrip("$") + "<tool_call>{</tool_call>" + call(queries=["b"])
    world = tools(in_turn(turns, ANSWER + "$"))
    (rollout,) = play(world)
    document = 'Doc 1(Title: "France") The capital of France is Paris.\n'
    assert text(shown_runs(rollout)[0]) == f"T:{document}$T:The tool call is not valid JSON.$T:{document}$A:"
    assert (world.counts["search/malformed_calls"], world.counts["search/queries"]) == (1, 2)


def test_an_idle_turn_gets_a_reply_and_costs_a_turn():
    for world in (
        environment(in_turn("I do not know.$", ANSWER), max_turns=2),
        tools(in_turn("I do not know.$", ANSWER + "$"), max_turns=2),
    ):
        (rollout,) = play(world)
        assert "neither a search nor an answer" in text(shown_runs(rollout)[0])
        assert (rollout.turns, rollout.reward, rollout.retrievals) == (2, 1.0, ())
        assert (world.counts["search/idle_turns"], world.counts["search/forced_answers"]) == (1, 0)


def test_an_empty_turn_is_idle():
    (rollout,) = play(environment(in_turn("", ANSWER)))
    assert (rollout.turns, rollout.reward) == (2, 1.0)


def test_nothing_found():
    world = environment(in_turn(SEARCH, ANSWER))
    world._conversations._settings.retrievers[""].documents = ()
    (rollout,) = play(world)
    assert text(shown_runs(rollout)[0]) == "\n\n<information>Nothing was found.\n</information>\n\n"
    assert rollout.retrievals == (Retrieval(1, "capital", ()),)


def test_turns_run_out_and_the_answer_is_forced():
    world = environment(in_turn(SEARCH, SEARCH, "Paris</answer>"), max_turns=2)
    (rollout,) = play(world)
    assert [text(ids) for ids in shown_runs(rollout)] == [SHOWN, "\n\n<answer>"]
    assert text(sampled_runs(rollout)[-1]) == "Paris</answer>"
    assert (rollout.reward, rollout.turns, rollout.truncated) == (1.0, 3, False)
    assert len(rollout.retrievals) == 1, "the search of the last turn is not made"
    assert world.counts["search/forced_answers"] == 1
    forced = world._conversations._engine.requests[-1]
    assert (forced.max_new_tokens, forced.stop) == (20, ("</answer>",))


def test_turns_run_out_after_an_end_token():
    (rollout,) = play(tools(in_turn(call(query="a"), "Paris</answer>$"), max_turns=1))
    assert text(shown_runs(rollout)[0]) == "T:No further search is possible. Answer now.$A:<answer>"
    assert (rollout.reward, rollout.turns) == (1.0, 2)


@pytest.mark.parametrize(
    ("generated", "truncated"), [("Paris", True), ("Paris$", False), ("</answer>", False), ("Paris and what not", True)]
)
def test_a_forced_answer_that_is_not_closed_is_none(generated, truncated):
    verifier = Verdicts(Verdict(1.0))
    script = in_turn("hm", generated + " " * 40 if truncated else generated)
    (rollout,) = play(environment(script, max_turns=1, answer_tokens=12, verifier=verifier))
    assert (rollout.reward, rollout.failure, rollout.truncated) == (0.0, None, truncated)
    assert verifier.shown == []


def test_without_answer_tokens_a_limit_ends_it():
    (rollout,) = play(environment(in_turn(SEARCH), max_turns=2, answer_tokens=0))
    assert (rollout.turns, rollout.truncated, rollout.reward) == (2, True, 0.0)
    assert text(rollout.token_ids).endswith(SEARCH)


def test_a_turn_that_its_limit_cuts_short_leads_to_the_answer():
    world = environment(in_turn("I think " * 10, "Paris</answer>"), turn_tokens=30)
    (rollout,) = play(world)
    assert [len(ids) for ids in sampled_runs(rollout)] == [30, len("Paris</answer>")]
    assert (rollout.turns, rollout.reward) == (2, 1.0)
    assert world._conversations._engine.requests[0].max_new_tokens == 30


def test_a_call_that_its_limit_cuts_short_leads_to_the_answer():
    (rollout,) = play(tools(in_turn("<tool_call>" * 9, "Paris</answer>"), turn_tokens=30))
    assert text(shown_runs(rollout)[0]) == "\n\n<answer>"
    assert (rollout.turns, rollout.reward) == (2, 1.0)


def test_an_answer_at_the_very_limit_counts():
    world = environment(None, turn_tokens=len(ANSWER), engine=FakeEngine(lambda request, sample: ANSWER))
    (rollout,) = play(world)
    assert (rollout.turns, rollout.reward, rollout.truncated) == (1, 1.0, False)


def test_all_turns_together_have_a_limit():
    world = environment(in_turn(SEARCH, SEARCH, "x" * 99, "Paris</answer>"), max_new_tokens=75, answer_tokens=20)
    (rollout,) = play(world)
    assert [len(ids) for ids in sampled_runs(rollout)] == [24, 24, 7, 14]
    assert rollout.generated_tokens <= 75
    assert rollout.reward == 1.0
    assert [request.max_new_tokens for request in world._conversations._engine.requests] == [55, 31, 7, 20]


def test_information_is_cut_to_what_the_context_holds():
    script = in_turn(SEARCH, SEARCH, ANSWER)
    world = environment(script, Shelf(Document("1", "", "word " * 20)), context=350, max_new_tokens=100)
    (rollout,) = play(world)
    first, second = (text(ids) for ids in shown_runs(rollout))
    assert first.startswith('\n\n<information>Doc 1(Title: "") word')
    assert first.endswith("</information>\n\n")
    frame, reserve, left = 31, 10 + 20, 100 - 20 - 2 * 24
    spent = 22 + 24 + (frame + 118) + 24
    assert len(second) == frame + (350 - spent - frame - reserve - left) < len(first)
    assert second.endswith("</information>\n\n")
    assert rollout.reward == 1.0
    assert world.counts["search/documents_cut"] == 1
    for request in world._conversations._engine.requests:
        assert len(request.prompt_ids) + request.max_new_tokens <= 350


class ByQuery(Shelf):
    """Finds one document, whose text depends on the query."""

    def search(self, queries, k):
        return [[Hit(Document(query, "", {"short": "word", "long": "word " * 20}[query]), 1.0)] for query in queries]


@pytest.mark.parametrize(
    ("queries", "expected"),
    [("long||long", (30, 30)), ("short||short", (22, 22)), ("short||long", (22, 38)), ("long||short", (30, 22))],
)
def test_queries_share_the_room_and_one_leaves_the_next_what_it_does_not_need(queries, expected):
    generated = f"<search>{queries}</search>"
    own, forced, left = 31 + 2 * len("\nQuery 1:\n"), 10 + 20, 80 - len(generated)
    context = len("Q: Capital of France?\n" + generated) + own + 60 + forced + left
    (rollout,) = play(environment(in_turn(generated, ANSWER), ByQuery(), context=context, max_new_tokens=100))
    _, *blocks = text(shown_runs(rollout)[0]).removesuffix("</information>\n\n").split("\nQuery ")
    assert tuple(len(block) - len("1:\n") for block in blocks) == expected


@pytest.mark.parametrize("context", range(23, 160, 6))
@pytest.mark.parametrize("answer_tokens", [0, 9])
def test_everything_fits_any_context(context, answer_tokens):
    generated = [
        "<search>a||b</search>",
        "<search></search>",
        "eh$",
        "long " * 9,
        call(query="a"),
        call() * 9,
        "<answer>a",
    ]

    def script(text, sample):
        return generated[(len(text) + sample) % len(generated)]

    options = {"context": context, "max_new_tokens": 60, "answer_tokens": answer_tokens}
    for world in (
        environment(script, **options),
        tools(script, **options),
        environment(script, DeadShelf(), **options),
        tools(script, DeadShelf(), turn_tokens=25, **options),
    ):
        played = dict(world.play([order(n=7)]))
        for rollout in played[0] or []:
            assert len(rollout.token_ids) <= context
            assert rollout.generated_tokens <= 60
        for request in world._conversations._engine.requests:
            assert len(request.prompt_ids) + request.max_new_tokens <= context


def test_a_prompt_that_leaves_no_room_fails_and_the_others_go_on():
    tasks = [TASK, Task("long", "x" * 300, "Paris")]
    world = environment(lambda text, sample: ANSWER, tasks=tasks, context=200)
    played = dict(world.play([order(1), order(0)]))
    assert played[1] is None
    assert played[0][0].reward == 1.0
    assert list(world.play([])) == []


def test_a_document_is_cut_at_its_end_and_keeps_its_format():
    world = environment(
        in_turn(SEARCH, ANSWER), Shelf(Document("1", "T", "x" * 90), PARIS), document_tokens=40, documents=2
    )
    (rollout,) = play(world)
    first, second, _ = text(shown_runs(rollout)[0]).removeprefix("\n\n<information>").split("\n", 2)
    assert first == 'Doc 1(Title: "T") ' + "x" * (39 - 18)
    assert second.startswith("Doc 2(")
    assert world.counts["search/documents_cut"] == 2


def test_a_dead_retriever_voids_its_rollouts_and_no_others():
    tasks = [Task(f"t{row}", "q", "Paris", {"corpus": name}) for row, name in enumerate(["dead", "live"])]
    verifier = Verdicts(Verdict(1.0))
    world = environment(
        lambda text, sample: ANSWER if sample == 1 or "information" in text else SEARCH,
        tasks=tasks,
        retrievers={"dead": DeadShelf(), "live": Shelf()},
        verifier=verifier,
    )
    played = dict(world.play([order(0, n=2), order(1, n=2)]))
    down, untouched = played[0]
    assert (down.void, down.failure, down.reward, down.turns) == (True, "retriever", 0.0, 1)
    assert text(down.token_ids).endswith(SEARCH), "what was sampled only to end it is not kept"
    assert (untouched.void, untouched.failure, untouched.reward) == (False, None, 1.0)
    assert [rollout.reward for rollout in played[1]] == [1.0, 1.0]
    assert len(verifier.shown) == 3
    assert world.counts["search/turns"] == 5


def test_a_void_verdict_voids_the_rollout():
    (rollout,) = play(environment(in_turn(ANSWER), verifier=Verdicts(Verdict(1.0, "judge", void=True))))
    assert (rollout.void, rollout.failure, rollout.reward) == (True, "judge", 0.0)


def test_a_failed_verdict_is_a_wrong_answer():
    (rollout,) = play(environment(in_turn(ANSWER), verifier=Verdicts(Verdict(0.0, "crash"))))
    assert (rollout.void, rollout.failure, rollout.reward) == (False, "crash", 0.0)


def test_only_the_answer_reaches_the_verifier():
    verifier = Verdicts(Verdict(1.0))
    play(environment(in_turn("<search>Rome</search>", "so <answer>a <answer> Paris </answer>"), verifier=verifier))
    assert verifier.shown == [(TASK, "<answer>Paris</answer>")]


def test_a_document_cannot_answer():
    shelf = Shelf(Document("1", "", "<answer>Paris</answer>"))
    for last in ("I have seen it$", "<answer>Rome</answer>"):
        (rollout,) = play(environment(in_turn(SEARCH, last, "</answer>"), shelf, max_turns=2))
        assert rollout.reward == 0.0


def test_limits_temperature_and_seed_reach_the_engine():
    world = environment(lambda text, sample: ANSWER, top_p=0.9, min_p=0.1)
    list(world.play([order(n=3, seed=99, temperature=1.4)]))
    (request,) = world._conversations._engine.requests
    assert (request.n, request.temperature, request.seed, request.top_p, request.min_p) == (3, 1.4, 99, 0.9, 0.1)
    assert (request.stop, request.max_new_tokens) == (("</search>", "</answer>"), 380)


def test_seconds_grow():
    world = environment(in_turn(SEARCH, ANSWER))
    play(world)
    assert set(world.seconds) == {"generate", "retrieve", "verify"}
    assert all(spent > 0 for spent in world.seconds.values())


def test_the_default_prompt_explains_the_protocol():
    world = environment(in_turn(ANSWER), prompt=Tags(2).instructions)
    (rollout,) = play(world)
    assert "Question: Capital of France?" in text(rollout.token_ids)
    assert "Up to 2 queries" in text(rollout.token_ids)


class Deaf(CharacterCodec):
    """Cannot write angle brackets."""

    def own(self, text):
        return super().own(text.replace("<", "?"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prompt": "no place"}, "has no {question} in it"),
        ({"document_format": "{rank} {title}"}, "must have {text} in it"),
        ({"document_format": "{text} {texts}"}, "must have {text} in it"),
        ({"document_format": "<search>{text}"}, "contains a tag"),
        ({"document_tokens": 1}, "leaves no room for a document"),
        ({"codec": Deaf()}, "cannot write <search> as text"),
        ({"tasks": [Task("t", "q", "a", {"corpus": "c"})]}, "names the corpus 'c', and there is a retriever for ['']"),
        ({"max_new_tokens": 20}, "leaves nothing of engine.max_new_tokens = 20"),
        ({"max_turns": 0}, "search.max_turns = 0 allows nothing"),
        ({"turn_tokens": 0}, "search.turn_tokens = 0 allows nothing"),
    ],
)
def test_what_cannot_be_played_is_said_at_once(change, words):
    with pytest.raises(UserError) as raised:
        environment(in_turn(ANSWER), **change)
    assert words in str(raised.value)


@pytest.mark.parametrize("announced", [False, True])
def test_a_conversation_before_the_question_stays(announced):
    """The instructions are around the last turn of the user, in both protocols."""
    turns = [("system", "Be brief."), ("user", "Capital of Spain?"), ("assistant", "Madrid."), ("user", "Of France?")]
    messages = tuple({"role": role, "content": content} for role, content in turns)
    tasks = [Task("t", "Of France?", "Paris", messages=messages)]
    codec = CharacterCodec()
    world = environment(in_turn(ANSWER), tasks=tasks, codec=codec, protocol=ToolCalls(2, codec) if announced else None)
    (rollout,) = play(world)
    written = "S:Be brief.$U:Capital of Spain?$A:Madrid.$U:Q: Of France?\n$A:"
    assert text(rollout.token_ids).startswith(("tools by <tool_call>{\n" if announced else "") + written)
    assert rollout.reward == 1.0
    assert world.room(tasks[0]) < environment(in_turn(ANSWER)).room(Task("t", "Of France?", "Paris"))


def test_braces_that_name_no_field_are_text():
    world = environment(in_turn(SEARCH, ANSWER), document_format='{"text": "{text}"}')
    (rollout,) = play(world)
    assert text(shown_runs(rollout)[0]) == (
        '\n\n<information>{"text": "The capital of France is Paris."}</information>\n\n'
    )


def test_limits_by_hand():
    sampling = SamplingLimits(max_new_tokens=100, context=200)
    limits = SearchLimits(sampling, answer_tokens=30)
    assert (limits.free_tokens, limits.longest_turn) == (70, 70)
    assert SearchLimits(sampling, turn_tokens=25, answer_tokens=30).longest_turn == 25


def test_the_same_play_twice():
    def script(text, sample):
        return ANSWER if "information" in text else SEARCH

    assert play(environment(script), n=2) == play(environment(script), n=2)


def test_reward_functions_and_audits_judge_the_answer_of_a_conversation():
    def short(completions):
        return [-0.5 * len(one) for one in completions]

    verifier = AuditedVerifier(
        WeightedVerifier([function_part("short", 2.0, LocalFunction(short, "rewards[0]"))]),
        [verifier_audit("strict", 1.0, QaVerifier("qa_exact_match"))],
    )
    world = environment(in_turn(SEARCH, ANSWER), Shelf(), verifier=verifier)
    (rollout,) = play(world)
    assert (rollout.reward, rollout.rewards) == (-1.0 * len(ANSWER), {"short": -0.5 * len(ANSWER)})
    assert rollout.audits == {"strict": 1.0}
