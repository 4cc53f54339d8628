"""The report as a document: complete, sound, escaped, and small, for every kind of run."""

import base64
import csv
import hashlib
import json
import re
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from synthetic_run import write_run

from rekindle.notices import Notice
from rekindle.observability.page import document
from rekindle.observability.report import render_report, write_report
from rekindle.observability.runs import RunError, load_run
from rekindle.observability.summary import Summary
from rekindle.observability.svg import line_chart
from rekindle.observability.warnings_log import WarningsLog

VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """Fails on tags that do not nest; collects tags, attributes, headings and text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.texts = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in {"style", "script"}:
            self.texts.append(data)

    @property
    def text(self):
        return "\n".join(self.texts)


def report(directory):
    """The page, without the labels that narrow screens show in tables, and parsed as it is."""
    text = write_report(directory).read_text(encoding="utf-8")
    return re.sub(r' data-label="[^"]*"', "", text), Page(text)


def test_a_whole_run(tmp_path):
    write_run(tmp_path, steps=60, pool=400)
    (tmp_path / "null_control.json").write_text('{"recycled_share": 0.74, "frozen_share": 0.57}')
    text, page = report(tmp_path)
    for heading in (
        "recycle on spell_backward", "Accuracy on held-out prompts", "Outcomes of the groups",
        "Recycling and its null control", "The fate of every rollout", "Pool and batch", "Cost", "Training curves",
        "Flips: prompts by their visits", "Prompts", "Cost saved against plain GRPO",
        "The command that repeats the run", "Settings",
    ):  # fmt: skip
        assert heading in page.texts
    assert "Every rollout has a fate: ledger and step log both count 7,680." in page.texts
    assert "alarm" not in [value for _, name, value in page.attributes if name == "class"]
    assert {"74%", "57%", "always solved", "spell_backward/0", "0afaf8b", "torch", "rekindle train run.toml"} <= set(
        page.texts
    )
    assert "Mean temperature" not in page.texts  # it never changes, so there is nothing to see
    assert text.count("<svg class=") == text.count('role="img"') > 15


def changed(directory, change):
    """Rewrite the step log with ``change(row)`` made to every row."""
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        change(row)
    (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def tile(page, name):
    """Value and remark of a tile of the head."""
    place = page.texts.index(name)
    return page.texts[place + 1 : place + 3]


def test_tiles_show_where_the_curves_end_and_say_what_a_mean_is(tmp_path):
    write_run(tmp_path, steps=40)
    values = dict(zip(range(0, 41, 10), (0.2, 0.5, 0.6, 0.7, 0.36), strict=True))

    def set_values(row):
        if row["step"] in values:
            row.update({"eval/accuracy": values[row["step"]], "eval/greedy": values[row["step"]]})
        row["version"] = min(row["step"], 31)

    changed(tmp_path, set_values)
    _, page = report(tmp_path)
    assert tile(page, "Held-out accuracy") == ["0.36", "from 0.20; mean of the last 2: 0.53"]
    assert tile(page, "Updates") == ["31", "in 40 steps"]
    assert tile(page, "Recycled, of these")[1].endswith("groups, whole run")
    assert "Wilson's 95% interval for 256 prompts" in page.text


def test_the_band_is_that_of_the_real_prompts_and_never_without_width(tmp_path, monkeypatch):
    write_run(tmp_path, steps=20)
    (tmp_path / "run.json").write_text('{"held_out": 51}')
    changed(tmp_path, lambda row: row.update({"eval/accuracy": row["step"] // 20} if "eval/accuracy" in row else {}))
    bands = []

    def noted(series, **options):
        bands.extend(line.band for line in series if line.band)
        return line_chart(series, **options)

    monkeypatch.setattr("rekindle.observability.charts.line_chart", noted)
    _, page = report(tmp_path)
    assert "interval for 51 prompts" in page.text
    low, high = bands[0]
    edge = 1.959964**2 / (51 + 1.959964**2)  # of 51 prompts none is right, and then all
    assert low == pytest.approx([0, 0, 1 - edge])
    assert high == pytest.approx([edge, edge, 1])


def test_both_accounts_of_the_compute_are_in_the_totals(tmp_path):
    text, _ = report(write_run(tmp_path, steps=20))
    assert "compute: 2P a token read or sampled, 6P a token in an update" in text
    assert "compute by the sGPO paper: 12P a token of a rollout" in text
    changed(tmp_path, lambda row: row.pop("total_flops_sgpo"))  # a run of an earlier version
    assert "compute by the sGPO paper" not in report(tmp_path)[0]


def test_prompts_that_were_never_solved_come_with_the_likely_cause(tmp_path):
    _, page = report(write_run(tmp_path, steps=20))
    assert "does not read the format of their answers: look first at what the policy writes" in page.text


def test_a_search_agent(tmp_path):
    text, page = report(write_run(tmp_path, steps=60, pool=400, hops=4))
    figures = {"Sampled accuracy", "Greedy accuracy", "Groups without signal", "Turns and queries of a rollout"}
    assert {"By level", "Searching", "Per rollout", "level 1", "level 4"} | figures <= set(page.texts)
    assert text.count("<svg class=") == text.count('role="img"')
    for name, number in {
        "turns": "2",
        "queries answered": "1",
        "answers that were forced": "0.125",
        "tool tokens": "30",
    }.items():
        assert f"<tr><td>{name}</td>" + 3 * f'<td class="right">{number}</td>' + "</tr>" in text
    assert '<tr><td>tool tokens</td><td class="right">230,400</td></tr>' in text  # 60 steps of 32 groups of 4
    assert "retrieve" in page.text


def test_other_runs_say_nothing_of_levels_and_searching(tmp_path):
    _, page = report(write_run(tmp_path, steps=20))
    assert not {"By level", "Searching", "tool tokens"} & set(page.texts)
    assert "retrieve" not in page.text


def test_a_short_search_run_has_no_quarters(tmp_path):
    _, page = report(write_run(tmp_path, steps=3, hops=2))
    assert "whole run" in page.texts
    assert "first quarter" not in page.texts


def test_points_of_a_level_are_shares_of_all_their_groups(tmp_path):
    """Thirty-one steps make points of two steps: 1 of 1 and 1 of 3 groups without signal are 2 of 4, not 2 / 3."""
    write_run(tmp_path, steps=31)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    for row in rows[1:]:
        groups = 1 if row["step"] % 2 else 3
        row.update({"level_1/groups": groups, "level_1/zero_variance": 1 / groups})
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text, page = report(tmp_path)
    assert "level 1 50% at the start, 100% at the end" in text
    assert any(words.endswith("Each point is the mean of 2 steps.") for words in page.texts)


def test_nothing_is_loaded(tmp_path):
    text, page = report(write_run(tmp_path, steps=20))
    assert not {"link", "img", "iframe", "object", "embed", "form", "use", "image"} & set(page.tags)
    assert_only_our_script(text, page)
    assert not re.search(r"url\(|@import|https?:", text)


def test_a_short_page_has_no_script():
    text = document("A plan", "<p>Short.</p>")
    assert "script" not in text
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:\"" in text


def test_contents_lead_to_every_section(tmp_path):
    text, page = report(write_run(tmp_path, steps=20, hops=3))
    names = re.findall(r'<section id="([^"]*)"><details class="fold" open><summary><h2>', text)
    assert len(names) == len(set(names)) == text.count("<h2>") - 1 > 10  # the contents have a heading too
    links = [value for tag, name, value in page.attributes if (tag, name) == ("a", "href") and value.startswith("#")]
    assert links == ["#content", *(f"#{name}" for name in [*names, *names])]


def saved_csv(page):
    """Name of the file -> rows of the numbers that the page saves."""
    names = [value for tag, name, value in page.attributes if (tag, name) == ("a", "download")]
    texts = [unquote(value.partition(",")[2]) for tag, name, value in page.attributes
             if (tag, name) == ("a", "href") and value.startswith("data:")]  # fmt: skip
    return dict(zip(names, ([*csv.reader(text.splitlines())] for text in texts), strict=True))


def test_the_numbers_of_every_curve_are_in_the_page(tmp_path):
    write_run(tmp_path, steps=20, every=10)
    _, page = report(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    saved = saved_csv(page)
    entropy = saved["entropy-nats-per-token.csv"]
    assert entropy[0] == ["step", "entropy"]
    assert [float(value) for _, value in entropy[1:]] == pytest.approx([row["entropy"] for row in rows[1:]], rel=1e-5)
    accuracy = saved["by-generated-tokens.csv"]
    assert accuracy[0] == ["generated tokens", "greedy", "sampled", "sampled, lower limit", "sampled, upper limit"]
    assert [float(row[2]) for row in accuracy[1:]] == pytest.approx([row["eval/accuracy"] for row in rows[::10]])
    fates = saved["rollouts-of-every-step.csv"]
    assert fates[0] == ["step", "trained", "recycled", "retired", "excess", "expired", "failed"]
    assert [sum(map(int, row[1:])) for row in fates[1:]] == [row["rollouts"] for row in rows[1:]]
    ledger = load_run(tmp_path).ledger
    for place, name in enumerate(fates[0][1:], start=1):
        assert sum(int(row[place]) for row in fates[1:]) == sum(row["n"] for row in ledger if row["fate"] == name)


def test_tasks_are_read_once(tmp_path, monkeypatch):
    opened, usual = [], Path.open
    write_run(tmp_path, steps=20)
    (tmp_path / "tasks.jsonl").write_text('{"set": "pool", "id": "task-1", "prompt": "x", "text": "first words"}\n')
    monkeypatch.setattr(
        Path, "open", lambda path, *how, **named: opened.append(path.name) or usual(path, *how, **named)
    )
    render_report(Summary(load_run(tmp_path)))
    assert opened.count("tasks.jsonl") == 1


def test_constant_curves_are_named_with_their_value(tmp_path):
    _, page = report(write_run(tmp_path, steps=20))
    assert "Constant over the run: learning rate 0.0005, loss 0, mean temperature 1." in page.texts


def test_prompts_have_their_text_and_below_it_their_id(tmp_path):
    write_run(tmp_path, steps=20, pool=64)
    line = {"set": "pool", "id": "spell_backward/0", "prompt": "0", "answer": "1", "text": ATTACK + "\nSpell \u05d0"}
    (tmp_path / "tasks.jsonl").write_text(json.dumps(line) + "\nnot json\n[]\n")
    text, page = report(tmp_path)
    assert_only_our_script(text, page)
    shown = "</dd></dl><script>document.title = 'owned'</script>\ufffd Spell \u05d0"
    assert f'<td><span dir="auto">{escape(shown)}</span><small dir="auto">spell_backward/0</small></td>' in text
    assert "<td>spell_backward/1</td>" in text  # nothing is known of it


def test_a_run_of_a_version_without_texts_has_those_of_its_samples(tmp_path):
    write_run(tmp_path, steps=20, pool=64)
    (tmp_path / "samples.jsonl").write_text(sample(3, "train", "a", task_id="spell_backward/0", prompt="Spell pot:"))
    text, _ = report(tmp_path)
    assert '<span dir="auto">Spell pot:</span><small dir="auto">spell_backward/0</small>' in text


@pytest.mark.parametrize(
    ("info", "commands"),
    [
        ({"command": ["train", "a b.toml", "--out", "x"]},
         ["rekindle train 'RUN/config.toml' --out 'RUN-again'", "rekindle train 'a b.toml' --out x"]),
        ({"command": ["script.py"], "given": ["reward"]}, ["python script.py"]),
        ({"command": ["script.py"], "trainer": "trl 1.16.0"}, ["python script.py"]),
        ({"command": ["/a/default_worker.py", "--x"], "trainer": "verl 0.9.1"}, []),
        ({"command": "train"}, ["rekindle train 'RUN/config.toml' --out 'RUN-again'"]),
        ({}, ["rekindle train 'RUN/config.toml' --out 'RUN-again'"]),
    ],
)  # fmt: skip
def test_the_command_that_repeats_the_run(tmp_path, info, commands):
    run = write_run(tmp_path / "a run", steps=2)
    (run / "run.json").write_text(json.dumps(info))
    text, _ = report(run)
    found = [unescape(one) for one in re.findall(r'<pre class="command"><code>(.*?)</code></pre>', text)]
    assert found == [one.replace("RUN", str(run)) for one in commands]


def test_text_of_models_and_tasks_is_escaped(tmp_path):
    attack = "<script>alert(1)</script>\"'&"
    write_run(tmp_path, steps=12, first_task=attack, pool=64)
    config = (tmp_path / "config.toml").read_text()
    quoted = attack.replace('"', '\\"')
    config = config.replace('"recycle"', f'"{quoted}"').replace('"spell_backward"', f'"{quoted}"')
    (tmp_path / "config.toml").write_text(config + f"# {attack}\n")
    (tmp_path / "run.json").write_text(json.dumps({"host": attack, attack: {attack: attack}}))
    text, page = report(tmp_path)
    assert_only_our_script(text, page)
    assert page.texts.count(attack) >= 3  # the host, and the task in two tables
    assert f"{attack} on {attack}" in page.texts  # the heading
    assert any(attack in data and "[train]" in data for data in page.texts)  # the configuration


def assert_only_our_script(text, page):
    """The page has one script, the one that the policy names by its hash, and nothing in the page can run besides."""
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    assert text.lower().count("<script") == 1
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [
        value for tag, name, value in page.attributes if tag == "meta" and name == "content" and "src" in value
    ]
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function|fetch|XMLHttp|import", script
    )
    assert not [name for _, name, _ in page.attributes if name.startswith("on") or name in {"src", "style"}]
    links = {value for _, name, value in page.attributes if name in {"href", "xlink:href"}}
    assert not [link for link in links if not link.startswith(("#", "data:text/csv;charset=utf-8,"))]


ATTACK = "</dd></dl><script>document.title = 'owned'</script>\u202e"


def sample(step, split, completion, **others):
    line = {
        "step": step, "version": step, "split": split, "role": "solver", "task_id": "a/1", "temperature": 1.0,
        "reward": 0.0, "truncated": True, "generated_tokens": 1500, "prompt": f"Ask {step}", "completion": completion,
    }  # fmt: skip
    return json.dumps({**line, **others}) + "\n"


def test_what_the_policy_writes_at_both_ends_of_the_run(tmp_path):
    write_run(tmp_path, steps=12)
    lines = [sample(step, split, f"{split} {step}") for step in range(13) for split in ("train", "held_out")]
    lines.insert(0, sample(0, "held_out", ATTACK, temperature=0.0, reward=None, task_id=ATTACK))
    lines += [sample(12, "train", "x" * 5000, role="proposer", outcome="all_wrong", fate="retired")]
    lines += [sample(13, "train", "of a step that the metrics do not have yet")]
    (tmp_path / "samples.jsonl").write_text("".join(lines))
    text, page = report(tmp_path)
    assert_only_our_script(text, page)
    assert "\u202e" not in text
    assert "What the policy writes" in page.texts
    for heading in ("Held-out prompts, step 0", "Held-out prompts, step 12", "Rollouts of training, step 12"):
        assert heading in page.texts
    assert {"held_out 0", "held_out 12", "train 12", "Ask 12"} <= set(page.texts)
    assert "of a step that the metrics do not have yet" not in page.texts
    assert any(name.startswith("reward unknown, greedy, 1,500 tokens, truncated: </dd></dl>") for name in page.texts)
    assert "reward 0, temperature 1, 1,500 tokens, truncated: train 12" in page.texts
    assert {"held_out 2", "held_out 8"} <= set(page.texts)  # of the first three and the last five steps
    assert any(name.startswith("proposer, reward 0, temperature 1, 1,500 tokens, truncated, all wrong, retired: xxx")
               for name in page.texts)  # fmt: skip
    assert "x" * 5000 in page.texts  # long completions are there to be read


def test_samples_can_be_filtered_by_what_they_differ_in(tmp_path):
    write_run(tmp_path, steps=12)
    lines = [sample(1, "train", "a", reward=1.0, truncated=False, outcome="mixed"),
             sample(1, "train", "b", outcome="mixed", role="proposer"),
             sample(2, "train", "c", reward=None, fate="failed", outcome=None),
             sample(12, "held_out", "d")]  # fmt: skip
    (tmp_path / "samples.jsonl").write_text("".join(lines))
    text, page = report(tmp_path)
    names = [value for tag, name, value in page.attributes if tag == "select" and name == "name"]
    assert names == ["show", "kind", "role", "outcome", "reward", "step", "truncated"]
    values = [value for tag, name, value in page.attributes if tag == "option" and name == "value" and value]
    assert values == ["first", "last", "best", "worst", "truncated", "training", "held-out",
                      "solver", "proposer", "mixed", "failed", "right", "wrong", "no verdict",
                      "1", "2", "12", "no", "yes"]  # fmt: skip
    assert ('<details class="sample" data-show="first|last|best|worst|truncated" data-kind="training" '
            'data-role="proposer" data-level="" data-outcome="mixed" data-reward="wrong" data-step="1" '
            'data-truncated="yes">') in text  # fmt: skip
    (tmp_path / "samples.jsonl").write_text(sample(1, "train", "a") + sample(1, "train", "b"))
    _, page = report(tmp_path)
    names = [value for tag, name, value in page.attributes if tag == "select" and name == "name"]
    assert names == ["show"]  # they differ in nothing else; the search is there
    assert "input" in page.tags


def test_what_counts_as_right_in_the_filters_is_the_tasks_threshold(tmp_path):
    write_run(tmp_path, steps=2)
    config = (tmp_path / "config.toml").read_text()
    (tmp_path / "config.toml").write_text(config.replace("[task]", "[task]\nsuccess_threshold = 0.9"))
    (tmp_path / "samples.jsonl").write_text(sample(1, "train", "a", reward=0.8) + sample(1, "train", "b", reward=0.95))
    text, _ = report(tmp_path)
    assert re.findall(r'<details [^>]* data-reward="(\w+)"', text) == ["wrong", "right"]


def test_rewards_by_name_audits_and_the_answer_are_shown_where_there_are_some(tmp_path):
    write_run(tmp_path, steps=2)
    lines = [
        sample(1, "train", "a", rewards={"format": 0.123456, ATTACK: None}, audits={"strict": 0.0}, answer="<b>42</b>"),
        sample(2, "train", "b", answer=["Paris", "Lutetia"], rewards={}),
    ]
    (tmp_path / "samples.jsonl").write_text("".join(lines))
    text, page = report(tmp_path)
    assert_only_our_script(text, page)
    assert f"format 0.123, {ATTACK[:-1]}\ufffd does not apply" in page.texts
    assert {"strict 0", "<b>42</b>", "Paris | Lutetia", "rewards", "audits"} <= set(page.texts)
    assert page.texts.count("rewards") == 1


HOSTILE_LINES = [
    {field: value} for field in ("task_id", "prompt", "completion", "role", "outcome", "fate", "failure", "answer",
                                 "split", "reward", "temperature", "generated_tokens", "truncated", "turns")
    for value in ('"><script>alert(1)</script><img src=x onerror=a()>\x1b\u202e\ud800', ["<b>"], {"<b>": "<b>"}, None)
]  # fmt: skip


def test_any_field_may_be_hostile_or_of_another_type(tmp_path):
    write_run(tmp_path, steps=12)
    lines = [json.loads(sample(1 + place % 8, "train", "a")) | line for place, line in enumerate(HOSTILE_LINES)]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    text, page = report(tmp_path)
    assert_only_our_script(text, page)
    assert not {"img", "b"} & set(page.tags)
    assert not re.search("[\x1b\u202e]", text)


def test_a_run_without_samples_has_no_such_section(tmp_path):
    _, page = report(write_run(tmp_path, steps=3))
    assert "What the policy writes" not in page.texts


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_short_runs(tmp_path, steps):
    _, page = report(write_run(tmp_path, steps=steps, planned=10))
    assert ("It has not made an update yet." in page.text) == (steps == 0)
    assert ("Outcomes of the groups" in page.texts) == (steps > 0)


def test_a_run_that_has_only_its_configuration(tmp_path):
    (tmp_path / "config.toml").write_text("")
    _, page = report(tmp_path)
    assert "unnamed recipe on an unnamed task" in page.texts
    assert "No evaluation on held-out prompts has been made." in page.text


def test_no_evaluations_and_unknown_numbers(tmp_path):
    write_run(tmp_path, steps=15)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        for key in ("eval/accuracy", "eval/greedy", "grad_norm"):
            row[key] = None
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, page = report(tmp_path)
    assert "No evaluation on held-out prompts has been made." in page.text
    assert not {"Accuracy on held-out prompts", "Gradient norm"} & set(page.texts)


def test_an_interrupted_run_balances_although_its_last_line_is_torn(tmp_path):
    write_run(tmp_path, steps=20, planned=50)
    log = tmp_path / "metrics.jsonl"
    log.write_bytes(log.read_bytes()[:-40])
    _, page = report(tmp_path)
    assert "It has so far made 19 updates in 19 of 50 steps from 2,432 rollouts" in page.text
    assert "Every rollout has a fate: ledger and step log both count 2,432." in page.texts


def test_a_ledger_that_disagrees_is_red(tmp_path):
    write_run(tmp_path, steps=5)
    text = (tmp_path / "metrics.jsonl").read_text()
    (tmp_path / "metrics.jsonl").write_text(text.replace('"total_rollouts": 640', '"total_rollouts": 650'))
    text, _ = report(tmp_path)
    assert text.count('<p class="alarm">Ledger and step log disagree') == 2


@pytest.mark.slow
def test_ten_thousand_steps_stay_small(tmp_path):
    _, page = report(write_run(tmp_path, steps=10_000, pool=2000, batch=2, every=20))
    assert (tmp_path / "report.html").stat().st_size < 2_000_000
    assert "It made 10,000 updates" in page.text
    assert "Each column is the mean of 100 steps." in page.text


def test_warnings_are_listed_with_their_counts(tmp_path):
    run = write_run(tmp_path / "run", steps=3)
    assert "Warnings" not in write_report(run).read_text()
    with WarningsLog(run / "warnings.jsonl") as log:
        log.end_step(1)
        for count in range(5):
            log.add(Notice("the <b>pool</b> is starving"), shown=count == 0)
        for number in range(30):
            log.add(Notice(f"odd {number}", "transformers"), shown=True)
    text, _ = report(run)
    assert "<td>the &lt;b&gt;pool&lt;/b&gt; is starving</td>" in text
    assert '<td class="right">rekindle</td><td class="right">5</td><td class="right">2</td>' in text
    assert "11 others are in warnings.jsonl." in text


def test_writing_again_replaces_the_report_whole(tmp_path):
    write_run(tmp_path, steps=2)
    (tmp_path / "report.html").write_text("old")
    assert write_report(tmp_path) == tmp_path / "report.html"
    assert (tmp_path / "report.html").read_text() != "old"
    assert [path.name for path in tmp_path.iterdir() if "report" in path.name] == ["report.html"]


def test_no_run_no_report(tmp_path):
    with pytest.raises(RunError, match="is not a run"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_report_of_a_run_inside_another_trainer_is_beside_its_files(tmp_path):
    write_run(tmp_path / "rekindle", steps=2)
    assert write_report(tmp_path) == tmp_path / "rekindle" / "report.html"
