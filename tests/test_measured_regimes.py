"""From the results of benchmarks to measured regimes and the page "What works when": tables worked by hand."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import methods  # noqa: E402
import older_regimes  # noqa: E402
import posterior_recycling  # noqa: E402
import regimes  # noqa: E402
from claims import command, measured_regimes, what_works  # noqa: E402
from claims.claim import Arm, Claim, Finding, Setting, Value  # noqa: E402
from rekindle.planning.measured import regime_of_json  # noqa: E402

TOY = "benchmarks/claims/toy.toml"
SETTING = Setting(
    "the toy",
    TOY,
    {"DAPO": Arm("dapo"), "GRPO, slow": Arm("grpo", ("train.learning_rate=1e-4",)), "GRPO": Arm("grpo")},
    10.0,
    settings=("task.pool_size=25",),
)
CLAIM = Claim(
    "tiny",
    "Tiny: a claim",
    "0000.00000",
    "Something.",
    {"the_toy": SETTING, "another": SETTING},
    (
        Finding("DAPO ends above", "the_toy", Value("DAPO", "accuracy@rollouts"), Value("GRPO", "accuracy@rollouts")),
        Finding(
            "DAPO ends below",
            "the_toy",
            Value("DAPO", "accuracy@rollouts"),
            Value("GRPO", "accuracy@rollouts"),
            "below",
        ),
        Finding("DAPO is cheaper", "the_toy", Value("DAPO", "flops"), Value("GRPO", "flops"), "below", as_ratio=True),
        Finding("DAPO ends above", "another", Value("DAPO", "accuracy@rollouts"), Value("GRPO", "accuracy@rollouts")),
    ),
    headlines=("DAPO ends above", "DAPO ends below"),
)


def run(end, flops=4e6, **numbers):
    """200 rollouts from accuracy 0 to ``end`` in a straight line; costs are the same on all axes but FLOPs."""
    common = {"rollouts": 200, "tokens": 2000, "profile_tokens": 0, "flops": flops, "cpu_seconds": 3.0}
    quarters = {"all_wrong_quarters": [0.4, 0.1, 0.1, 0.1], "all_correct_quarters": [0.2, 0.3, 0.3, 0.3]}
    made = {"date": "2026-11-30", "revision": "abc"}
    curve = [[200.0 * part, 2000.0 * part, flops * part, 1.0 * part, 3.0 * part, end * part] for part in (0, 0.5, 1)]
    return common | quarters | made | {"curve": curve} | numbers


STARTED = {
    "first_step": {"asked": 10, "all_wrong": 5, "all_correct": 1},
    "prompt_tokens": 1000,
    "pool": 20,
    "parameters": 100,
}
RESULTS = {
    "DAPO": {"0": run(0.6), "1": run(0.7), "2": run(0.81)},
    "GRPO, slow": {"0": run(0.4), "1": run(0.4), "2": run(0.4)},
    "GRPO": {"0": run(0.4), "1": run(0.5), "2": run(0.6)},
}


def test_a_setting_is_a_regime_by_hand():
    found = measured_regimes.regime(CLAIM, "the_toy", SETTING, RESULTS)
    assert found["name"] == "tiny/the_toy"
    assert found["page"] == "evidence/tiny.md#the-toy"
    assert found["baseline"] == "grpo"
    assert found["start"] == "the first quarter"
    # 50 groups of 4 on 25 prompts.
    assert found["axes"] == {"never": 0.4, "always": 0.2, "visits": 2.0, "completion_tokens": 10.0, "group_size": 4.0}
    assert [one["arm"] for one in found["comparisons"]] == ["DAPO", "GRPO, slow"]
    dapo, slow = found["comparisons"]
    # The last 15 % of a line to e are .925 e on average; .2, .2 and .21 more are .1881 more.
    assert dapo["accuracy"]["rollouts"]["mean"] == pytest.approx(0.925 * 0.61 / 3, rel=1e-3)
    assert dapo["accuracy"]["rollouts"]["seeds"] == 3
    assert dapo["spent"]["flops"] == {"mean": 1.0, "low": 1.0, "high": 1.0, "p": 1.0, "seeds": 3}
    # A target is the mean of GRPO's three evaluations, such as (0 + .2 + .4) / 3, which takes three of any arm.
    assert dapo["to_target"]["flops"]["mean"] == 1.0
    assert slow["settings"] == ["train.learning_rate=1e-4"]
    json.dumps(found, allow_nan=False)
    regime_of_json(found)


def test_what_runs_kept_of_their_start_is_used():
    started = {**RESULTS, "GRPO": {seed: one | STARTED for seed, one in RESULTS["GRPO"].items()}}
    found = measured_regimes.regime(CLAIM, "the_toy", SETTING, started)
    assert found["start"] == "the first step"
    # 2 * 100 * (2000 + 50 * 5) of 4e6 FLOPs; 50 groups on 20 prompts.
    assert found["axes"] == {
        "never": 0.5,
        "always": 0.1,
        "visits": 2.5,
        "completion_tokens": 10.0,
        "group_size": 4.0,
        "prompt_tokens": 5.0,
        "generation_share": 0.1125,
        "parameters": 100.0,
    }


def test_rollouts_are_not_compared_where_a_profile_had_some():
    profiled = {**RESULTS, "DAPO": {seed: one | {"profile_tokens": 7} for seed, one in RESULTS["DAPO"].items()}}
    dapo, slow = measured_regimes.regime(CLAIM, "the_toy", SETTING, profiled)["comparisons"]
    assert set(dapo["accuracy"]) == {"tokens", "flops"}
    assert set(slow["accuracy"]) == {"rollouts", "tokens", "flops"}


def test_without_grpo_the_first_arm_is_the_baseline():
    found = measured_regimes.regime(CLAIM, "the_toy", SETTING, {"DAPO": RESULTS["DAPO"]})
    assert (found["baseline"], found["comparisons"]) == ("dapo", [])


def test_an_accuracy_that_a_seed_does_not_reach_has_no_cost():
    weak = {**RESULTS, "DAPO": {**RESULTS["DAPO"], "1": run(0.1)}}
    assert measured_regimes.regime(CLAIM, "the_toy", SETTING, weak)["comparisons"][0]["to_target"] == {}


def test_every_measured_setting_with_given_prompts_is_a_regime():
    names = {one["name"] for one in measured_regimes.claimed_regimes()}
    measured = {
        f"{claim.name}/{name}"
        for claim in command.CLAIMS.values()
        for name in command.read(claim)["settings"]
        if claim.name != "self_play"
    }
    assert names == measured


# -- older results ----------------------------------------------------------------------------------------------------


def test_shares_of_a_beta_distribution_by_hand():
    """Beta(1, 1) has a third of the variance between prompts; of pairs a third is all wrong, a third all correct."""
    assert older_regimes.beta_shares(0.5, 1 / 3, 2) == pytest.approx((1 / 3, 1 / 3))
    rates = np.random.default_rng(0).beta(2, 6, 200_000)
    assert older_regimes.beta_shares(0.25, 1 / 9, 4) == pytest.approx(
        ((1 - rates).__pow__(4).mean(), (rates**4).mean()), abs=0.002
    )


def test_results_that_are_gone_leave_no_regime(monkeypatch, tmp_path):
    monkeypatch.setattr(posterior_recycling, "RESULTS", tmp_path / "none.json")
    monkeypatch.setattr(methods, "RESULTS", tmp_path / "none.json")
    assert {one["name"] for one in older_regimes.older_regimes()} == {"even_difficulty", "small_pool"}
    monkeypatch.setattr(regimes, "RESULTS", tmp_path / "none.json")
    assert list(older_regimes.older_regimes()) == []


# -- the page ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The page of one claim."""
    file = tmp_path / "tiny.json"
    command.write(file, {"machine": "a machine", "settings": {"the_toy": RESULTS}})
    monkeypatch.setattr(Claim, "results", property(lambda _: file))
    monkeypatch.setattr(what_works, "CLAIMS", {"tiny": CLAIM})
    return what_works.page([regime_of_json(measured_regimes.regime(CLAIM, "the_toy", SETTING, RESULTS))])


def test_the_page_by_hand(tiny):
    assert "- `dapo` ended above `grpo` in 1 of 1 regimes: [the toy](evidence/tiny.md#the-toy) (+0.188)." in tiny
    assert "| finding | holds | no difference seen | the opposite holds | not decided |" in tiny
    assert "| DAPO ends above | [the toy](evidence/tiny.md#the-toy) +0.188 |  |  |  |" in tiny
    assert "| DAPO ends below |  |  | [the toy](evidence/tiny.md#the-toy) +0.188 |  |" in tiny
    assert "Not measured yet, in whole or in part: [Tiny](evidence/tiny.md)." in tiny


def test_lines_of_a_screen_are_counted_without_addresses():
    assert what_works.screen_lines("# a\n\nb") == 3
    assert what_works.screen_lines(f"[{'a ' * 60}]({'b' * 500})") == 1
    assert what_works.screen_lines("a " * 100) == 2


def test_the_page_leaves_out_details_where_it_would_not_fit(tiny, monkeypatch):
    found = [regime_of_json(measured_regimes.regime(CLAIM, "the_toy", SETTING, RESULTS))]
    monkeypatch.setattr(what_works, "SCREEN", 1)
    shorter = what_works.page(found)
    assert "these ended above `grpo`: `dapo` in 1 of 1 ([1](evidence/tiny.md#the-toy))." in shorter
    assert "| DAPO ends above | [the](evidence/tiny.md#the-toy) |  |  |  |" in shorter
    assert "+0.188" in tiny
    assert "+0.188" not in shorter


def test_the_page_fits_on_a_screen():
    assert what_works.screen_lines(what_works.PAGE.read_text(encoding="utf-8")) <= what_works.SCREEN
