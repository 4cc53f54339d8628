"""The report in a real browser: nothing cut, asked for or logged; search, folding, downloads, keyboard."""

import json
import time
from itertools import pairwise

import pytest
from browser import CHROMIUM, opened
from synthetic_run import write_run
from synthetic_self_play import write_self_play

from rekindle.observability.report import write_report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs the chromium browser, which is not installed")

ATTACK = "</dd></dl></details><script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">"
LONG = "unbreakable" * 300
TITLE = "recycle on spell_backward"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report with hostile samples of three steps, hostile prompts, and names without a place to break."""
    run = write_run(tmp_path_factory.mktemp("report") / "run", steps=30, pool=64, hops=4, first_task=LONG)
    lines = [
        {"step": step, "split": split, "role": "solver", "reward": float(place % 2), "truncated": place == 3,
         "outcome": "mixed", "prompt": f"Ask {place}", "completion": f"word{place} {ATTACK} {LONG}", "task_id": ATTACK}
        for step in (0, 15, 30)
        for split in ("held_out", "train")
        for place in range(4)
    ]  # fmt: skip
    (run / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    tasks = [{"set": "pool", "id": f"spell_backward/{row}", "text": f"{ATTACK} {LONG}"[:300]} for row in range(64)]
    (run / "tasks.jsonl").write_text("".join(json.dumps(task) + "\n" for task in tasks))
    return write_report(run)


@pytest.fixture(autouse=True)
def nothing_is_logged_or_asked_for(browser):
    browser.console.clear()
    browser.requests.clear()
    yield
    assert browser.console == []
    assert [address for address in browser.requests if not address.startswith(("data:", "file:"))] == []


def test_it_opens_without_complaints(browser, page):
    browser.show(page)
    assert browser.value("document.title") == TITLE
    assert browser.value("document.querySelectorAll('main img, main script').length") == 0
    assert ATTACK in browser.value("document.body.textContent")
    assert browser.requests == []


SIDEWAYS = """[...document.querySelectorAll("main *")].filter((one) => {
  const box = one.getBoundingClientRect();
  return box.width && !one.closest(".scroll, svg, pre, [hidden]") && (box.right > innerWidth + 0.5 || box.left < -0.5);
}).map((one) => one.outerHTML.slice(0, 90))"""


@pytest.mark.parametrize("width", [320, 360, 800, 1440])
def test_nothing_is_cut_and_the_page_does_not_scroll_sideways(browser, page, width):
    browser.show(page, width, 800)
    browser.value("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert browser.value("document.documentElement.scrollWidth") == width
    assert browser.value(SIDEWAYS) == []
    tables = "[...document.querySelectorAll('.scroll')].filter((one) => one.scrollWidth > one.clientWidth + 1)"
    assert browser.value(f"{tables}.map((one) => one.ariaLabel)") == []


def test_text_is_as_wide_as_its_column(browser, page):
    browser.show(page, 1440, 900)
    wide = "[...document.querySelectorAll('main > section > details > p')].map((one) => one.clientWidth)"
    assert set(browser.value(wide)) == {browser.value("document.querySelector('main').clientWidth")}


def test_the_first_screen_has_sentence_curve_and_numbers(browser, page):
    browser.show(page, 1440, 900)
    for what in (".lead", ".opening svg", ".tiles"):
        assert browser.value(f"document.querySelector('{what}').getBoundingClientRect().bottom") < 900


def test_light_and_dark_and_paper(browser, page):
    browser.show(page, dark=False)
    paper = "getComputedStyle(document.body).backgroundColor"
    light = browser.value(paper)
    browser.show(page, dark=True)
    assert browser.value(paper) != light
    browser.prefer(media="print")
    assert browser.value("getComputedStyle(document.querySelector('nav.side')).display") == "none"
    browser.prefer()


def test_folded_sections_are_on_paper_too(browser, page):
    browser.show(page)
    browser.value("document.querySelector('.fold-all').click()")
    folded = "document.querySelectorAll('details.fold:not([open])').length"
    assert browser.value(folded) > 5
    browser.value("dispatchEvent(new Event('beforeprint'))")
    assert browser.value(folded) == 0
    browser.value("dispatchEvent(new Event('afterprint'))")
    assert browser.value(folded) > 5


def test_a_link_of_the_contents_unfolds_its_section(browser, page):
    browser.show(page)
    browser.value("document.querySelector('.fold-all').click()")
    browser.value("document.querySelector('nav.side a[href=\"#prompts\"]').click()")
    until = time.monotonic() + 20
    while not browser.value("document.querySelector('#prompts details').open"):
        assert time.monotonic() < until
    assert browser.value("document.querySelectorAll('details.fold[open]').length") == 1


def shown(browser):
    """The attributes of the samples that are shown."""
    return browser.value(
        "[...document.querySelectorAll('details.sample:not([hidden])')].map((one) => ({...one.dataset}))"
    )


@pytest.mark.parametrize(
    ("fragment", "count"),
    [
        ("", 24),
        ("reward=right", 12),
        ("search=WORD3&step=15", 2),
        ("truncated=yes&kind=held-out", 3),
        ("show=truncated&kind=training", 3),
        ("search=ask+2+word2", 6),
        ("search=nothing+like+it", 0),
        ("reward=<img src=x>&other=1&step=7", 24),
        ("%E0%A4%A", 24),
    ],
)
def test_samples_are_searched_and_filtered(browser, page, fragment, count):
    browser.show(page, fragment=fragment)
    found = shown(browser)
    assert len(found) == count
    assert browser.value("document.querySelector('.filters output').textContent") == f"{count} of 24 samples"
    for name, value in (pair.split("=") for pair in fragment.split("&") if pair.count("=") == 1 and 0 < count < 24):
        assert name == "search" or all(value in one[name].split("|") for one in found)


def test_the_filters_work_with_the_keyboard(browser, page):
    browser.show(page)
    focused = "document.activeElement.name"
    browser.press("/", 191)
    assert browser.value(focused) == "search"
    for letter in "word3":
        browser.press(letter, ord(letter.upper()))
    assert len(shown(browser)) == 6
    browser.press("Tab", 9)
    assert browser.value(focused) == "show"
    browser.press("Escape", 27)
    assert len(shown(browser)) == 24
    assert browser.value("document.querySelector('.filters input').value") == ""
    browser.value("document.querySelector('details.sample summary').focus()")
    browser.press("Enter", 13)
    assert browser.value("document.querySelectorAll('details.sample[open]').length") == 1
    assert browser.value(
        "[...document.querySelectorAll('summary, a, button, input')].every((one) => one.tabIndex === 0)"
    )


def test_many_samples_come_in_parts(browser, tmp_path):
    run = write_run(tmp_path / "run", steps=30, pool=64)
    lines = [{"step": step // 2, "split": "train", "completion": f"c{step}", "reward": 0} for step in range(2, 62)]
    (run / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    browser.show(write_report(run))
    assert len(shown(browser)) == 40
    browser.value("document.querySelector('.more').click()")
    assert len(shown(browser)) > 40
    assert browser.value("document.querySelector('.more').hidden")


def test_numbers_are_saved_as_files(browser, page, tmp_path):
    browser.show(page)
    browser.downloads(tmp_path)
    browser.value("document.querySelector('a.download[download=\"by-generated-tokens.csv\"]').click()")
    saved, until = tmp_path / "by-generated-tokens.csv", time.monotonic() + 20
    while not saved.exists() or not saved.read_text():
        assert time.monotonic() < until
        time.sleep(0.05)
    lines = saved.read_text().splitlines()
    assert lines[0] == 'generated tokens,greedy,sampled,"sampled, lower limit","sampled, upper limit"'
    assert [line.split(",")[0] for line in lines[1:]] == ["0", "10240", "20480", "30720"]


def test_everything_has_a_name_for_assistive_technology(browser, page):
    browser.show(page)
    everything = "svg[role=img], nav, [role=region], [role=search], input, select, button, a"
    named = "one.getAttribute('aria-label') || one.querySelector('title')?.textContent"
    named += " || one.labels?.[0]?.textContent.trim() || one.textContent.trim()"
    nameless = f"[...document.querySelectorAll('{everything}')].filter((one) => !({named})).map((one) => one.outerHTML)"
    assert browser.value(nameless) == []
    levels = browser.value(
        "[...document.querySelectorAll('main h1, main h2, main h3, main h4')].map((one) => +one.tagName[1])"
    )
    assert levels[0] == 1
    assert all(later <= before + 1 for before, later in pairwise(levels[1:]))


def test_nobody_is_scrolled_about_who_does_not_want_it(browser, page):
    browser.show(page)
    behaviour = "getComputedStyle(document.documentElement).scrollBehavior"
    browser.prefer(**{"reduced-motion": "reduce"})
    assert browser.value(behaviour) == "auto"
    browser.prefer(**{"reduced-motion": "no-preference"})
    assert browser.value(behaviour) == "smooth"


def test_hostile_self_play_opens_without_errors(browser, tmp_path):
    browser.show(write_report(write_self_play(tmp_path / "run", steps=12, text=ATTACK, reasons=(ATTACK,))))
    assert "Sample of the proposals" in browser.value("document.body.textContent")
    assert browser.value("document.title").endswith("the embedded search world")
    assert browser.value("document.querySelectorAll('main img, main script').length") == 0


@pytest.mark.parametrize("steps", [0, 1])
def test_short_runs_open(browser, tmp_path, steps):
    browser.show(write_report(write_run(tmp_path / "run", steps=steps, planned=10)), 360, 740)
    assert browser.value("document.title") == TITLE
    assert browser.value("document.documentElement.scrollWidth") == 360


def test_the_content_security_policy_blocks_injected_content(browser, page, tmp_path):
    hostile = '<script>document.title = "owned"</script><img src="http://127.0.0.1:9/pixel.png">'
    hostile += '<a id="bad" href="javascript:document.title=1" onclick="document.title=2"></a></main>'
    changed = tmp_path / "changed.html"
    changed.write_text(page.read_text().replace("</main>", hostile))
    browser.show(changed)
    browser.value("document.querySelector('#bad').click()")
    assert browser.value("document.title") == TITLE
    assert (
        browser.value("document.querySelector('.filters output').textContent") == "24 of 24 samples"
    )  # ours still runs
    assert len([text for text in browser.console if "Content Security Policy" in text]) >= 2
    browser.console.clear()
    browser.requests.clear()


def test_what_is_asked_for_would_be_seen(browser, tmp_path):
    control = tmp_path / "control.html"
    control.write_text('<!DOCTYPE html><title>a</title><img src="http://127.0.0.1:9/pixel.png">')
    browser.show(control)
    assert "http://127.0.0.1:9/pixel.png" in browser.requests
    browser.console.clear()
    browser.requests.clear()
