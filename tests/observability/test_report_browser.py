"""The report in a real browser."""

import os
import shutil
import subprocess

import pytest
from synthetic_run import write_run
from synthetic_self_play import write_self_play

from rekindle.observability.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs the chromium browser, which is not installed")


def browse(page, home, *what):
    """Run headless Chromium on a file, cut off from every host name; its output and what it logged."""
    arguments = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--hide-scrollbars", "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr",
        f"--user-data-dir={home}", *what, page.as_uri(),
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


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(1200, 2000), (500, 3000)])
def test_it_is_drawn(run, tmp_path, width, height):
    picture = tmp_path / "page.png"
    browse(write_report(run), tmp_path / "home", f"--screenshot={picture}", f"--window-size={width},{height}")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 30_000
