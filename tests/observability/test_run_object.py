"""What a run gives to a script or a notebook: tables, data frames, a report, a figure and a small card."""

import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import pytest
from synthetic_run import write_run

from rekindle.observability.runs import load_run
from rekindle.tasks.extras import MissingExtraError
from rekindle.types import UserError

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\u202e\x1b[2J"


@pytest.fixture
def run(tmp_path):
    return load_run(write_run(tmp_path / "run", steps=20))


def test_the_ledger_is_all_rows(run, tmp_path):
    assert run.ledger == list(run.groups())
    assert len(run.ledger) == 20 * 32
    (tmp_path / "config.toml").write_text("")
    assert load_run(tmp_path).ledger == []


def test_the_report_is_written_and_its_path_returned(run):
    assert run.report() == run.directory / "report.html"
    assert run.report().read_text().startswith("<!DOCTYPE html>")


# -- data frames -------------------------------------------------------------------------------------------------------


def test_data_frames_of_every_table(run):
    pytest.importorskip("pandas")
    (run.directory / "samples.jsonl").write_text('{"step": 1, "completion": "a"}\n{"step": 2, "completion": "b"}\n')
    metrics = run.to_pandas()
    assert list(metrics.index) == list(range(21))
    assert metrics["reward/mean"].iloc[-1] == run.metrics[-1]["reward/mean"]
    assert list(run.to_pandas("samples")["completion"]) == ["a", "b"]
    assert list(run.to_pandas("ledger")["request_id"]) == [row["request_id"] for row in run.ledger]


def test_an_empty_run_has_empty_data_frames(tmp_path):
    pytest.importorskip("pandas")
    (tmp_path / "config.toml").write_text("")
    run = load_run(tmp_path)
    assert [len(run.to_pandas(table)) for table in ("metrics", "samples", "ledger")] == [0, 0, 0]


def test_a_table_that_does_not_exist(run):
    with pytest.raises(UserError, match=r"to_pandas\('groups'\): .*choose one of metrics, samples, ledger"):
        run.to_pandas("groups")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("to_pandas", r'Run.to_pandas\(\) needs pandas, .*pip install "rekindle\[pandas\]"'),
        ("plot", r'Run.plot\(\) needs matplotlib, .*pip install "rekindle\[plot\]"'),
    ],
)
def test_a_missing_library_is_one_sentence(call, words, run, monkeypatch):
    monkeypatch.setattr("rekindle.tasks.extras.find_spec", lambda module: None)
    with pytest.raises(MissingExtraError, match=words):
        getattr(run, call)()


# -- the figure --------------------------------------------------------------------------------------------------------


def test_a_figure_of_accuracy_reward_and_outcomes(run):
    pytest.importorskip("matplotlib")
    config = (run.directory / "config.toml").read_text().replace('"recycle"', '"$\\\\frac$ <b> $"')
    (run.directory / "config.toml").write_text(config)  # a name that is no TeX
    figure: Any = load_run(run.directory).plot()
    accuracy, reward, groups = figure.axes
    assert [line.get_label() for line in accuracy.lines] == ["sampled", "greedy"]
    evaluated = [row for row in run.metrics if "eval/greedy" in row]
    assert list(accuracy.lines[1].get_xdata()) == [row["step"] for row in evaluated]
    assert list(accuracy.lines[1].get_ydata()) == [row["eval/greedy"] for row in evaluated]
    assert list(reward.lines[0].get_ydata()) == [row["reward/mean"] for row in run.metrics if "reward/mean" in row]
    assert len(groups.collections) == 3
    assert figure._repr_png_().startswith(b"\x89PNG")  # how notebooks show it


@pytest.mark.parametrize("steps", [0, 1])
def test_a_figure_of_a_short_run(steps, tmp_path):
    pytest.importorskip("matplotlib")
    assert len(load_run(write_run(tmp_path / "run", steps=steps)).plot().axes) == 3


def test_a_figure_of_a_run_that_has_only_its_configuration(tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "config.toml").write_text("")
    assert len(load_run(tmp_path).plot().axes) == 3


@pytest.mark.slow
def test_a_figure_needs_no_display_and_leaves_pyplot_alone(run):
    pytest.importorskip("matplotlib")
    program = (
        "import sys; from rekindle import load_run; load_run(sys.argv[1]).plot().savefig(sys.argv[2]); "
        "assert 'matplotlib.pyplot' not in sys.modules; assert 'torch' not in sys.modules"
    )
    out = run.directory / "curves.png"
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"} | {"MPLBACKEND": "TkAgg"}
    subprocess.run([sys.executable, "-c", program, str(run.directory), str(out)], check=True, env=environment)
    assert out.exists()


# -- the card ----------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """The tags, attributes and texts of a piece of HTML."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.texts = set(), set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.texts.append(data)


def test_a_notebook_shows_a_small_card(run):
    (run.directory / "model").mkdir()
    run.report()
    html = run._repr_html_()
    page = Page(html)
    assert {"recycle on spell_backward", "20 steps, 20 updates", "accuracy", "greedy"} <= set(page.texts)
    assert {str(run.directory), str(run.directory / "model"), str(run.directory / "report.html")} <= set(page.texts)
    assert len(html) < 3000


def test_the_card_is_escaped(tmp_path):
    run = load_run(write_run(tmp_path / HOSTILE.replace("/", "").replace("\x1b", "")))
    (run.directory / "config.toml").write_text(
        f"recipe = {json.dumps(HOSTILE)}\n[task]\nname = {json.dumps(HOSTILE)}\n"
    )
    page = Page(load_run(run.directory)._repr_html_())
    assert page.tags == {"div", "b", "table", "tr", "td"}
    assert page.attributes == {"style"}
    assert not {"\u202e", "\x1b"} & set("".join(page.texts))


def test_the_card_of_a_broken_or_empty_run_is_a_card(run, tmp_path):
    (run.directory / "warnings.jsonl").write_text("nothing\nat all\n")
    assert "warnings.jsonl, line 1" in run._repr_html_()
    (tmp_path / "config.toml").write_text("")
    assert "0 steps" in load_run(tmp_path)._repr_html_()
