"""The pool and its server: starting, dying, restarting, and leaving nothing behind. Answers are executed unguarded."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from processes import children
from unguarded import unguarded_pool

from rekindle.tasks.child_process import child_environment
from rekindle.verifiers import workers
from rekindle.verifiers.verifier import Verdict, VerifierError
from rekindle.verifiers.worker_main import result_of

pytest.importorskip("reasoning_gym")
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")

RIGHT, HANG, SLOW = "1+1", "9**9**9**9", '__import__("time").sleep(2)'
ENTRY = "{'question': '', 'answer': '1+1', 'metadata': {'numbers': [1, 1], 'target': 2}}"


def job(text):
    return {
        "text": text,
        "dataset": {"name": "countdown", "params": {"seed": 0, "size": 1}},
        "index": 0,
        "entry": ENTRY,
    }


@pytest.fixture
def pool(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    pool = unguarded_pool()
    yield pool
    pool.close()


def judging(server):
    """Process ids of the children that judge: these have made a session of their own."""
    found = set()
    for child in children(server):
        with suppress(ProcessLookupError):
            found |= {child} if os.getsid(child) == child else set()
    return found


def runs(pid):
    """Whether the process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def eventually(condition):
    """Wait for a truthy result; the suite's own time limit ends a hopeless wait."""
    while not (result := condition()):
        time.sleep(0.02)
    return result


def when_busy(action, before):
    """Call ``action(server)`` from a thread as soon as a server started after ``before`` judges."""

    def watch():
        (server,) = eventually(lambda: children(os.getpid()) - before)
        eventually(lambda: judging(server))
        action(server)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


@linux
def test_the_server_starts_with_the_first_job_in_a_session_of_its_own_and_leaves_nothing(pool, tmp_path):
    before = children(os.getpid())
    assert pool.judge([]) == []
    assert children(os.getpid()) == before
    assert pool.judge([job(RIGHT), job("2")]) == [Verdict(1.0), Verdict(0.05)]
    (server,) = children(os.getpid()) - before
    assert os.getsid(server) == server
    assert len(list(tmp_path.iterdir())) == 1
    pool.close()
    pool.close()
    assert not runs(server)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@linux
def test_a_server_killed_between_calls_is_replaced(pool):
    before = children(os.getpid())
    assert pool.judge([job(RIGHT)]) == [Verdict(1.0)]
    (server,) = children(os.getpid()) - before
    os.kill(server, signal.SIGKILL)
    eventually(lambda: not runs(server))
    assert pool.judge([job(RIGHT)]) == [Verdict(1.0)]


@pytest.mark.slow
@linux
def test_jobs_under_way_when_the_server_dies_are_judged_by_the_next(pool):
    killer = when_busy(lambda server: os.kill(server, signal.SIGKILL), children(os.getpid()))
    assert pool.judge([job(SLOW), job(RIGHT)]) == [Verdict(0.01), Verdict(1.0)]
    killer.join()


@pytest.mark.slow
@linux
def test_an_interrupt_ends_the_server_and_the_next_call_is_sound(pool):
    before = children(os.getpid())
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        interrupter = when_busy(lambda _: os.kill(os.getpid(), signal.SIGINT), before)
        with pytest.raises(KeyboardInterrupt):
            pool.judge([job(HANG)])
        interrupter.join()
    finally:
        signal.signal(signal.SIGINT, previous)
    assert children(os.getpid()) == before
    assert pool.judge([job(RIGHT)]) == [Verdict(1.0)]


@linux
def test_no_orphan_outlives_a_killed_parent(tmp_path):
    script = "from unguarded import unguarded_pool; "
    script += f"unguarded_pool(workers=1, timeout_seconds=600).judge([{job(HANG)!r}])"
    environment = {**child_environment(str(tmp_path)), "TMPDIR": str(tmp_path)}
    parent = subprocess.Popen([sys.executable, "-c", script], env=environment)
    (server,) = eventually(lambda: children(parent.pid))
    (busy,) = eventually(lambda: judging(server))
    parent.kill()
    parent.wait()
    eventually(lambda: not runs(server) and not runs(busy))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@linux
def test_a_busy_child_does_not_outlive_its_server(pool):
    seen = []

    def kill(server):
        seen.extend(judging(server))
        os.kill(server, signal.SIGKILL)

    killer = when_busy(kill, children(os.getpid()))
    pool.judge([job(SLOW)])
    killer.join()
    eventually(lambda: not any(map(runs, seen)))


def test_a_server_that_cannot_start_says_why(pool, monkeypatch):
    broken = [sys.executable, "-c", "raise ImportError('no scorers here')"]
    monkeypatch.setattr(workers, "python_command", lambda *_: broken)
    with pytest.raises(VerifierError, match=r"could not start \(ImportError: no scorers here\); try: rekindle doctor"):
        pool.judge([job(RIGHT)])


@pytest.mark.slow
def test_a_job_that_cannot_be_prepared_is_an_error(pool):
    unknown = {**job(RIGHT), "dataset": {"name": "no_such_data_set", "params": {}}}
    assert pool.judge([unknown, job(RIGHT)]) == [Verdict(0.0, "error"), Verdict(1.0)]


@pytest.mark.slow
def test_calls_from_several_threads(pool):
    verdicts = {}

    def judge(text):
        verdicts[text] = pool.judge([job(text)] * 3)

    threads = [threading.Thread(target=judge, args=[text]) for text in (RIGHT, "2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == {RIGHT: [Verdict(1.0)] * 3, "2": [Verdict(0.05)] * 3}


@pytest.mark.parametrize(
    ("data", "result"),
    [
        (b'{"score": 1.0}', {"score": 1.0}),
        (b'{"score": 1.0, "id": 7}', {"score": 1.0}),
        (b'{"failure": "error"}', {"failure": "error"}),
        (b'{"failure": "none"}', {"failure": "crash"}),
        (b'{"failure": []}', {"failure": "crash"}),
        (b'{"score": [[[[]]]]}', {"failure": "crash"}),
        (b'{"score": "1"}', {"failure": "crash"}),
        (b"", {"failure": "crash"}),
        (b'{"score": 1.0}{"score": 1.0}', {"failure": "crash"}),
        (b"\xff\xfe", {"failure": "crash"}),
        (b"[" * 4096, {"failure": "crash"}),
        (b"1", {"failure": "crash"}),
    ],
)
def test_the_result_of_a_child_is_checked(data, result):
    assert result_of(data) == result


def test_the_environment_is_scrubbed(monkeypatch):
    monkeypatch.setenv("API_TOKEN", "secret")
    environment = child_environment("/somewhere")
    assert "secret" not in environment.values()
    assert environment["HOME"] == environment["TMPDIR"] == "/somewhere"
