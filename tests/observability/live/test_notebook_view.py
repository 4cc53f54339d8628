"""The live display in a notebook: one output, rewritten in place, everything escaped."""

import sys
from html.parser import HTMLParser
from types import ModuleType, SimpleNamespace

import pytest
from rich.console import Console

from rekindle.observability.live.notebook import NotebookView, html_picture
from rekindle.observability.live.run_state import RunState
from rekindle.observability.live.shown_samples import shown_samples
from rekindle.observability.progress import Progress

STEP = {"step": 41, "groups/asked": 64, "groups/trained": 19, "eval/accuracy": 0.46, "eval/greedy": 0.7, "lr": 1e-5}
HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\x1b[2J\u202e"
LINES = [{"split": "train", "reward": 1.0, "prompt": HOSTILE, "completion": HOSTILE, "answer": HOSTILE}]


class Outputs:
    """A notebook's outputs: what was shown last in each."""

    def __init__(self):
        self.shown = []

    def begin(self, html):
        place = len(self.shown)
        self.shown.append(html)

        def rewrite(changed):
            self.shown[place] = changed

        return rewrite


@pytest.fixture
def ipython(monkeypatch):
    """Stands for IPython.display."""
    outputs = Outputs()

    def display(html, display_id):
        assert display_id is True
        rewrite = outputs.begin(html)
        return SimpleNamespace(update=rewrite)

    module = ModuleType("IPython.display")
    module.display, module.HTML = display, str  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return outputs


def test_a_notebook_has_one_output_that_is_rewritten(ipython, capsys):
    with Progress(82, console=Console(force_jupyter=True, stderr=True)) as progress:
        assert progress.is_live
        progress.samples(LINES)
        progress.step(STEP)
        progress.step(STEP | {"step": 42})
    (html,) = ipython.shown
    for words in ("step 42 of 82", "greedy 0.70", "19 of 64 groups taught", "<th", "1e-05", "right, reward 1"):
        assert words in html
    assert capsys.readouterr() == ("", "")


def test_the_thread_ends_with_the_display_and_draws_nothing_afterwards():
    outputs = Outputs()
    view = NotebookView(RunState(), outputs.begin)
    view.start()
    view.stop()
    last = outputs.shown[:]
    view.update()
    assert outputs.shown == last


def test_what_the_policy_wrote_is_escaped():
    state = RunState(position=HOSTILE, sentence=HOSTILE, held_out=HOSTILE, samples=shown_samples(LINES))
    state.add(STEP)
    tags = set()

    class Page(HTMLParser):
        def handle_starttag(self, tag, attrs):
            tags.add(tag)
            assert not [name for name, _ in attrs if name.startswith("on")]

    Page(convert_charrefs=True).feed(html_picture(state))
    assert tags == {"div", "progress", "table", "tr", "th", "td"}
