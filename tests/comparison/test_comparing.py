"""Comparisons of arms: what is claimed, what is not, and what is said about it."""

from dataclasses import replace

import numpy as np
import pytest

from rekindle.comparison.comparing import compare, compared
from rekindle.comparison.curves import Curve
from rekindle.comparison.notes import notes
from rekindle.comparison.runs import ComparedRun
from rekindle.comparison.story import claims, evaluation_noise, title
from rekindle.comparison.task_lists import RunTasks
from rekindle.comparison.words import finding
from rekindle.observability.runs import RunError
from rekindle.types import UserError
from synthetic_arms import PROMPTS, write_arm_run, write_sweep


def run_of(tmp_path, recipe, seed, accuracies):
    """A run in memory with these accuracies, one every 100 rollouts."""
    x = [100.0 * place for place in range(len(accuracies))]
    return ComparedRun(
        directory=tmp_path / f"{recipe}-{seed}",
        seed=seed,
        settings={"recipe": recipe, "train.seed": seed, "eval.prompts": 256},
        info={"rekindle": "1"},
        step=len(accuracies) - 1,
        ending="done",
        spent={"rollouts": x[-1]},
        curves={"eval/accuracy": {"rollouts": Curve(x, accuracies)}},
        tasks=RunTasks("same"),
    )


def pairs_of(comparison, place=1):
    """The pairs of an arm at equal rollouts."""
    found = comparison.equal["rollouts"].rows[place].paired
    assert found is not None
    return found


def findings(comparison, axis="rollouts"):
    measure = comparison.equal[axis]
    return {row.arm: finding(row, measure) for row in measure.rows}


def arms_by_hand(tmp_path, **ends):
    """Arms whose seeds stay at a level, from the second evaluation on."""
    return [
        run_of(tmp_path, recipe, seed, [0.3] + [end] * 20)
        for recipe, levels in ends.items()
        for seed, end in enumerate(levels)
    ]


def test_differences_are_paired_over_the_seeds(tmp_path):
    runs = arms_by_hand(tmp_path, grpo=[0.4, 0.7, 0.59], recycle=[0.5, 0.8, 0.71])
    comparison = compared(runs)
    base, row = comparison.equal["rollouts"].rows
    assert (base.arm, base.paired, comparison.equal["rollouts"].at) == ("grpo", None, 2000.0)
    assert row.values == pytest.approx({0: 0.5, 1: 0.8, 2: 0.71})
    assert pairs_of(comparison).differences == pytest.approx({0: 0.1, 1: 0.1, 2: 0.12})
    assert findings(comparison) == {"grpo": "baseline", "recycle": "higher"}
    assert title(comparison) == "recycle against grpo"
    assert claims(comparison) == [
        "At 2k rollouts, the accuracy of recycle (+0.107, interval +0.078 to +0.135) is higher than that of grpo "
        "(95 %, 3 seeds)."
    ]


def test_no_difference_is_said_as_such_and_how_large_one_would_have_been_seen(tmp_path):
    comparison = compared(arms_by_hand(tmp_path, grpo=[0.6, 0.5, 0.55], erpo=[0.5, 0.7, 0.56]))
    assert findings(comparison)["erpo"] == "no difference seen"
    # Differences -0.1, 0.2, 0.01: standard deviation 0.1518, half width 0.377.
    assert claims(comparison) == [
        "At 2k rollouts, no difference seen in accuracy for erpo against grpo (3 seeds; with their variation only one "
        "of about 0.377 would have been seen)."
    ]


def test_several_comparisons_are_corrected(tmp_path):
    # Alone p = 0.019; of four comparisons it is 0.077.
    others = {recipe: [0.5, 0.7, 0.5] for recipe in ("dapo", "erpo", "spo")}
    arms = {"grpo": [0.5, 0.6, 0.58], "recycle": [0.6, 0.72, 0.66]}
    assert findings(compared(arms_by_hand(tmp_path, **arms)))["recycle"] == "higher"
    comparison = compared(arms_by_hand(tmp_path, **arms, **others))
    assert findings(comparison)["recycle"] == "no difference seen (corrected)"
    assert claims(comparison)[0] == (
        "At 2k rollouts, no difference seen in accuracy for recycle (+0.100, interval +0.050 to +0.150) against grpo "
        "once it is corrected for the number of arms."
    )


def test_equal_differences_are_no_evidence(tmp_path):
    comparison = compared(arms_by_hand(tmp_path, grpo=[0.5, 0.5], erpo=[0.6, 0.6]))
    assert findings(comparison)["erpo"] == "higher, equal in all seeds"
    assert claims(comparison) == ["At 2k rollouts, erpo against grpo: higher, equal in all seeds."]


def test_one_seed_has_no_interval(tmp_path):
    comparison = compared(arms_by_hand(tmp_path, grpo=[0.5], erpo=[0.6]))
    assert findings(comparison)["erpo"] == "one seed: no interval"
    assert any("grpo and erpo: one seed, so there is no interval." in note for note in notes(comparison))
    assert comparison.comparisons == 0


def test_arms_are_compared_over_common_seeds(tmp_path):
    runs = arms_by_hand(tmp_path, grpo=[0.5, 0.6, 0.7], erpo=[0.5, 0.61, 0.72, 0.9])[:-2]
    comparison = compared(runs)
    assert pairs_of(comparison).count == 2
    assert "erpo has the seeds 0 and 1 and grpo 0, 1 and 2; they are compared over the common seeds 0 and 1." in notes(
        comparison
    )


def test_no_common_seed(tmp_path):
    comparison = compared([run_of(tmp_path, "grpo", 0, [0.3, 0.5]), run_of(tmp_path, "erpo", 1, [0.3, 0.6])])
    assert findings(comparison)["erpo"] == "no common seed with a value"
    assert any("compared over nothing, as no seed is common" in note for note in notes(comparison))


def test_one_arm_is_no_comparison(tmp_path):
    comparison = compared(arms_by_hand(tmp_path, recycle=[0.5, 0.6]))
    assert claims(comparison) == []
    assert any(note.startswith("There is one arm") for note in notes(comparison))


def greedy_only(tmp_path, recipe, seed, accuracies):
    """A run inside verl, which validated with the most probable answers."""
    run = run_of(tmp_path, recipe, seed, accuracies)
    info = {"rekindle": "1", "trainer": "verl 0.9.1", "held_out": 256, "eval_temperature": 0.0, "eval_samples": 1}
    return replace(run, info=info, curves={"eval/greedy": run.curves["eval/accuracy"]})


def test_greedy_accuracies_are_compared_where_not_every_run_has_a_sampled_one(tmp_path):
    native = run_of(tmp_path, "recycle", 0, [0.3, 0.5])
    both = replace(native, curves=native.curves | {"eval/greedy": native.curves["eval/accuracy"]})
    comparison = compared([greedy_only(tmp_path, "grpo", 0, [0.3, 0.4]), both])
    assert (comparison.metric, comparison.replaced) == ("eval/greedy", "eval/accuracy")
    base, other = (row.values[0] for row in comparison.equal["rollouts"].rows)
    assert (base, other) == pytest.approx((0.3925, 0.485)), "the mean over the last 15 % of the line"
    assert any(
        note.startswith("The greedy accuracy is compared, because ") and note.endswith("by the same measure.")
        for note in notes(comparison)
    )
    assert compared([native, native]).replaced == ""


def test_greedy_and_sampled_accuracies_are_not_compared(tmp_path):
    comparison = compared([run_of(tmp_path, "recycle", 0, [0.3, 0.5]), greedy_only(tmp_path, "grpo", 0, [0.3, 0.4])])
    assert comparison.metric == "eval/accuracy"
    said = [note for note in notes(comparison) if "greedy accuracy only" in note]
    assert len(said) == 1
    assert "val_kwargs.temperature=1" in said[0]


def test_a_chosen_metric_is_compared_or_refused(tmp_path):
    runs = [greedy_only(tmp_path, "grpo", seed, [0.3, 0.4]) for seed in (0, 1)]
    assert compared(runs, metric="eval/greedy").replaced == ""
    with pytest.raises(UserError, match=r"--metric eval/x: no run has it .* such as eval/greedy"):
        compared(runs, metric="eval/x")


# -- false differences ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [3, 5])
def test_equal_arms_are_seldom_said_to_differ(tmp_path, seeds):
    """200 pairs of equal arms, with evaluations as noisy as those of 256 prompts: at most 8 % are claimed to differ."""
    draw, claimed, excluded = np.random.default_rng(seeds), 0, 0
    for _ in range(200):
        runs = []
        for recipe in ("grpo", "erpo"):
            for seed in range(seeds):
                level = 0.7 + draw.normal(0, 0.02)
                rate = level - 0.4 * np.exp(-np.arange(12) / 3)
                runs.append(run_of(tmp_path, recipe, seed, (draw.binomial(256, rate) / 256).tolist()))
        found = pairs_of(compared(runs))
        claimed += found.differs
        excluded += not found.bootstrap.holds(0.0)
    assert claimed <= 0.08 * 200
    assert excluded <= 0.08 * 200


# -- the cost of a target ---------------------------------------------------------------------------------------------


def rising(tmp_path, recipe, seed, slope, steps=20):
    return run_of(tmp_path, recipe, seed, [min(0.9, 0.3 + slope * step) for step in range(steps + 1)])


def test_the_cost_of_a_target_is_compared_by_ratios(tmp_path):
    runs = [rising(tmp_path, "grpo", seed, 0.02 + 0.001 * seed) for seed in range(3)]
    runs += [rising(tmp_path, "recycle", seed, 0.04 + 0.002 * seed) for seed in range(3)]
    comparison = compared(runs, target=0.5)
    base, row = comparison.costs["rollouts"].rows
    # Means of three: 0.5 is reached one evaluation after the curve is there.
    assert base.values == {0: 1100.0, 1: 1100.0, 2: 1100.0}
    assert row.values == {0: 600.0, 1: 600.0, 2: 600.0}
    assert row.paired is not None
    assert np.exp(row.paired.mean) == pytest.approx(6 / 11)


def test_the_default_target_is_what_every_seed_of_the_baseline_reaches(tmp_path):
    comparison = compared(arms_by_hand(tmp_path, grpo=[0.6123, 0.7], erpo=[0.8, 0.9]))
    assert comparison.target == 0.612
    assert [len(row.known) for row in comparison.costs["rollouts"].rows] == [2, 2]


def test_censored_seeds_are_counted_and_not_averaged(tmp_path):
    runs = arms_by_hand(tmp_path, grpo=[0.6, 0.7, 0.7], erpo=[0.8, 0.8, 0.5], spo=[0.8, 0.8, 0.8])
    comparison = compared(runs, target=0.65)
    measure = comparison.costs["rollouts"]
    assert [finding(row, measure, "more", "less") for row in measure.rows] == [
        "baseline, reached by 2 of 3 seeds",
        "reached by 2 of 3 seeds",
        "not compared: some seeds of the baseline did not reach it",
    ]
    assert all(row.paired is None for row in measure.rows)


def test_a_target_that_the_runs_begin_with_costs_nothing(tmp_path):
    comparison = compared(arms_by_hand(tmp_path, grpo=[0.2, 0.25], erpo=[0.6, 0.7]))
    assert comparison.target == 0.2
    assert comparison.costs == {}


# -- what is said of the runs -----------------------------------------------------------------------------------------


def test_the_shortest_run_limits_the_comparison_and_is_named(tmp_path):
    write_sweep(tmp_path, {"grpo": 0.4, "erpo": 0.5}, seeds=2)
    write_arm_run(tmp_path / "grpo" / "seed-1", seed=1, gain=0.2, steps=10, ending="")
    comparison = compare([tmp_path])
    assert comparison.equal["rollouts"].at == 1000
    found = notes(comparison)
    assert any("seed-1 is not finished (goes on, or was killed); it is used up to step 10." in note for note in found)
    assert any("The comparison is at 1k rollouts, where" in note and "the longest run has 2k" in note for note in found)


def test_what_else_differs_is_said(tmp_path):
    write_arm_run(tmp_path / "a", seed=0)
    write_arm_run(
        tmp_path / "b", seed=1, info={"rekindle": "0.2.0", "host": "two"}, ending="interrupted", held_out=None
    )
    write_arm_run(tmp_path / "c", seed=1, steps=0)
    write_arm_run(tmp_path / "d", seed=0, ending="bound")
    found = " ".join(notes(compare([tmp_path, tmp_path / "a"], target=0.5)))
    for text in (
        "a was given more than once and counts once.",
        "d is left out: it has the settings and the seed of",
        "c has no step yet and is left out.",
        "b is not finished (was interrupted); it is used up to step 20.",
        "b does not list its held-out prompts",
        "made by versions 0.1.0 and 0.2.0 of rekindle",
        "The runs differ in host",
    ):
        assert text in found


def test_runs_that_stopped_at_a_bound_are_named(tmp_path):
    write_arm_run(tmp_path / "a", ending="bound")
    assert any("stopped at a bound before its target" in note for note in notes(compare([tmp_path])))


def test_runs_evaluated_differently_are_named(tmp_path):
    runs = arms_by_hand(tmp_path, grpo=[0.5], erpo=[0.6])
    runs[1].settings["eval.samples"] = 4
    assert "Runs were evaluated differently: eval.samples is – and 4." in notes(compared(runs))


def test_runs_without_evaluations_are_said_and_not_compared(tmp_path):
    write_sweep(tmp_path, {"grpo": 0.4, "erpo": 0.5}, seeds=2, every=1000)
    for path in tmp_path.rglob("metrics.jsonl"):
        path.write_text(path.read_text().replace("eval/accuracy", "other/accuracy"))
    comparison = compare([tmp_path])
    assert (comparison.equal, comparison.costs, comparison.target) == ({}, {}, None)
    assert notes(comparison)[0].startswith("No run has a value of eval/accuracy in its metrics")


def test_a_run_without_evaluations_is_missing(tmp_path):
    write_sweep(tmp_path, {"grpo": 0.4, "erpo": 0.5}, seeds=3)
    path = tmp_path / "erpo" / "seed-0" / "metrics.jsonl"
    path.write_text(path.read_text().replace("eval/accuracy", "other/accuracy"))
    comparison = compare([tmp_path])
    assert pairs_of(comparison).count == 2
    assert any("seed-0 has no evaluation (eval/accuracy) and is missing" in note for note in notes(comparison))


def test_another_metric_is_compared_and_one_of_training_is_warned_of(tmp_path):
    write_sweep(tmp_path, {"grpo": 0.4, "erpo": 0.5}, seeds=2, further={"audit/strict": 0.1})
    strict = compare([tmp_path], metric="eval/audit/strict")
    assert strict.equal["rollouts"].rows[0].known == pytest.approx([0.1 + 0.4 * 0.925] * 2)
    assert "eval/accuracy" in strict.further
    reward = compare([tmp_path], metric="reward/mean")
    assert any("it does not show which arm is better" in note for note in notes(reward))


def test_the_second_judge_is_shown_beside(tmp_path):
    write_sweep(tmp_path, {"grpo": 0.4, "erpo": 0.5}, seeds=2, further={"greedy": 0.4, "audit/strict": 0.1})
    assert list(compare([tmp_path]).further) == ["eval/greedy", "eval/audit/strict"]


def test_the_binomial_share_of_the_variance_by_hand(tmp_path):
    # 0.6 at 256 prompts: sqrt(0.24 / 256) = 0.031. 4 of the evaluations are averaged, every 100 of the last 300.
    text = evaluation_noise(compared(arms_by_hand(tmp_path, grpo=[0.5, 0.6, 0.7], erpo=[0.5, 0.6, 0.7])))
    assert "a binomial standard deviation of at most 0.031" in text.lower()
    assert "means of about 4 evaluations" in text
    # 0.0009375 / 4 of a variance of 0.01
    assert "at most 2% of the variance" in text


# -- what is refused --------------------------------------------------------------------------------------------------


def test_runs_of_different_tasks_are_refused(tmp_path):
    write_arm_run(tmp_path / "a")
    write_arm_run(tmp_path / "b", recipe="erpo", held_out=PROMPTS[:2])
    with pytest.raises(
        UserError, match=r"a \(spell_backward, 256 held-out prompts\) and .* have different held-out pro"
    ):
        compare([tmp_path])


def test_a_damaged_line_is_named(tmp_path):
    directory = write_arm_run(tmp_path / "run")
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    (directory / "metrics.jsonl").write_text("\n".join([*lines[:4], '{"step": 4, "eval', *lines[5:]]) + "\n")
    with pytest.raises(RunError, match=r"metrics\.jsonl, line 5: not a JSON object"):
        compare([tmp_path])


def test_a_line_cut_off_at_the_end_is_the_end(tmp_path):
    directory = write_arm_run(tmp_path / "run")
    (directory / "metrics.jsonl").write_text((directory / "metrics.jsonl").read_text()[:-40])
    assert compare([tmp_path]).runs[0].step == 19


def test_runs_without_a_step_are_nothing_to_compare(tmp_path):
    write_arm_run(tmp_path / "run", steps=0)
    with pytest.raises(UserError, match="no run has a step yet"):
        compare([tmp_path])


def test_an_axis_that_a_run_does_not_record(tmp_path):
    write_sweep(tmp_path, {"grpo": 0.4, "erpo": 0.5}, seeds=2)
    path = tmp_path / "grpo" / "seed-0" / "metrics.jsonl"
    path.write_text(path.read_text().replace("total_flops_sgpo", "other"))
    comparison = compare([tmp_path])
    assert comparison.axes == ["rollouts", "tokens", "flops", "seconds"]
    assert "Nothing is compared at equal FLOPs, every row, because not every run records it." in notes(comparison)
    with pytest.raises(UserError, match=r"--x flops_sgpo: .*seed-0 does not record it; choose another of rollouts"):
        compare([tmp_path], axis="flops_sgpo")


@pytest.mark.parametrize("value", ["null", '"0.9"', "NaN", "Infinity", "[]"])
def test_values_that_are_not_numbers_are_no_evaluations(tmp_path, value):
    path = write_arm_run(tmp_path / "run") / "metrics.jsonl"
    lines = [f'{{"step": 21, "total_rollouts": 2100, "eval/accuracy": {value}, "seconds": 1.0}}\n']
    path.write_text(path.read_text() + "".join(lines))
    assert compare([tmp_path]).runs[0].curves["eval/accuracy"]["rollouts"].end == 2000


def test_a_cost_that_is_not_a_number_is_not_compared(tmp_path):
    path = write_arm_run(tmp_path / "run") / "metrics.jsonl"
    path.write_text(path.read_text().replace('"total_flops": 15000000000.0', '"total_flops": NaN'))
    assert "flops" not in compare([tmp_path]).axes


@pytest.mark.parametrize("seed", ["inf", "nan", '"a"', "1.5", "[1]"])
def test_a_seed_that_is_no_number_is_refused(tmp_path, seed):
    path = write_arm_run(tmp_path / "run") / "config.toml"
    path.write_text(path.read_text().replace("seed = 0", f"seed = {seed}"))
    with pytest.raises(RunError, match=r"config\.toml: train\.seed is .*, which is no whole number"):
        compare([tmp_path])
