"""The claims: tables and verdicts worked by hand, configurations, disjoint tasks, and one made end to end."""

import json
import math
import signal
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from rekindle.config import Config
from rekindle.observability.runs import Run
from rekindle.preflight import task_set
from rekindle.recipes import resolve
from rekindle.types import UserError

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import arms  # noqa: E402
from claims import command, numbers, second_rule, values  # noqa: E402
from claims.claim import Arm, Claim, Finding, Setting, Value  # noqa: E402
from claims.combination import BASE, EVERY_ROW, LEAN, OUR_RATE  # noqa: E402
from claims.numbers import AXES  # noqa: E402
from claims.page import COLUMNS, NOT_MEASURED, block, curves  # noqa: E402

ALL = [(claim, name) for claim in command.CLAIMS.values() for name in claim.settings]
FULL_HOURS, FAST_HOURS = 24.0, 2 / 3
"""CPU hours: 12 hours on two cores, and 20 minutes."""


def settings_of(run):
    words = list(run.arguments)
    return words[0], words[2], [words[place + 1] for place, word in enumerate(words) if word == "--set"]


def resolved(run, *further) -> Config:
    file, recipe, sets = settings_of(run)
    return resolve(ROOT / file, recipe, [*sets, *further], run.seed)


def quiet(_):
    """Show nothing."""


# -- the claims as they are written -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("claim", "name"), ALL, ids=lambda one: getattr(one, "name", one))
def test_every_arm_is_a_configuration(claim, name):
    found = [
        resolved(claim.settings[name].run(name, arm, seed)) for arm in claim.settings[name].arms for seed in (0, 1)
    ]
    assert len({json.dumps(config.model_dump(mode="json"), sort_keys=True) for config in found}) == len(found)
    budgets = {(config.train.rollouts, config.train.tokens, config.eval.prompts) for config in found}
    assert len(budgets) == 1, "arms are compared at an equal budget"
    assert claim.name == "combination" or len({config.train.learning_rate for config in found}) == 1


@pytest.mark.parametrize(("claim", "name"), ALL, ids=lambda one: getattr(one, "name", one))
def test_every_setting_says_what_it_shows_and_has_seeds_enough(claim, name):
    setting = claim.settings[name]
    assert set(setting.columns) <= set(COLUMNS)
    assert set(setting.fast) <= set(setting.arms)
    assert setting.seeds >= (3 if setting.is_real else 5)
    assert len(setting.arms) > 1


@pytest.mark.parametrize("claim", command.CLAIMS.values(), ids=lambda one: one.name)
def test_every_finding_is_about_arms_of_its_setting(claim):
    for finding in claim.findings:
        arms_there = claim.settings[finding.setting].arms
        for value in (finding.ours, finding.theirs):
            assert value.arm in arms_there
            assert value.key in COLUMNS
        assert finding.wished in {"above", "below"}
        assert finding.ours != finding.theirs
    assert {finding.setting for finding in claim.findings} <= set(claim.settings)
    assert claim.page.exists()
    assert claim.headlines
    assert set(claim.headlines) <= {finding.words for finding in claim.findings}


def test_equal_runs_have_equal_places_and_others_have_not():
    runs = [run for claim, name in ALL for run in claim.settings[name].runs(name)]
    by_place = {run.place: run.arguments for run in runs}
    assert all(by_place[run.place] == run.arguments for run in runs)
    assert len(by_place) == len(set(by_place.values())) < len(runs), "claims share runs"


def test_a_refused_seed_is_replaced_by_a_later_one():
    setting = replace(command.CLAIMS["recycling"].settings["toy_few"], refused=(0, 2))
    assert sorted({run.seed for run in setting.runs("toy_few")}) == [1, 3, 4, 5, 6]
    assert {run.seed for run in setting.runs("toy_few", 2)} == {1, 3}


def test_the_plan_is_within_its_hours():
    parts = command.in_order(command.CLAIMS.values())
    assert command.cpu_hours(parts, fast=False) <= FULL_HOURS
    assert command.cpu_hours(parts, fast=True) <= FAST_HOURS
    fast = [run for part in parts for run in command.planned(part, fast=True)]
    assert {run.seed for run in fast} == {0, 1, 2}
    assert any(part[0].settings[part[1]].is_real and command.planned(part, fast=True) for part in parts)


def test_first_settings_come_first():
    parts = command.in_order(command.CLAIMS.values())
    firsts = [(claim.name, next(iter(claim.settings))) for claim in command.CLAIMS.values()]
    assert [(claim.name, name) for claim, name in parts[: len(firsts)]] == firsts
    assert len(parts) == len(ALL)
    assert [name for _, name in command.in_order(command.CLAIMS.values(), "toy_few")] == ["toy_few"]


# -- development and final tasks --------------------------------------------------------------------------------------


@cache
def prompts(file, sets, seed):
    """Prompts of the pool and of the held-out tasks, and the number of the former."""
    tasks = task_set(resolve(ROOT / file, "grpo", sets, seed), quiet)
    return {task.prompt for task in (*tasks.pool, *tasks.held_out)}, len(tasks.pool)


@pytest.mark.parametrize("file", ["toy", "smollm2", "smollm2_hard"])
def test_development_and_final_prompts_are_disjoint_at_every_seed(file):
    path = f"benchmarks/claims/{file}.toml"
    assert resolve(ROOT / path).task.params["part"] == "final"
    final, development = (
        set().union(*(prompts(path, (f"task.params.part={part}",), seed)[0] for seed in range(2)))
        for part in ("final", "development")
    )
    assert len(final) > 500 < len(development)
    assert not final & development


def test_the_game_of_a_quarter_weighs_every_question_alike():
    lines: list[dict[str, Any]] = [
        {
            "self_play/valid": 3,
            "self_play/proposals": 4,
            "self_play/valid_rate": 0.75,
            "self_play/reference_success": 1.0,
        },
        {
            "self_play/valid": 1,
            "self_play/proposals": 4,
            "self_play/valid_rate": 0.25,
            "self_play/reference_success": 0.0,
        },
        {
            "self_play/valid": 0,
            "self_play/proposals": 8,
            "self_play/valid_rate": 0.0,
            "self_play/reference_success": None,
        },
    ]
    assert numbers._over_questions(lines, "reference_success") == 0.75
    assert numbers._over_questions(lines, "valid_rate") == 0.25
    assert numbers._over_questions(lines, "right") is None


def test_the_world_of_self_play_is_not_that_of_the_example():
    file = ROOT / "examples" / "self_play.toml"
    (claim,) = [one for one in command.CLAIMS.values() if one.name == "self_play"]
    run = claim.settings["game"].run("game", "self-play", 0)
    assert not {task.prompt for task in task_set(resolved(run), quiet).held_out} & {
        task.prompt for task in task_set(resolve(file), quiet).held_out
    }


def test_pools_are_as_large_as_they_are_said_to_be():
    for claim, name in ALL:
        one = claim.settings[name].run(name, next(iter(claim.settings[name].arms)), 0)
        config, (file, _, sets) = resolved(one), settings_of(one)
        if config.task.source != "self_play":
            of_task = tuple(setting for setting in sets if setting.startswith(("task.", "eval.")))
            assert prompts(file, of_task, 0)[1] == config.task.pool_size, f"{claim.name}, {name}"


# -- the second judge -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("completion", "right"),
    [
        (" 42", 1.0),
        (" 42.", 1.0),
        (" 17 + 25 = 42", 1.0),
        ("17 + 25 equals 42", 1.0),
        (" 42.0", 0.0),
        (" 421", 0.0),
        (" 17 + 25", 0.0),
        ("42 or 43", 0.0),
        ("", 0.0),
    ],
)
def test_the_second_judge_works_the_result_out(completion, right):
    prompt = "6 + 3 = 9\n5 * 7 = 35\n17 + 25 ="
    assert second_rule.recomputed([prompt], [completion], answer=["7"]) == [right]


def test_the_second_judge_refuses_a_prompt_without_one_problem():
    assert second_rule.recomputed(["What is 1 + 1 + 1?", "1 + 1 and 2 + 2"], ["3", "2"]) == [0.0, 0.0]


# -- values and verdicts ----------------------------------------------------------------------------------------------


def a_curve(*accuracies, rollouts=100, factor=1.0):
    return [[rollouts * place, *[factor * place] * (len(AXES) - 1), one] for place, one in enumerate(accuracies)]


def run(*accuracies, factor=1.0, **numbers):
    common = {"place": "p", "date": "2026-11-30", "revision": "abc", "all_cpu_seconds": 30.0, "flips_up": 0.5}
    return common | {"curve": a_curve(*accuracies, factor=factor)} | numbers


RESULTS = {
    "GRPO": {"0": run(0.2, 0.4, 0.6), "1": run(0.2, 0.5, 0.7), "2": run(0.2, 0.4, 0.5)},
    "ours": {"0": run(0.2, 0.5, 0.7), "1": run(0.2, 0.6, 0.9), "2": run(0.2, 0.5, 0.6)},
}


def found(wished="above", *, ours=("ours", "accuracy@rollouts"), theirs=("GRPO", "accuracy@rollouts"), results=RESULTS):
    return values.verdict(Finding("words", "s", Value(*ours), Value(*theirs), wished=wished), results)


def test_accuracy_at_equal_cost_by_hand():
    # The last 15 % of 200 rollouts are those from 170 on: the line from .54 to .6, mean .57, for seed 0 of GRPO.
    at_end = values.numbers_of(RESULTS, Value("GRPO", "accuracy@rollouts"))
    assert at_end == pytest.approx({0: 0.57, 1: 0.67, 2: 0.485})
    # A run that ended sooner limits all: the last 15 % of 100 are from 85 on, .37 to .4.
    shorter = {**RESULTS, "short": {"0": run(0.2, 0.3)}}
    assert values.numbers_of(shorter, Value("GRPO", "accuracy@rollouts"))[0] == pytest.approx(0.385)
    assert values.numbers_of(RESULTS, Value("GRPO", "area@rollouts"))[0] == pytest.approx(0.4)
    assert values.numbers_of(RESULTS, Value("nobody", "area@rollouts")) == {}


def test_the_cost_of_the_target_by_hand():
    baseline = {"0": run(0.1, 0.3, 0.5, 0.7, factor=2.0), "1": run(0.1, 0.3, 0.6, 0.6, factor=2.0)}
    results = {"GRPO": baseline, "slow": {"0": run(0.1, 0.2, 0.5, 0.5), "1": run(0.1, 0.4, 0.6, 0.7)}}
    assert values.targets(results) == {"0": 0.5, "1": 0.5}, "(.3 + .5 + .7) / 3 and (.3 + .6 + .6) / 3"
    assert values.numbers_of(results, Value("GRPO", "flops@target")) == {0: 6.0, 1: 6.0}
    assert values.numbers_of(results, Value("slow", "flops@target")) == {0: None, 1: 3.0}
    finding = Finding("cheaper", "s", Value("slow", "flops@target"), Value("GRPO", "flops@target"), "below", True)
    made = values.verdict(finding, results)
    assert (made.word, made.bound, made.unreached) == (values.UNKNOWN, "at least", 1), "at least 4 against 6, not above"


@pytest.mark.parametrize(
    ("ours", "theirs", "word", "bound"),
    [
        ("never", "GRPO", values.REVERSED, "at least"),
        ("GRPO", "never", values.HOLDS, "at most"),
        ("never", "hardly", values.UNKNOWN, ""),
        ("cheap", "GRPO", values.UNKNOWN, "at least"),
    ],
)
def test_a_run_that_never_reaches_the_target_costs_at_least_what_it_spent(ours, theirs, word, bound):
    """GRPO spends 2 to 3; the others end below its .5 at 8, 9 and 1: a bound decides where it is on the right side."""
    ends = {"GRPO": (0.5, 0.5, 0.5), "never": (0.1, 0.2, 0.3), "hardly": (0.1, 0.1, 0.1), "cheap": (0.1, 0.2, 0.3)}
    factors = {"GRPO": 1.0, "never": 4.0, "hardly": 4.5, "cheap": 0.5}
    results = {
        arm: {seed: run(*end, factor=factors[arm] * scale) for seed, scale in (("0", 1.0), ("1", 1.1))}
        for arm, end in ends.items()
    }
    finding = Finding("cheaper", "s", Value(ours, "flops@target"), Value(theirs, "flops@target"), "below", True)
    made = values.verdict(finding, results)
    assert (made.word, made.bound) == (word, bound)


def test_each_seed_has_the_target_of_its_baseline():
    results = {"GRPO": {"0": run(0.6, 0.6, 0.6), "1": run(0.2, 0.2, 0.2, 0.2)}, "ours": {"1": run(0.1, 0.3, 0.3)}}
    assert values.targets(results) == {"0": 0.6, "1": 0.2}
    assert values.numbers_of(results, Value("ours", "tokens@target")) == {1: 2.0}


def test_seconds_of_a_curve_are_without_evaluation():
    steps = [{"step": step, "cpu_seconds": 4.0, "seconds": 8.0, "time/evaluate": 2.0 * (step % 2)} for step in range(4)]
    one = Run(Path("run"), {}, {}, steps)
    assert [AXES["cpu_seconds"](line, one) for line in steps] == [0.0, 3.0, 7.0, 10.0]


def test_a_trainer_that_leaves_no_row_out_pays_for_every_row_and_its_prompt():
    line = {"total_generated_tokens": 900, "total_tool_tokens": 100, "total_prompt_tokens": 400}
    one = Run(Path("run"), {"train": {"group_size": 4}}, {"parameters": 10}, [])
    assert AXES["flops_every_row"](line, one) == 8 * 10 * 1400
    assert AXES["flops_every_row_shared"](line, one) == 8 * 10 * 1100


def test_verdicts_by_hand():
    # Differences .1, .185 and .1: mean .128, standard error .028, and 4.303 of them are .122.
    holds = found()
    assert holds.word == values.HOLDS
    assert holds.paired.t.low > 0
    assert found("below").word == values.REVERSED
    assert found(theirs=("ours", "accuracy@rollouts"), ours=("GRPO", "accuracy@rollouts")).word == values.REVERSED
    wide = {**RESULTS, "ours": {**RESULTS["ours"], "2": run(0.2, 0.3, 0.3)}}
    assert found(results=wide).word == values.NO_DIFFERENCE
    one = {arm: {"0": runs["0"]} for arm, runs in RESULTS.items()}
    assert found(results=one).word == values.UNKNOWN
    margin = Finding("much", "s", Value("ours", "accuracy@rollouts"), Value("GRPO", "accuracy@rollouts"), margin=0.3)
    assert values.verdict(margin, RESULTS).word == values.REVERSED


def test_a_ratio_below_one_holds():
    results = {
        "GRPO": {seed: run(0.2, 0.5, flops=4.0 + int(seed)) for seed in "012"},
        "ours": {seed: run(0.2, 0.5, flops=2.0) for seed in "012"},
    }
    finding = Finding("cheaper", "s", Value("ours", "flops"), Value("GRPO", "flops"), "below", as_ratio=True)
    made = values.verdict(finding, results)
    assert made.word == values.HOLDS
    assert made.paired.mean == pytest.approx(sum(math.log(2 / cost) for cost in (4, 5, 6)) / 3)


def test_the_number_of_the_last_quarter():
    results = {"GRPO": {"0": run(0.1, 0.2, batch_quarters=[4, 3, 2, None]), "1": run(0.1, 0.2)}}
    assert values.numbers_of(results, Value("GRPO", "batch_quarters[0]")) == {0: 4.0, 1: None}
    assert values.numbers_of(results, Value("GRPO", "batch_quarters[-1]")) == {0: None, 1: None}


# -- pages and files --------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def same_signals():
    """The command changes what SIGTERM does."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


TINY = Claim(
    name="tiny",
    title="A claim",
    arxiv="0000.00000",
    says="Something.",
    settings={
        "s": Setting("the toy", "benchmarks/claims/toy.toml", {"GRPO": Arm("grpo"), "ours": Arm("recycle")}, 10.0),
        "t": Setting("another", "benchmarks/claims/toy.toml", {"GRPO": Arm("grpo"), "ours": Arm("dapo")}, 10.0),
    },
    findings=(
        Finding("ours ends above", "s", Value("ours", "accuracy@rollouts"), Value("GRPO", "accuracy@rollouts")),
        Finding("ours rises there", "t", Value("ours", "accuracy@rollouts"), Value("GRPO", "accuracy@rollouts")),
    ),
)


def test_a_block_by_hand():
    sample = {"step": 9, "prompt": "ab>", "completion": "b|a", "reward": 0.0, "truncated": True}
    results = {**RESULTS, "ours": {**RESULTS["ours"], "0": {**RESULTS["ours"]["0"], "samples": [sample, sample]}}}
    text = block(TINY, {"settings": {"s": results}})
    # Late means .67, .855 and .585 against .57, .67 and .485.
    assert "| **holds** | ours: 0.703 ± 0.138 (accuracy) | GRPO: 0.575 ± 0.093 (accuracy) | +0.128 (+0.006" in text
    assert "| ours rises there | another | not measured yet |" in text
    assert "Of 1 intervals at 95 %, 0.1 leave out 0 by chance alone" in text
    assert "    rekindle train benchmarks/claims/toy.toml --recipe recycle --seed 0    # ours" in text
    assert "| ours | 9 | ab> | b\\|a | 0, cut |" in text
    assert "Not measured yet: another." in text
    assert "The toy. Seeds: 3. A run took 30 CPU seconds on average, all 6 together 3 minutes." in text
    assert block(TINY, {"settings": {}}) == NOT_MEASURED


def test_results_are_read_as_they_were_written_with_a_run_on_a_line(tmp_path):
    results = {"settings": {"s": RESULTS, "t": {"GRPO": {"0": {"curve": []}}}}}
    file = tmp_path / "results" / "tiny.json"
    command.write(file, results)
    assert command.read(TINY, file) == results
    assert sum('"curve"' in line for line in file.read_text().splitlines()) == 7
    assert command.read(TINY, tmp_path / "none.json") == {"settings": {}}


def test_numbers_of_an_arm_with_another_name_are_refused_unless_it_is_measured_again(tmp_path):
    file = tmp_path / "tiny.json"
    command.write(file, {"settings": {"s": {**RESULTS, "once ours": RESULTS["ours"]}}})
    remedy = r"python benchmarks/claims tiny --only s$"
    with pytest.raises(UserError, match=rf"has numbers of 'once ours', which is no arm of s; .*: {remedy}"):
        command.read(TINY, file)
    assert "once ours" in command.read(TINY, file, replaced="s")["settings"]["s"]


@pytest.mark.parametrize("claim", command.CLAIMS.values(), ids=lambda one: one.name)
def test_pages_say_what_was_measured(claim):
    results = command.read(claim)
    written = arms.block(claim.page.read_text(encoding="utf-8"), command.BLOCK)
    assert written == block(claim, results), f"run: python benchmarks/claims {claim.name} --docs"
    for name, by_arm in results["settings"].items():
        drawing = curves(claim.settings[name], by_arm)
        assert claim.image(name).read_text(encoding="utf-8") == drawing


@pytest.mark.parametrize(
    ("setting", "arm", "key"),
    [("toy", BASE, LEAN), ("toy", BASE, EVERY_ROW), ("smollm2", BASE, LEAN), ("smollm2", OUR_RATE, LEAN)],
)
def test_the_front_page_has_the_ratios_of_the_combination(setting, arm, key):
    claim = command.CLAIMS["combination"]
    (finding,) = [
        one for one in claim.findings if (one.setting, one.theirs) == (setting, Value(arm, key)) and one.as_ratio
    ]
    limits = values.verdict(finding, command.read(claim)["settings"][setting]).paired
    low, high = limits.t.exponential().low, limits.t.exponential().high
    front = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"x {math.exp(limits.mean):.2f} ({low:.2f} to {high:.2f})" in front


def test_an_interruption_keeps_what_is_finished_and_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    kept = []

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(arms, "run_all", interrupted)
    monkeypatch.setattr(command, "keep", lambda part, runs, fast: kept.append(part[1]))
    assert command.main(["erpo", "--only", "toy_easy", "--runs", str(tmp_path)]) == 130
    assert kept == ["toy_easy"]
    assert "the same command goes on" in capsys.readouterr().err


def test_mistakes_are_told_in_a_sentence(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main(["erpo", "--jobs", "0"])
    assert "--jobs 0 would make no run; give 1 or more" in capsys.readouterr().err
    broken = tmp_path / "toy.toml"
    broken.write_text('[train]\nlearning_rate = "fast"\n')
    setting = Setting("the toy", str(broken), {"GRPO": Arm("grpo")}, 1.0)
    monkeypatch.setitem(command.CLAIMS, "tiny", Claim("tiny", "Tiny", None, "Nothing.", {"s": setting}))
    assert command.main(["tiny", "--runs", str(tmp_path / "runs")]) == command.MISTAKE
    assert 'train.learning_rate = "fast": input should be a valid number' in capsys.readouterr().err
    broken.write_text('{"settings": ')
    with pytest.raises(UserError, match=r"is no JSON .*; take it from git again"):
        command.read(TINY, broken)


def test_a_failed_run_does_not_stop_the_next_setting(tmp_path, monkeypatch, capsys):
    kept = []

    def failed(*_, **__):
        raise SystemExit("a run failed")

    monkeypatch.setattr(arms, "run_all", failed)
    monkeypatch.setattr(command, "keep", lambda part, runs, fast: kept.append(part[1]))
    assert command.main(["erpo", "--runs", str(tmp_path)]) == 1
    assert kept == list(command.CLAIMS["erpo"].settings)
    assert "erpo, toy: a run failed" in capsys.readouterr().out


def test_only_seeds_that_all_arms_have_finished_are_kept(tmp_path, monkeypatch):
    claim = command.CLAIMS["erpo"]
    for one in list(command.planned((claim, "toy_easy"), fast=False))[:8]:
        (tmp_path / one.place).mkdir()
        (tmp_path / one.place / arms.DONE).write_text("{}")
    monkeypatch.setattr(command, "measured", lambda place, samples: {"samples": samples})
    found = command.collect((claim, "toy_easy"), tmp_path, fast=False)
    assert list(found) == list(claim.settings["toy_easy"].arms)
    assert all(set(by_seed) == {"0"} and by_seed["0"]["samples"] for by_seed in found.values())


@pytest.mark.slow
def test_a_claim_is_made_kept_and_made_no_second_time(tmp_path, monkeypatch, capsys):
    tiny = Setting(
        "the toy, for a moment",
        "benchmarks/claims/toy.toml",
        {"GRPO": Arm("grpo"), "recycling": Arm("recycle")},
        cpu_seconds=5.0,
        settings=(
            "warm_start.steps=5",
            "task.pool_size=64",
            "train.rollouts=256",
            "train.groups_per_step=8",
            "eval.prompts=8",
            "eval.every=1",
        ),
        seeds=2,
        columns=("recycled_share", "frozen_share", "batch_quarters[-1]"),
    )
    finding = Finding("w", "s", Value("recycling", "accuracy@rollouts"), Value("GRPO", "accuracy@rollouts"))
    claim = Claim("tiny", "A claim", "0000.00000", "Something.", {"s": tiny}, (finding,))
    page, kept = tmp_path / "tiny.md", tmp_path / "tiny.json"
    page.write_text("<!-- measured: claim -->\n<!-- end measured -->\n")
    monkeypatch.setattr(command, "CLAIMS", {"tiny": claim})
    monkeypatch.setattr(command, "refresh", lambda: None)
    monkeypatch.setattr(Claim, "page", property(lambda _: page))
    monkeypatch.setattr(Claim, "results", property(lambda _: kept))
    monkeypatch.setattr(Claim, "image", lambda _, setting: tmp_path / f"{setting}.svg")
    asked = ["tiny", "--runs", str(tmp_path / "runs"), "--jobs", "2"]
    assert command.main(asked) == 0
    first = kept.read_text()
    assert set(json.loads(first)["settings"]["s"]) == {"GRPO", "recycling"}
    assert "| w | the toy, for a moment |" in page.read_text()
    assert (tmp_path / "s.svg").read_text().startswith("<svg")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("metrics.jsonl")}
    assert len(times) == 4
    assert command.main(asked) == 0
    assert kept.read_text() == first
    assert {path: path.stat().st_mtime_ns for path in times} == times
