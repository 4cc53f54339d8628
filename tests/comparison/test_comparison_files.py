"""The files of a comparison: what they say, and that hostile text stays text in each of them."""

import csv
import html
import io
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

from rekindle.comparison.comparing import compare
from rekindle.comparison.content import explanation
from rekindle.comparison.figure import pdf_figure, svg_figure
from rekindle.comparison.html import html_page
from rekindle.comparison.latex import latex_text
from rekindle.comparison.markdown import markdown_text
from rekindle.comparison.text import terminal_text
from rekindle.comparison.tidy import csv_text, curves_csv
from rekindle.comparison.writing import FORMATS, check_files, write_files
from rekindle.types import UserError
from synthetic_arms import PROMPTS, write_arm_run, write_lines, write_sweep

ATTACK = "</pre></td><script>document.title='owned'</script><img src=x onerror=alert(1)>\u202egnp.exe\x1b[31m\x00"


@pytest.fixture
def comparison(tmp_path):
    arms = {"grpo": 0.4, "recycle": 0.5, "erpo": 0.41}
    return compare([write_sweep(tmp_path, arms, noise=0.02, further={"greedy": 0.4, "audit/strict": 0.1})])


@pytest.fixture
def hostile(tmp_path):
    """Runs whose recipe, directory, settings, version, prompts and completions are attacks."""
    for seed in range(2):
        for recipe in ("=cmd|' /C calc'!A0", f"\\input{{/etc/passwd}} | $x^2$ `a` {ATTACK}"):
            folder = f"<b>&{'=' if recipe[0] == '=' else 'x'}\u202e{seed}"
            write_arm_run(
                tmp_path / folder,
                recipe=recipe,
                seed=seed,
                ending=ATTACK,
                completion=ATTACK * 10_000,
                info={"rekindle": ATTACK},
                further={f"audit/{ATTACK}": 0.1, f"={ATTACK}": 0.2},
                config=f"{json.dumps(ATTACK)} = {json.dumps(ATTACK + recipe)}\n",
            )
    return compare([tmp_path])


class Elements(HTMLParser):
    """Names of the elements, and the attributes that can run something."""

    def __init__(self, text):
        super().__init__()
        self.names, self.running, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.running += [
            name for name, value in attrs if name.startswith("on") or (value or "").startswith("javascript")
        ]

    def handle_data(self, data):
        self.texts.append(data)


# -- contents ---------------------------------------------------------------------------------------------------------


def test_the_page_has_all_parts(comparison):
    page = html_page(comparison)
    headings = [one for one in re.findall(r"<h2>(.*?)</h2>", page) if one != "Contents"]
    assert headings == [
        "Accuracy at equal rollouts",
        "The same at other equal costs",
        f"Cost of accuracy {comparison.target:.3g}",
        "Mean accuracy over the whole course",
        "By other measures of the evaluations",
        "What each arm writes",
        "What differs in the settings",
        "Runs",
        "What the numbers mean",
        "Data",
    ]
    assert page.count("<figure") == 5
    assert Elements(page).names.count("script") == 1
    for text in ("erpo and recycle against grpo", "no difference seen", "strict (audit)", "spell ember", "rebme"):
        assert html.escape(text) in page or text in page


def test_the_explanation_has_the_numbers_of_the_page(comparison):
    text = " ".join(explanation(comparison))
    assert "corrected by Holm's rule for the 2 comparisons of their table" in text
    assert f"This page compares {comparison.comparisons} pairs of numbers in all" in text
    assert "{" not in text


def test_the_page_asks_for_nothing(comparison):
    page = html_page(comparison)
    assert "default-src 'none'" in page
    assert re.findall(r'(?:src|href)="(?!data:|#)', page) == []


def test_downloads_are_the_files(comparison):
    page = html_page(comparison)
    found = dict(re.findall(r'download="([\w.]+)" href="data:[\w/]+;charset=utf-8,([^"]*)"', page))
    decoded = {name: unquote(html.unescape(data)) for name, data in found.items()}
    assert decoded == {
        "comparison.csv": csv_text(comparison),
        "curves.csv": curves_csv(comparison),
        "comparison.md": markdown_text(comparison),
        "comparison.tex": latex_text(comparison),
    }


def test_csv_has_a_line_per_value_and_per_comparison(comparison):
    lines = list(csv.DictReader(io.StringIO(csv_text(comparison))))
    equal = [line for line in lines if line["measure"] == "at equal cost" and line["cost"] == "rollouts"]
    assert [line["line"] for line in equal] == ["run"] * 9 + ["comparison"] * 2
    measure = comparison.equal["rollouts"]
    for line, row in zip(equal[9:], measure.rows[1:], strict=True):
        assert (line["arm"], line["baseline"], line["pairs"]) == (row.arm, "grpo", "3")
        assert float(line["estimate"]) == row.paired.mean
        assert float(line["t_low"]) == row.paired.t.low
        assert float(line["bootstrap_high"]) == row.paired.bootstrap.high
        assert float(line["p_holm"]) == row.adjusted
    costs = [line for line in lines if line["measure"] == "cost of the target" and line["line"] == "comparison"]
    assert {line["comparison"] for line in costs} == {"ratio"}
    assert {line["cost"] for line in lines} == {"rollouts", "tokens", "flops", "flops_sgpo", "seconds"}


def test_curves_have_every_evaluation(comparison):
    lines = list(csv.DictReader(io.StringIO(curves_csv(comparison))))
    assert len(lines) == 9 * 21
    assert [lines[20][cost] for cost in ("rollouts", "tokens", "flops", "flops_sgpo", "seconds")] == [
        "2000", "20000", "100000000000", "180000000000", "21",
    ]  # fmt: skip


def test_markdown_has_tables_of_equal_width(comparison):
    text = markdown_text(comparison)
    assert text.startswith("# erpo and recycle against grpo\n")
    tables = re.findall(r"(?:^\|.*\|\n)+", text, re.M)
    assert len(tables) == 13
    for table in tables:
        assert len({line.count("|") - line.count("\\|") for line in table.splitlines()}) == 1


def test_latex_has_a_cell_for_every_column(comparison):
    text = latex_text(comparison)
    tables = re.findall(r"\\begin\{tabular\}\{(l r*|lr*)\}(.*?)\\end\{tabular\}", text, re.DOTALL)
    assert len(tables) == 7
    for columns, body in tables:
        rows = [line for line in body.splitlines() if line.endswith("\\\\")]
        assert len(rows) > 1
        assert {line.count(" & ") for line in rows} == {len(columns) - 1}
    assert "$-$0." in text
    assert "0.4" in text


def missing_latex():
    """Why no table can be compiled here; "" where it can."""
    if shutil.which("pdflatex") is None:
        return "needs pdflatex, which is not installed"
    for package in ("booktabs", "graphicx", "textcomp"):
        if subprocess.run(["kpsewhich", f"{package}.sty"], check=False, capture_output=True).returncode:
            return f"needs LaTeX's package {package}, which is not installed"
    return ""


@pytest.mark.parametrize("which", ["comparison", "hostile"])
def test_latex_compiles_and_no_table_is_wider_than_the_line(which, request, tmp_path):
    if missing := missing_latex():
        pytest.skip(missing)
    tables = latex_text(request.getfixturevalue(which))
    packages = r"\usepackage[T1]{fontenc}\usepackage{booktabs,graphicx,textcomp}"
    document = rf"\documentclass{{article}}{packages}\begin{{document}}{tables}\end{{document}}"
    (tmp_path / "a.tex").write_text(document)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
    )
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said[-3000:]
    lines = (tmp_path / "a.log").read_text(errors="replace").splitlines()
    assert not [line for line in lines if line.startswith(r"Overfull \hbox") and "alignment" not in line]
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF-")


def test_the_figure_is_an_image_with_a_line_and_a_band_per_arm(comparison):
    root = ElementTree.fromstring(svg_figure(comparison))
    paths = [one.get("class") for one in root.iter("{http://www.w3.org/2000/svg}path")]
    assert sorted(kind for kind in paths if kind) == sorted(
        f"{kind} c-arm{n}" for kind in ("line", "band") for n in range(3)
    )


def test_the_figure_in_pdf_is_the_same_every_time(comparison):
    pytest.importorskip("matplotlib")
    first = pdf_figure(comparison)
    assert first.startswith(b"%PDF-")
    assert first == pdf_figure(comparison)


def test_without_evaluations_the_page_is_honest_and_there_is_no_figure(tmp_path):
    write_sweep(tmp_path, {"grpo": 0.4, "erpo": 0.5}, seeds=2)
    for path in tmp_path.rglob("metrics.jsonl"):
        path.write_text(path.read_text().replace("eval/", "other/"))
    comparison = compare([tmp_path])
    page = html_page(comparison)
    assert "nothing can be said about accuracy" in page
    headings = [one for one in re.findall(r"<h2>(.*?)</h2>", page) if one != "Contents"]
    assert headings[:2] == ["What each arm writes", "What differs in the settings"]
    assert "No run has a value of eval/accuracy" in terminal_text(comparison)
    with pytest.raises(UserError, match="so there is no curve to draw"):
        svg_figure(comparison)
    assert csv_text(comparison).count("\n") == 1


def test_many_arms_are_drawn_in_part_and_compared_in_full(tmp_path):
    write_sweep(tmp_path, {f"recipe{n:02}": 0.4 for n in range(14)}, seeds=2)
    comparison = compare([tmp_path])
    page = html_page(comparison)
    assert "The first 12 of 14 arms are drawn." in page
    assert "(dashed)" in page
    assert len(comparison.equal["rollouts"].rows) == 14
    assert svg_figure(comparison).count("font-weight: 600") == 12


# -- samples ----------------------------------------------------------------------------------------------------------


def test_arms_write_to_the_same_prompts_at_the_last_evaluation(tmp_path):
    write_arm_run(tmp_path / "a", completion="aaa")
    write_arm_run(tmp_path / "b", recipe="erpo", completion="bbb")
    page = html_page(compare([tmp_path]))
    group = page.split(f"<h3>{PROMPTS[0]}</h3>")[1].split("</div>")[0]
    found = re.findall(r"<summary><bdi>(.*?)</bdi></summary>", group)
    assert found == [
        "grpo, sampled, right, 5 tokens: aaa",
        "grpo, greedy, right, 5 tokens: aaa",
        "erpo, sampled, right, 5 tokens: bbb",
        "erpo, greedy, right, 5 tokens: bbb",
    ]
    assert "seed 0, step 20" in group


def test_without_held_out_samples_the_last_rollouts_are_shown(tmp_path):
    directory = write_arm_run(tmp_path / "a")
    lines = [
        {"step": step, "split": "train", "role": role, "completion": f"{role}{step}", "prompt": "p"}
        for step in (19, 20, 21)
        for role in ("solver", "proposer")
    ]
    write_lines(directory / "samples.jsonl", lines)
    page = html_page(compare([tmp_path]))
    assert "Rollouts of grpo" in page
    assert "solver20" in page
    assert not any(text in page for text in ("solver19", "solver21", "proposer"))


def test_runs_without_samples_have_a_page(tmp_path):
    directory = write_arm_run(tmp_path / "a")
    (directory / "samples.jsonl").unlink()
    page = html_page(compare([tmp_path]))
    assert "What each arm writes" not in page


# -- hostile text -----------------------------------------------------------------------------------------------------


def test_hostile_text_stays_text_in_html(hostile):
    page = html_page(hostile)
    elements = Elements(page)
    assert elements.names.count("script") == 1
    assert "img" not in elements.names
    assert elements.running == []
    assert any("<script>document.title='owned'" in text for text in elements.texts)
    assert not set("\u202e\x1b\x00") & set(page)
    assert len(page) < 1_500_000


def test_hostile_text_stays_text_in_markdown(hostile):
    text = markdown_text(hostile)
    assert not re.search(r"(?<!\\)[<`$]", re.sub(r"^\|---.*$", "", text, flags=re.M))
    assert not set("\u202e\x1b\x00") & set(text)
    for table in re.findall(r"(?:^\|.*\|\n)+", text, re.M):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_hostile_text_is_no_formula_in_csv(hostile):
    for text in (csv_text(hostile), curves_csv(hostile)):
        cells = [cell for line in csv.reader(io.StringIO(text)) for cell in line]
        assert "'=cmd|' /C calc'!A0" in cells
        for cell in cells:
            if cell[:1] in {"=", "+", "-", "@", "\t", "\r"}:
                float(cell)
        assert not set("\u202e\x1b\x00") & set(text)


def test_hostile_text_is_no_command_in_latex(hostile):
    text = latex_text(hostile)
    assert r"\input" not in text
    assert r"\textbackslash{}input\{/etc/passwd\}" in text
    known = {"textbackslash", "textless", "textgreater", "textbar", "textasciicircum", "textasciigrave", "textquotedbl",
             "textquotesingle", "textendash", "begin", "end", "centering", "footnotesize", "caption", "toprule",
             "midrule", "bottomrule", "pm", "ldots", "usepackage", "setlength", "tabcolsep", "sbox", "usebox", "ifdim",
             "wd", "linewidth", "resizebox", "else", "fi"}  # fmt: skip
    assert set(re.findall(r"\\([a-zA-Z]+)", text)) <= known
    assert not set("\u202e\x1b\x00") & set(text)


def test_hostile_text_stays_text_in_a_figure(hostile):
    root = ElementTree.fromstring(svg_figure(hostile))
    assert {one.tag.split("}")[1] for one in root.iter()} <= {"svg", "style", "rect", "text", "title", "desc", "path",
                                                              "line", "g", "circle"}  # fmt: skip
    pytest.importorskip("matplotlib")
    assert pdf_figure(hostile).startswith(b"%PDF-")


def test_hostile_text_sends_no_codes_to_the_terminal(hostile):
    assert not set("\u202e\x1b\x00") & set(terminal_text(hostile))


# -- writing ----------------------------------------------------------------------------------------------------------


def test_every_format_is_written_by_its_ending(comparison, tmp_path):
    pytest.importorskip("matplotlib")
    paths = [tmp_path / "new" / f"comparison{ending.upper() if ending == '.md' else ending}" for ending in FORMATS]
    check_files(paths)
    write_files(comparison, paths)
    assert [path.read_bytes()[:9] for path in paths] == [
        b"<!DOCTYPE", b"# erpo an", b"line,meas", b"% Needs \\", b"<svg xmln", paths[-1].read_bytes()[:9],
    ]  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(path.name for path in paths)


def test_lone_surrogates_are_written(tmp_path):
    write_arm_run(tmp_path / "a", completion="x")
    lines = (tmp_path / "a" / "samples.jsonl").read_text().replace('"x"', json.dumps("\ud800"))
    (tmp_path / "a" / "samples.jsonl").write_text(lines)
    write_files(compare([tmp_path]), [tmp_path / "a.html"])
    assert "\ufffd" in (tmp_path / "a.html").read_text()


def test_files_that_cannot_be_written_are_refused_first(tmp_path):
    with pytest.raises(UserError, match=r"--out a\.xlsx: the ending says the format; choose one of \.html, \.md"):
        check_files([tmp_path.relative_to(tmp_path) / "a.xlsx"])
    (tmp_path / "b.html").mkdir()
    with pytest.raises(UserError, match="is a directory; give a file in it"):
        check_files([tmp_path / "b.html"])
