"""Charts: where things are drawn, by hand, and that the drawing is sound XML whatever it is given."""

import re
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rekindle.observability.svg import Bar, Layer, Series, horizontal_bars, line_chart, stacked_columns

WORDS: dict[str, Any] = {"title": "Accuracy", "description": "It rises."}


def draw_line(*series, **options):
    return ElementTree.fromstring(line_chart(series, **WORDS, x_label="step", **options))


def found(root, tag, kind=""):
    return [node for node in root.iter(tag) if kind in node.get("class", "").split() or not kind]


def test_a_line_is_where_its_numbers_are():
    root = draw_line(Series("a", [0, 5, 10], [0.0, 1.0, 0.5], "ember"), y_limits=(0, 1), height=200)
    (path,) = found(root, "path", "line")
    assert path.get("d") == "M0.0 200.0h0L500.0 0.0L1000.0 100.0"
    assert path.get("class") == "line c-ember"


def test_a_missing_value_interrupts_the_line():
    root = draw_line(Series("a", [0, 1, 2, 3, 4], [0, None, 1, 1, None], "ember"), y_limits=(0, 1), height=100)
    (path,) = found(root, "path", "line")
    assert path.get("d") == "M0.0 100.0h0M500.0 0.0h0L750.0 0.0"


def test_markers_keep_their_shape_and_the_band_surrounds_the_line():
    line = Series("a", [0, 4], [0.5, 0.5], "ember", markers=True, band=([0.25, 0.5], [0.75, 1.0]))
    root = draw_line(line, y_limits=(0, 1), height=100)
    assert [(dot.get("cx"), dot.get("cy")) for dot in found(root, "circle")] == [("0.00%", "50.0"), ("100.00%", "50.0")]
    assert found(root, "path", "band")[0].get("d") == "M0.0 25.0L1000.0 0.0L1000.0 50.0L0.0 75.0Z"


def test_it_names_itself_and_its_numbers_for_everybody():
    root = draw_line(Series("reward", [1, 2], [0.25, 0.5], "ember"))
    assert root.get("role") == "img"
    assert (root[0].tag, root[0].text, root[1].tag, root[1].text) == ("title", "Accuracy", "desc", "It rises.")
    assert [node[0].text for node in found(root, "rect", "hover")] == ["1\nreward: 0.25", "2\nreward: 0.5"]


def test_hover_columns_tile_the_chart_and_stay_few():
    root = draw_line(Series("a", list(range(1000)), [1.0] * 1000, "ember"))
    columns = found(root, "rect", "hover")
    assert len(columns) <= 120
    assert sum(float(node.get("width").rstrip("%")) for node in columns) == pytest.approx(100, abs=1)


@pytest.mark.parametrize("x", [0.0, 1e300, 1.7976931348623157e308, -1.7976931348623157e308])
def test_a_single_point_has_a_place(x):
    (path,) = found(draw_line(Series("a", [x], [1.0], "ember"), height=100), "path", "line")
    assert re.fullmatch(r"M(0|1000)\.0 7\.4h0", path.get("d"))


def test_columns_are_stacked():
    layers = [Layer("low", [1, 2], "fresh"), Layer("none", [0, 0], "lost"), Layer("high", [3, 2], "never_solved")]
    root = ElementTree.fromstring(stacked_columns(layers, [1, 2, 3], **WORDS, x_label="step", height=40))
    low, high = found(root, "path", "area")
    assert low.get("d") == "M0.0 30.0L500.0 30.0L500.0 20.0L1000.0 20.0L1000.0 40.0L500.0 40.0L500.0 40.0L0.0 40.0Z"
    assert high.get("d") == "M0.0 0.0L500.0 0.0L500.0 0.0L1000.0 0.0L1000.0 20.0L500.0 20.0L500.0 30.0L0.0 30.0Z"
    assert [node[0].text for node in found(root, "rect", "hover")] == [
        "step 1\nhigh: 3\nlow: 1",
        "step 2\nhigh: 2\nlow: 2",
    ]


def test_a_step_number_stands_in_the_middle_of_its_column():
    root = ElementTree.fromstring(stacked_columns([Layer("a", [1], "fresh")], [7, 8], **WORDS, x_label="step"))
    assert [(text.get("x"), text.text) for text in found(root, "text") if text.text == "7"] == [("50.00%", "7")]


def test_bars_are_shares_of_the_whole():
    bars = [Bar("trained", 30, "30%", "fresh"), Bar("recycled", 60, "60%", "lost"), Bar("none", 0, "0%", "lost")]
    root = ElementTree.fromstring(horizontal_bars(bars, whole=120, **WORDS))
    assert [node.get("width") for node in found(root, "rect", "bar")] == ["25.00%", "50.00%"]
    assert [text.text for text in found(root, "text")] == ["trained", "30%", "recycled", "60%", "none", "0%"]


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=8)
VALUES = st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), max_size=12)


@given(TEXTS, TEXTS, st.lists(st.tuples(TEXTS, VALUES), max_size=3))
@settings(max_examples=60)
@example("a", "b", [("c", [5e-324]), ("d", [1.7e308, -1.7e308])])
def test_any_text_and_numbers_give_sound_xml_inside_the_plot(title, label, lines):
    series = [Series(name, list(range(len(values))), values, "ember", markers=True) for name, values in lines]
    root = ElementTree.fromstring(line_chart(series, title=title, description=label, x_label=label))
    assert root[0].text == (title or None)
    numbers = [
        float(y) for path in found(root, "path") for y in re.findall(r"[ML]\S+ (\S+?)(?=[hLM]|$)", path.get("d"))
    ]
    assert all(-0.1 <= y <= 210.1 for y in numbers)


@given(st.lists(st.tuples(*[st.integers(0, 1000)] * 3), min_size=1, max_size=8), TEXTS)
@settings(max_examples=40)
def test_any_columns_give_sound_xml(rows, name):
    layers = [Layer(name, list(values), "fresh") for values in zip(*rows, strict=True)]
    root = ElementTree.fromstring(stacked_columns(layers, list(range(len(rows) + 1)), **WORDS, x_label=name))
    assert len(found(root, "rect", "hover")) == len(rows)
