"""Signals of a command: which ones are handled, and what is said."""

import os
import pty
import signal
import subprocess
import sys

import pytest

from rekindle.interrupts import Interrupts, Pace


@pytest.fixture(autouse=True)
def terminal():
    """SIGHUP as it is where these tests are not run with nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_lets_the_step_finish_and_is_said(number):
    said = []
    with Interrupts(said.append, "chunk") as interrupts:
        interrupts.begin()
        signal.raise_signal(number)
        assert interrupts.asked
    assert said == ["interrupted: stopping after this chunk (once more to stop at once) ..."]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_one_ends_the_command_at_once(number):
    with Interrupts(lambda _: None) as interrupts:
        interrupts.begin()
        signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)


def test_the_loss_of_a_terminal_may_be_told_twice():
    with Interrupts(lambda _: None) as interrupts:
        interrupts.begin()
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGHUP)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_before_the_first_step_a_signal_ends_the_command(number):
    with pytest.raises(KeyboardInterrupt, match="before the first step"), Interrupts(lambda _: None):
        signal.raise_signal(number)


def test_a_loss_of_the_terminal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts(lambda _: None) as interrupts:
            interrupts.begin()
            signal.raise_signal(signal.SIGHUP)
            assert not interrupts.asked
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_rest_of_a_step_is_estimated_from_the_one_before():
    now = 0.0
    pace = Pace(lambda: now)
    assert pace.rest() == ""
    now = 12.0
    pace.mark()
    now = 15.0
    assert pace.rest() == ", in about 9 s"
    now = 44.0
    pace.mark(evaluation=20.0)
    assert pace.rest() == ", in about 12 s, 20 s more where it is evaluated"
    now = 99.0
    assert pace.rest() == ", in about 0 s, 20 s more where it is evaluated"


LOSING = """
import sys
from rekindle.interrupts import Interrupts
with Interrupts(lambda text: print(text, flush=True)) as interrupts:
    interrupts.begin()
    print("begun", flush=True)
    while not interrupts.asked:
        pass
    for _ in range(9):
        print("after the terminal was lost", flush=True)
open(sys.argv[1], "w").write("finished")
"""


def test_a_process_without_its_terminal_finishes_its_step(tmp_path):
    master, terminal = pty.openpty()
    command = [sys.executable, "-c", LOSING, str(tmp_path / "end")]
    child = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
    try:
        os.close(terminal)
        assert b"begun" in os.read(master, 100)
        os.close(master)
        child.send_signal(signal.SIGHUP)
        assert child.wait(60) == 0
    finally:
        child.kill()
    assert (tmp_path / "end").read_text() == "finished"
