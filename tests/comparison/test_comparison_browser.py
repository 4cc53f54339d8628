"""The page of a comparison in a real browser."""

import json
import os
import re
import shutil
import subprocess

import pytest

from rekindle.comparison.comparing import compare
from rekindle.comparison.writing import write_files
from synthetic_arms import write_arm_run, write_sweep

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs the chromium browser, which is not installed")

ATTACK = "</dd></dl></details><script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">"


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


@pytest.fixture
def page(tmp_path):
    write_sweep(tmp_path / "sweep", {"grpo": 0.4, "recycle": 0.5}, noise=0.01)
    write_arm_run(tmp_path / "sweep" / "x", recipe=ATTACK[-60:], completion=ATTACK * 20)
    path = tmp_path / "comparison.html"
    write_files(compare([tmp_path / "sweep"]), [path])
    return path


def test_it_opens_without_complaints_and_requests_nothing(page, tmp_path):
    home = tmp_path / "home"
    result = browse(page, home, f"--log-net-log={home}.json", "--dump-dom")
    assert "CONSOLE" not in result.stderr
    assert "<title>owned" not in result.stdout
    assert "16 of 16 samples" not in result.stdout
    assert re.search(r"\d+ of \d+ samples", result.stdout)
    # A file's origin is opaque; Chromium's own requests have none.
    assert home.with_suffix(".json").read_text().count('"initiator":"null"') == 0


MEASURING = """
const wide = [...document.querySelectorAll("body *")].filter((one) => !one.closest(".scroll, svg, .list")
  && one.getBoundingClientRect().right > innerWidth + 0.5);
const link = document.querySelector("a[download='comparison.csv']");
const text = decodeURIComponent(link.href.slice(link.href.indexOf(",") + 1));
const search = document.querySelector(".filters input");
search.value = "rebme"; search.dispatchEvent(new Event("input", {bubbles: true}));
const found = document.querySelectorAll("details.sample:not([hidden])").length;
const keyed = [...document.querySelectorAll("a, summary, input, select, button")].every((one) => one.tabIndex === 0);
parent.document.title = JSON.stringify([innerWidth, document.documentElement.scrollWidth, wide.length, found,
  text.split("\\n")[0].split(",").length, keyed]);
"""


@pytest.mark.parametrize("width", [360, pytest.param(1440, marks=pytest.mark.slow)])
def test_nothing_is_cut_and_downloads_and_search_work(page, tmp_path, width):
    """The page with another script in it, without the policy that would forbid it, in a frame of this width."""
    text = re.sub(r"<meta http-equiv[^>]*>", "", page.read_text())
    page.write_text(text.replace("</body>", f"<script>{MEASURING}</script></body>"))
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<!DOCTYPE html><iframe src="comparison.html" style="border:0;width:{width}px;height:900px"></iframe>'
    )
    what = ["--allow-file-access-from-files", "--window-size=1600,1000", "--virtual-time-budget=3000", "--dump-dom"]
    result = browse(frame, tmp_path / "home", *what)
    log = json.loads(re.findall(r"<title>(.*?)</title>", result.stdout)[0])
    assert log == [width, width, 0, 12, 21, True]


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_it_is_drawn(page, tmp_path, dark):
    picture = tmp_path / "page.png"
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    browse(page, tmp_path / "home", f"--screenshot={picture}", "--window-size=1440,2400", *scheme)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 30_000
