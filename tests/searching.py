"""The embedded search world, small: what whole runs of search agents in the tests have in common."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SEARCH_EXAMPLE = Path(__file__).parents[1] / "examples" / "search_agent.toml"
QUICK_SEARCH = (
    "model.tiny.layers=2",
    "model.tiny.hidden_size=32",
    "model.tiny.intermediate_size=64",
    "model.tiny.max_length=96",
    "warm_start.steps=60",
    "warm_start.batch_size=16",
    "warm_start.decay_below=2.4",
    "warm_start.decay_steps=8",
    "warm_start.sampled_accuracy=[0.0, 1.0]",
    "warm_start.least_by_level=[]",
    "task.params.entities=16",
    "task.params.name_words=12",
    "task.params.relations=3",
    "task.params.hops=2",
    "task.pool_size=64",
    "task.verifier=f1",
    "task.success_threshold=0.5",
    "search.max_turns=4",
    "engine.max_new_tokens=40",
    "train.groups_per_step=8",
    "train.group_size=4",
    "train.steps=4",
    "optimizer.warmup_steps=0",
    "eval.every=3",
    "eval.prompts=8",
    "checkpoint.every=2",
)
"""Settings under which a whole run takes a second.

The warm start teaches no more than how to search and to answer. One word of a name is enough for the reward, and a name
has two of twelve words, so that a policy that knows nothing is right often enough to be trained.
"""


def search_config(recipe="grpo", *overrides, seed=0):
    """The embedded search world, small."""
    from rekindle.recipes import resolve

    return resolve(SEARCH_EXAMPLE, recipe, [*QUICK_SEARCH, *overrides], seed)


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def file_config(directory, recipe="grpo", *overrides, seed=0):
    """The same questions from a file, about a corpus in a file, for the policy of the quick warm start."""
    from rekindle.recipes import resolve
    from rekindle.tasks import search_world
    from rekindle.warm_starts.stage import start_workbench

    quick = search_config()
    with start_workbench(quick, lambda _: None) as bench:
        rows = [{"prompt": task.prompt, "answer": task.answer} for task in bench.tasks.pool]
        model = bench.directory
    passages = search_world.passages(search_world.Params.read(quick.task.params), "pool")
    documents = [{"id": one.id, "title": one.title, "text": one.text} for one in passages]
    toml = directory / "run.toml"
    toml.write_text("")
    settings = {
        "model.path": str(model),
        "task.source": "jsonl",
        "task.environment": "search",
        "task.path": str(write_jsonl(directory / "questions.jsonl", rows)),
        "task.verifier": "f1",
        "task.success_threshold": 0.5,
        "search": quick.search.model_dump(exclude_none=True),
        "engine.max_new_tokens": 40,
        "train.groups_per_step": 4,
        "train.group_size": 4,
        "train.steps": 2,
        "optimizer.warmup_steps": 0,
        "eval.prompts": 4,
        "eval.every": 99,
    }
    if not any(one.startswith("retriever.kind=") for one in overrides):
        settings["retriever.corpus"] = str(write_jsonl(directory / "corpus.jsonl", documents))
    given = [f"{key}={json.dumps(value)}" for key, value in flat(settings).items()]
    return resolve(toml, recipe, [*given, *overrides], seed)


def flat(settings):
    """Tables in tables become dotted keys."""
    found = {}
    for key, value in settings.items():
        found |= (
            flat({f"{key}.{name}": inner for name, inner in value.items()}) if isinstance(value, dict) else {key: value}
        )
    return found


def recording():
    """A seam of ``open_run`` that notes the rollouts of the environment, and where: {request id: rollouts}."""
    from dataclasses import replace

    class Recording:
        def __init__(self, inner):
            self._inner = inner

        def __getattr__(self, name):
            return getattr(self._inner, name)

        def play(self, requests):
            for request_id, rollouts in self._inner.play(requests):
                played[request_id] = rollouts
                yield request_id, rollouts

    played = {}
    return lambda parts: replace(parts, environment=Recording(parts.environment)), played


@contextmanager
def answering(rule):
    """The address of a real HTTP server that answers a POST with ``rule(payload, headers) -> (status, JSON value)``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, value = rule(payload, self.headers)
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):  # who asked has given up
            pass

    server = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def served(corpus, port=0):
    """The real server over a lexical index of a corpus; its address."""
    from rekindle.retrieval.corpus import read_corpus
    from rekindle.retrieval.lexical import LexicalIndex
    from rekindle.retrieval.server import RetrieverServer

    index = LexicalIndex.in_memory(read_corpus(corpus))
    server, ready = RetrieverServer(port=port), threading.Event()
    running = {"documents": len(index), "on_ready": ready.set}
    thread = threading.Thread(target=server.run, args=(index,), kwargs=running)
    thread.start()
    assert ready.wait(20)
    try:
        yield server.url
    finally:
        server.stop()
        thread.join()
        index.close()


SELF_PLAY_EXAMPLE = Path(__file__).parents[1] / "examples" / "self_play.toml"
QUICK_SELF_PLAY = (
    *(one for one in QUICK_SEARCH if not one.startswith(("model.tiny.max_length", "task.pool_size"))),
    "model.tiny.max_length=128",
    "self_play.hops=2",
    "self_play.max_turns=4",
    "self_play.max_new_tokens=48",
    "self_play.question_tokens=8",
    "filters.min_characters=1",
    "filters.min_words=1",
    "check.kind=off",
    "check.unsolved=allowed",
)
"""The same for self-play: nothing is checked, as a policy that knows nothing confirms and solves nothing."""


def self_play_config(recipe="self_play", *overrides, seed=0):
    """Self-play in the embedded world, small."""
    from rekindle.recipes import resolve

    return resolve(SELF_PLAY_EXAMPLE, recipe, [*QUICK_SELF_PLAY, *overrides], seed)
