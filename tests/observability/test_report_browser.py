"""The report in a real browser."""

import json
import os
import re
import shutil
import subprocess

import pytest
from synthetic_run import write_run
from synthetic_self_play import write_self_play

from rekindle.observability.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs the chromium browser, which is not installed")


def browse(page, home, *what, fragment=""):
    """Run headless Chromium on a file, cut off from every host name; its output and what it logged."""
    arguments = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--hide-scrollbars", "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr",
        f"--user-data-dir={home}", *what, f"{page.as_uri()}#{fragment}",
    ]  # fmt: skip
    environment = os.environ | {"HOME": str(home)}
    return subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=True, env=environment)


def requests(page, home):
    """How many requests the page itself made: a file's origin is opaque, Chromium's own requests have none."""
    browse(page, home, f"--log-net-log={home}.json", "--dump-dom")
    return home.with_suffix(".json").read_text().count('"initiator":"null"')


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", steps=30, pool=200, hops=4, first_task="<script>alert(1)</script>")


def test_it_opens_without_complaints(run, tmp_path):
    result = browse(write_report(run), tmp_path / "home", "--dump-dom")
    assert "<script" not in result.stdout
    assert "Outcomes of the groups" in result.stdout
    assert "Turns and queries of a rollout" in result.stdout
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in result.stdout
    assert "CONSOLE" not in result.stderr


@pytest.mark.slow
def test_hostile_self_play_opens_without_errors(tmp_path):
    attack = "</dd></dl><script>document.title = 'owned'</script><img src=x onerror=alert(1)>"
    page = write_report(write_self_play(tmp_path / "run", steps=12, text=attack, reasons=(attack,)))
    result = browse(page, tmp_path / "home", "--dump-dom")
    assert "<script" not in result.stdout
    assert "<title>owned" not in result.stdout
    assert "Sample of the proposals" in result.stdout
    assert "CONSOLE" not in result.stderr


def test_it_requests_nothing(run, tmp_path):
    control = tmp_path / "control.html"
    control.write_text('<!DOCTYPE html><title>a</title><img src="http://127.0.0.1:9/pixel.png">')
    assert requests(control, tmp_path / "control") > 0
    assert requests(write_report(run), tmp_path / "home") == 0


def test_the_content_security_policy_blocks_injected_content(run, tmp_path):
    page = write_report(run)
    hostile = '<script>document.title = "owned"</script><img src="http://127.0.0.1:9/pixel.png"></body>'
    page.write_text(page.read_text().replace("</body>", hostile))
    result = browse(page, tmp_path / "home", "--dump-dom")
    assert "<title>owned" not in result.stdout
    assert result.stderr.count("Content Security Policy") >= 2


ATTACK = "</dd></dl></details><script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">"


@pytest.fixture
def samples(run):
    """A report with samples of three steps, some of them hostile."""
    lines = [
        {"step": step, "split": split, "role": "solver", "reward": float(place % 2), "truncated": place == 3,
         "outcome": "mixed", "prompt": f"Ask {place}", "completion": f"word{place} {ATTACK}", "task_id": ATTACK}
        for step in (0, 15, 30)
        for split in ("held_out", "train")
        for place in range(4)
    ]  # fmt: skip
    (run / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return write_report(run)


def shown(page, home, fragment=""):
    """The attributes of the samples that a browser shows."""
    result = browse(page, home, "--dump-dom", fragment=fragment)
    assert "CONSOLE" not in result.stderr
    assert "<title>owned" not in result.stdout
    assert '<div class="filters" role="search" aria-label="Filter the samples">' in result.stdout
    found = re.findall(r'<details class="sample" ([^>]*)>', result.stdout)
    visible = [dict(re.findall(r'data-(\w+)="([^"]*)"', one)) for one in found if "hidden" not in one.split()[-1]]
    assert f"{len(visible)} of 24 samples" in result.stdout
    return visible


@pytest.mark.parametrize(
    ("fragment", "count"),
    [
        pytest.param("", 24, marks=pytest.mark.slow),
        pytest.param("reward=right", 12, marks=pytest.mark.slow),
        ("search=WORD3&step=15", 2),
        pytest.param("truncated=yes&kind=held-out", 3, marks=pytest.mark.slow),
        pytest.param("search=ask+2+word2", 6, marks=pytest.mark.slow),
        pytest.param("search=nothing+like+it", 0, marks=pytest.mark.slow),
        pytest.param("reward=<img src=x>&other=1&step=7", 24, marks=pytest.mark.slow),
    ],
)
def test_samples_are_searched_and_filtered(fragment, count, samples, tmp_path):
    found = shown(samples, tmp_path / "home", fragment)
    assert len(found) == count
    for name, value in re.findall(r"(reward|step|truncated|kind)=([\w-]+)", fragment if 0 < count < 24 else ""):
        assert {one[name] for one in found} == {value}


TYPING = """
const log = [], [search, ...rest] = document.querySelectorAll(".filters input, .filters select, .filters button");
const bubbling = {bubbles: true, cancelable: true};
const press = (key, target) => target.dispatchEvent(new KeyboardEvent("keydown", {key, ...bubbling}));
const type = (text, field) => { field.value = text; field.dispatchEvent(new Event("input", bubbling)); };
const count = () => document.querySelectorAll("details.sample:not([hidden])").length;
press("/", document.body); log.push(document.activeElement === search);
type("word3", search); log.push(count());
const groups = () => document.querySelectorAll(".samples:not([hidden])").length;
type("training", rest[0]); log.push(count(), groups());
const [open, clear] = document.querySelectorAll(".filters button");
const opened = () => document.querySelectorAll("[open]").length;
open.click(); log.push(opened()); open.click(); log.push(opened());
press("Escape", search); log.push(search.value, rest[0].value, count(), groups());
press("/", search); log.push(search.value);
type("word1", search); clear.click(); log.push(count());
log.push([search, ...rest, ...document.querySelectorAll("summary")].every((one) => one.tabIndex === 0));
document.title = JSON.stringify(log);
"""


def test_the_filters_work_with_the_keyboard(samples, tmp_path):
    """The page with another script in it, and without the policy that would forbid it."""
    text = re.sub(r"<meta http-equiv[^>]*>", "", samples.read_text())
    assert ATTACK not in text
    samples.write_text(text.replace("</body>", f"<script>{TYPING}</script></body>"))
    result = browse(samples, tmp_path / "home", "--dump-dom")
    log = json.loads(re.findall(r"<title>(.*?)</title>", result.stdout)[0])
    assert log == [True, 6, 3, 3, 3, 0, "", "", 24, 6, "", 24, True]


@pytest.mark.slow
def test_the_policy_lets_no_other_script_run(samples, tmp_path):
    hostile = '<script>document.title = "owned"</script><a href="javascript:document.title=1" onclick="x()"></a></body>'
    samples.write_text(samples.read_text().replace("</body>", hostile))
    result = browse(samples, tmp_path / "home", "--dump-dom")
    assert "<title>owned" not in result.stdout
    assert "Content Security Policy" in result.stderr
    assert "24 of 24 samples" in result.stdout  # ours still runs


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(1200, 2000), (500, 3000)])
def test_it_is_drawn(run, tmp_path, width, height):
    picture = tmp_path / "page.png"
    browse(write_report(run), tmp_path / "home", f"--screenshot={picture}", f"--window-size={width},{height}")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 30_000
