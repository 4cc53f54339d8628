"""One channel for warnings: ours, Python's and log records; counted, bounded, and put back at the end."""

import logging
import threading
import warnings

import pytest

from rekindle import notices
from rekindle.notices import DISTINCT, Notice, RekindleWarning, adopt_loggers, collecting, opened, warn


class Shown(list):
    """What a channel showed."""

    def __call__(self, notice, count):
        self.append((notice.source, notice.text, count))


class Log(list):
    def add(self, notice, *, shown):
        self.append((notice.text, shown))


def test_without_a_channel_it_is_a_python_warning_at_the_caller():
    with pytest.warns(RekindleWarning, match="look out") as caught:
        warn("look out")
    assert caught[0].filename == __file__


def test_each_text_is_shown_once_and_counted_at_the_end():
    with collecting(shown := Shown()):
        for text in ("a", "b", "a", "a"):
            warn(text)
        assert shown == [("rekindle", "a", 1), ("rekindle", "b", 1)]
    assert shown[2:] == [("rekindle", "a", 3)]


def test_what_libraries_say_comes_with_their_name():
    with collecting(shown := Shown()):
        warnings.warn("from a file", stacklevel=1)
        warnings.warn_explicit("old", FutureWarning, "/x/site-packages/transformers/a/b.py", 3)
        warnings.warn_explicit("a user's", UserWarning, "/x/rekindle/script.py", 3)
        warnings.warn_explicit("single", UserWarning, "/x/site-packages/six.py", 3)
        logging.getLogger("pyarrow.lib").warning("%d rows", 3)
        logging.getLogger("httpx").info("unimportant")
        try:
            raise ValueError("why")
        except ValueError:
            logging.getLogger("httpx").exception("failed")
    assert [entry[:2] for entry in shown] == [
        ("test_notices", "from a file"),
        ("transformers", "old"),
        ("script", "a user's"),
        ("six", "single"),
        ("pyarrow", "3 rows"),
        ("httpx", "failed (ValueError: why)"),
    ]


def test_warnings_for_developers_are_left_out_and_filters_of_the_user_hold():
    with warnings.catch_warnings(), collecting(shown := Shown()):
        warnings.warn("soon gone", DeprecationWarning, stacklevel=1)
        warnings.filterwarnings("ignore", "boring")
        warnings.warn("boring", stacklevel=1)
    assert shown == []


def test_a_text_is_one_line_without_control_characters_and_not_endless():
    with collecting(shown := Shown()):
        warn("two\nlines\x1b[31m \ud800")
        warn("x" * 5000)
    assert shown[0][1] == "two lines [31m"
    assert len(shown[1][1]) < 2100


def test_memory_is_bounded():
    with collecting(shown := Shown()) as channel:
        for number in range(10 * DISTINCT):
            warn(f"{number}")
        assert len(channel._counts) == DISTINCT + 1
    assert len(shown) == DISTINCT + 2
    assert shown[-1] == ("rekindle", notices.FURTHER.text, 9 * DISTINCT)


def test_a_log_gets_what_was_said_before_and_every_repetition():
    with collecting(Shown()) as channel:
        warn("early")
        warn("early")
        with channel.kept_in(log := Log()):
            warn("late")
            warn("early")
        warn("after")
    assert log == [("early", True), ("early", False), ("late", True), ("early", False)]


def test_threads_lose_nothing():
    with collecting(shown := Shown()):
        threads = [threading.Thread(target=lambda: [warn("same") for _ in range(500)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert shown == [("rekindle", "same", 1), ("rekindle", "same", 2000)]


def test_loggers_with_a_handler_of_their_own_are_adopted_and_given_back(capsys):
    logger, handler = logging.getLogger("noisy.library"), logging.StreamHandler()
    logger.addHandler(handler)
    logger.propagate = False
    root = list(logging.getLogger().handlers)
    try:
        with collecting(shown := Shown()):
            adopt_loggers()
            logger.warning("once")
        assert shown == [("noisy", "once", 1)]
        assert capsys.readouterr().err == ""
        assert (logger.handlers, logger.propagate) == ([handler], False)
        assert logging.getLogger().handlers == root
    finally:
        logger.removeHandler(handler)


def test_nothing_outlives_the_context():
    before = warnings.showwarning, warnings.filters[:], logging.getLogger().handlers[:]
    with pytest.raises(RuntimeError), collecting(Shown()):
        raise RuntimeError
    assert (warnings.showwarning, warnings.filters[:], logging.getLogger().handlers[:]) == before
    assert notices.current() is None


def test_a_run_without_a_command_line_keeps_warnings_and_gives_them_to_python():
    log = Log()
    with warnings.catch_warnings(record=True) as caught, opened() as channel, channel.kept_in(log):
        warnings.simplefilter("always")
        warn("starving")
        warn("starving")
    assert [(one.category, str(one.message)) for one in caught] == [(RekindleWarning, "starving")]
    assert log == [("starving", True), ("starving", False)]
    with collecting(shown := Shown()) as outer, opened() as channel:
        assert channel is outer
        warn("once more")
    assert shown == [("rekindle", "once more", 1)]
    assert Notice("a") != Notice("a", "torch")
