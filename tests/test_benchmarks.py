"""The rules of the benchmarks, and that the pages say what the numbers give."""

import json
import re
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rekindle.config import Config, read_toml
from rekindle.observability.runs import Run
from rekindle.recipes import on_given_tasks, resolve
from rekindle.types import Task

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import arms  # noqa: E402
import intervals  # noqa: E402
import method_pages  # noqa: E402
import methods  # noqa: E402
import overhead  # noqa: E402
import posterior_recycling  # noqa: E402
import regimes  # noqa: E402
import search_agent  # noqa: E402
import self_play_check  # noqa: E402
import smollm2  # noqa: E402
import trl_cost  # noqa: E402
import trl_recipes  # noqa: E402

# -- the rules of the comparison --------------------------------------------------------------------------------------


def evaluations(*accuracies, every=100, start=0):
    return [
        {"total_generated_tokens": start + every * index, "eval/accuracy": accuracy, "total_flops": 10.0 * index}
        for index, accuracy in enumerate(accuracies)
    ]


def test_accuracy_is_over_the_last_part_of_the_tokens():
    late = methods.late_evaluations(evaluations(*[0.1] * 41))
    # 4,000 tokens: after 3,400.
    assert [line["total_generated_tokens"] for line in late] == [3500, 3600, 3700, 3800, 3900, 4000]


def test_a_profile_does_not_stretch_the_window():
    late = methods.late_evaluations(evaluations(*[0.1] * 41, start=30_000))
    assert [line["total_generated_tokens"] for line in late] == [33500, 33600, 33700, 33800, 33900, 34000]


def test_at_least_four_evaluations_and_never_the_start():
    assert len(methods.late_evaluations(evaluations(*[0.1] * 9))) == 4
    assert [line["eval/accuracy"] for line in methods.late_evaluations(evaluations(0.9, 0.1, 0.2))] == [0.1, 0.2]


def test_flops_until_the_smoothed_accuracy_is_there():
    # Means of three: .4 .5 .6 .7
    curve = evaluations(0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
    assert methods.flops_to_reach(curve, 0.5) == 30.0
    assert methods.flops_to_reach(curve, 0.75) is None
    # A single evaluation above the level is not enough.
    assert methods.flops_to_reach(evaluations(0.3, 0.9, 0.3, 0.3), 0.6) is None


def test_comparison_and_example_are_the_same_task():
    compared, example = (read_toml(ROOT / path) for path in ("benchmarks/methods.toml", "examples/spell_backward.toml"))
    assert compared["eval"].pop("every") < example["eval"].pop("every")
    assert compared["train"].pop("tokens")
    assert example["train"].pop("rollouts")
    assert compared["task"].pop("pool_size") <= example["task"].pop("pool_size")
    assert compared == example


@pytest.mark.parametrize("recipe", on_given_tasks())
def test_every_recipe_can_be_compared(recipe):
    config = resolve(ROOT / "benchmarks" / "methods.toml", recipe)
    assert isinstance(config, Config)
    assert config.train.steps is None
    assert config.train.rollouts is None


def test_every_recipe_is_of_one_kind_and_has_its_page():
    listed = [recipe for recipes in method_pages.KINDS.values() for recipe in recipes]
    assert sorted(listed) == sorted(on_given_tasks())
    for recipe in on_given_tasks():
        page = method_pages.page_of(ROOT / "docs", recipe).read_text(encoding="utf-8")
        assert f"rekindle train benchmarks/methods.toml --recipe {recipe} --seed 0" in page


# -- scheduling's cost ------------------------------------------------------------------------------------------------


def test_overhead_leaves_evaluation_out():
    steps = [
        {"time/schedule": 0.01, "seconds": 1.5, "time/evaluate": 0.5},
        {"time/schedule": 0.03, "seconds": 1.0, "time/evaluate": 0.0},
        {"time/schedule": 0.05, "seconds": 2.0, "time/evaluate": 1.0},
    ]
    found = overhead.overhead(steps)
    assert found == pytest.approx({"steps": 3, "median_share": 0.03, "total_share": 0.03, "milliseconds": 30})
    made = [{"date": "2026-11-30", "revision": "a", "machine": "2 cores"}]
    text = overhead.table({"made": made, "recipes": {"grpo": found}})
    assert "Above it: `grpo`. Measured 2026-11-30 at revision a, on 2 cores." in text
    below = {"grpo": {**found, "median_share": 0.02}}
    assert "No recipe is above it." in overhead.table({"made": made, "recipes": below})


# -- posterior recycling ----------------------------------------------------------------------------------------------


def test_quarters_of_a_run():
    steps = [{"groups/trained": trained, "groups/asked": 10} for trained in (8, 8, 6, 6, 4, 4, 2, 0)]
    found = posterior_recycling.signal_shares(steps)
    assert found["quarters"] == [0.8, 0.6, 0.4, 0.1]
    assert found["share"] == pytest.approx(38 / 80)


def test_the_simulated_start_is_that_of_the_start_policy():
    # Of the profile of the embedded start policy: 0.33 solved, 0.38 of the prompts never in 8 rollouts.
    rates = posterior_recycling.start_rates(200_000, np.random.default_rng(0))
    assert rates.mean() == pytest.approx(0.33, abs=0.005)
    assert ((1 - rates) ** 8).mean() == pytest.approx(0.383, abs=0.005)
    assert (rates**8).mean() == pytest.approx(0.055, abs=0.005)


def test_a_frozen_run_spends_the_budget():
    found = posterior_recycling.frozen("posterior_recycle", 384, 0)
    assert found["share"] > posterior_recycling.frozen("grpo", 384, 0)["share"]
    assert found == posterior_recycling.frozen("posterior_recycle", 384, 0)


CONSUMES_TRAINED = {"priority": {"sharpness": 0.0, "consume": "trained"}, "train": {"oversample": 2}}


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        pytest.param("grpo", {"priority": {"sharpness": 0.0, "consume": "drawn"}}, marks=pytest.mark.slow),
        pytest.param("recycle", CONSUMES_TRAINED | {"pool": {"reset_below": 0.25}}, marks=pytest.mark.slow),
        ("soft_recycle", CONSUMES_TRAINED | {"pool": {"reset_below": 0.25, "alpha": 0.1}}),
    ],
)
def test_the_relatives_that_the_page_names_are_settings(recipe, settings):
    assert posterior_recycling.frozen("posterior_recycle", 384, 0, settings) == posterior_recycling.frozen(
        recipe, 384, 0
    )


# -- blocks and pages -------------------------------------------------------------------------------------------------


def run(accuracy, reach=2e9, **other):
    """A measured run with every key that the tables read."""
    keys = [key for _, key, _, _ in (*method_pages.ALWAYS, *method_pages.WHERE_THERE_ARE_ANY)]
    curve = [(0, 0.3), (100, accuracy)]
    reached = {"0.70": reach, "0.75": None}
    return {
        **dict.fromkeys(keys, 1.0),
        "date": "2026-11-28",
        "revision": "0123abcde",
        "accuracy": accuracy,
        "evaluations": 4,
        "reach": reached,
        "curve": curve,
    } | other


def test_a_table_shows_null_results_as_such():
    results = {"grpo": [run(0.7), run(0.8)], "erpo": [run(0.8, 1e9, hot_groups=5), run(0.7, 1e9, hot_groups=7)]}
    text = method_pages.table(results, "erpo")
    assert "no difference seen (+0.000 ± 1.271)" in text
    assert "| groups at a raised temperature | 1 | 6 ± 1 |  |" in text
    assert "| FLOPs until accuracy 0.70 | 2.00e+09 | 1.00e+09 | x 0.50 (0.50 to 0.50) |" in text
    assert "| FLOPs until accuracy 0.75 | reached by 0 of 2 seeds | reached by 0 of 2 seeds |  |" in text
    assert text.endswith(" Measured 2026-11-28 at revision 0123abcde.\n")


def test_nothing_is_compared_where_a_seed_is_missing():
    results = {"grpo": [run(0.7), run(0.8)], "spo": [run(0.7, None), run(0.8, signal_share=None)]}
    text = method_pages.table(results, "spo")
    assert "| FLOPs until accuracy 0.70 | 2.00e+09 | reached by 1 of 2 seeds |  |" in text


def test_a_block_is_replaced_between_its_markers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "a\n<!-- measured: x -->\nold\n<!-- end measured -->\nb\n<!-- measured: y -->\n<!-- end measured -->\n"
    )
    arms.replace_block(page, "x", "new \\1\n")
    assert arms.block(page.read_text(), "x") == "new \\1\n"
    assert arms.block(page.read_text(), "y") == ""
    assert page.read_text().startswith("a\n<!-- measured: x -->\nnew")
    with pytest.raises(SystemExit, match="no markers of z"):
        arms.replace_block(page, "z", "")


def test_pages_and_curves_are_written_from_the_results(tmp_path):
    folder = tmp_path / "methods"
    folder.mkdir()
    for name in ("grpo", "erpo", "overview"):
        (folder / f"{name}.md").write_text(f"<!-- measured: {name} -->\n<!-- end measured -->\n")
    results = {"grpo": [run(0.7), run(0.8)], "erpo": [run(0.8), run(0.7)]}
    method_pages.write(tmp_path, results)
    for name, text in method_pages.blocks(results, tmp_path).items():
        assert arms.block((folder / f"{name}.md").read_text(encoding="utf-8"), name) == text
    assert (tmp_path / "images" / "methods" / "erpo.svg").read_text(encoding="utf-8").startswith("<svg")
    assert "[`erpo`](erpo.md)" in (folder / "overview.md").read_text(encoding="utf-8")


def test_finished_runs_are_kept_and_others_refused(tmp_path):
    record = tmp_path / arms.DONE
    record.write_text(json.dumps({"arguments": ["a.toml"], "exit": 0}))
    arms.train(["a.toml"], tmp_path)
    with pytest.raises(SystemExit, match=re.escape("holds a run of `rekindle train a.toml`")):
        arms.train(["b.toml"], tmp_path)


def test_damaged_results_and_missing_rows_end_in_a_sentence(tmp_path):
    broken = tmp_path / "results.json"
    broken.write_text('{"x": ')
    with pytest.raises(SystemExit, match=r"results.json cannot be read \(Expecting value.*take it from git again"):
        arms.read_results(broken)
    with pytest.raises(SystemExit, match=r"rows.jsonl cannot be read .*; give the directory that holds it"):
        arms.read_rows(tmp_path / "rows.jsonl")


def test_unknown_regimes_are_named(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["regimes.py", "--only", "nonsense"])
    with pytest.raises(SystemExit, match="2"):
        regimes.main()
    assert "unknown regimes: nonsense; there are development, " in capsys.readouterr().err


def test_a_table_names_every_date_revision_and_machine():
    runs = [{"date": "2026-11-28", "revision": "b"}, {"date": "2026-11-27", "revision": "a"}]
    assert arms.made_words([*runs, *runs]) == "Measured 2026-11-27 at revision a, 2026-11-28 at revision b."
    named = [{**run, "machine": "2 cores"} for run in runs]
    words = "Measured 2026-11-27 at revision a; 2026-11-27 at revision a, 2026-11-28 at revision b, on 2 cores."
    assert arms.made_words([runs[1], *named]) == words


def test_a_run_knows_when_and_with_what_it_was_made(tmp_path):
    (tmp_path / arms.DONE).write_text(
        json.dumps({"arguments": [], "exit": 0, "date": "2026-11-28", "machine": "2 cores"})
    )
    made = arms.made(Run(tmp_path, {}, {"git_revision": "0123456789abcdef"}, []))
    assert made == {"date": "2026-11-28", "revision": "012345678", "machine": "2 cores"}


def measured(path):
    if not path.exists():
        pytest.skip(f"{path.name} was not measured yet")
    return json.loads(path.read_text(encoding="utf-8"))


def page_block(path, name):
    return arms.block(path.read_text(encoding="utf-8"), name)


def test_pages_of_methods_say_what_was_measured():
    results, docs = measured(methods.RESULTS), ROOT / "docs"
    for name, text in method_pages.blocks(results, docs).items():
        assert page_block(method_pages.page_of(docs, name), name) == text, "run: python benchmarks/methods.py --docs"
    for name, drawing in method_pages.images(results).items():
        assert (docs / "images" / "methods" / name).read_text(encoding="utf-8") == drawing


def test_the_page_of_benchmarks_says_what_scheduling_costs():
    results = measured(overhead.RESULTS)
    assert page_block(ROOT / "docs" / overhead.PAGE, overhead.BLOCK) == overhead.table(results)


def test_the_page_of_posterior_recycling_says_what_was_measured():
    results = measured(posterior_recycling.RESULTS)
    page = ROOT / "docs" / posterior_recycling.PAGE
    assert page_block(page, posterior_recycling.BLOCK) == posterior_recycling.tables(results)


def test_the_page_of_comparisons_says_how_often_equal_arms_are_said_to_differ():
    results = measured(intervals.RESULTS)
    assert page_block(intervals.PAGE, intervals.BLOCK) == intervals.table(results)


def test_shares_of_equal_arms_are_measured_the_same_every_time():
    found = intervals.measure(3, 200)
    assert found == intervals.measure(3, 200)
    assert found["percentile"] > 0.15 > 0.1 > max(found["t"], found["bootstrap"]) >= found["both"]


# -- regimes ----------------------------------------------------------------------------------------------------------


def test_pages_of_regimes_say_what_was_measured():
    results = measured(regimes.RESULTS)
    assert set(results) == set(regimes.REGIMES)
    for name, regime in regimes.REGIMES.items():
        page = ROOT / "docs" / regime.page
        assert page_block(page, name) == regimes.block(name, results[name]), "run: python benchmarks/regimes.py --docs"


def test_the_share_of_variance_between_prompts_by_hand():
    # Shares 0 and 1 of four rollouts each: all variance, 1/2 by the unbiased estimate over 1/4, is between prompts.
    assert regimes.between_share([(0.0, 4), (1.0, 4)]) == pytest.approx(2.0)
    # Equal shares of 1/2: nothing between, and less than nothing once the noise of 4 rollouts is taken off.
    assert regimes.between_share([(0.5, 4), (0.5, 4)]) == pytest.approx(-(0.25 / 3) / 0.25)
    assert regimes.between_share([(1.0, 1), (0.0, 1)]) is None


def test_a_plain_recipe_shares_its_runs_with_the_overview(tmp_path):
    made = regimes.commands("scaled_step", 2, tmp_path)
    assert made["recycling", 1] == (
        ["benchmarks/methods.toml", "--recipe", "recycle", "--seed", "1"],
        tmp_path / "recycle-1",
    )
    own, place = made["recycling, exponent 1", 0]
    assert own[-2:] == ["--set", "optimizer.batch_exponent=1.0"]
    assert place.name == "scaled_step-2-recycle-0"
    assert len({place for _, place in made.values()}) == len(made)


def test_the_page_of_search_agents_says_what_was_measured():
    results = json.loads(search_agent.RESULTS.read_text(encoding="utf-8"))
    written = page_block(search_agent.PAGE, "search_agent")
    assert written == search_agent.page_block(results), "run: python benchmarks/search_agent.py --docs"
    assert search_agent.CURVES.read_text(encoding="utf-8") == search_agent.curves(results)


def test_the_page_of_a_real_model_says_what_was_measured():
    results = json.loads(smollm2.RESULTS.read_text(encoding="utf-8"))
    assert page_block(smollm2.PAGE, smollm2.BLOCK) == smollm2.block(results), "run: python benchmarks/smollm2.py --docs"
    assert smollm2.CURVE.read_text(encoding="utf-8") == smollm2.curve(results)


@pytest.mark.parametrize(
    ("completion", "right"),
    [
        ("42", True),
        ("17 + 25 = 42", True),
        ("17 + 25 equals 42.", True),
        ("17 + 25", False),
        ("17 + 25 = 17 + 25 = 42", False),
        ("The numbers are 17, 25 and 42", False),
        ("17 + 25 = 42\n\n42 is", False),
        ("17 + 25 = 421", False),
        ("", False),
    ],
)
def test_the_second_judge_of_the_example_accepts_nothing_but_the_answer(completion, right):
    assert smollm2.strictly_right(Task("arithmetic/17 + 25", "What is 17 + 25?", "42"), completion) is right


def test_the_page_says_why_the_check_of_self_play_gets_worse():
    results = json.loads(self_play_check.RESULTS.read_text(encoding="utf-8"))
    block = page_block(self_play_check.PAGE, "self_play_check")
    assert block == self_play_check.page_block(results), "run self_play_check.py --docs"


def test_accepted_questions_are_counted_by_hand():
    """Two right questions and two wrong ones, of which one names nobody that the documents mention."""
    documents = [{"text": "see ka lo boss me ti ."}]
    lines: list[dict[str, Any]] = [
        {"question": "ka lo boss ?", "answers": ["me ti"], "true_answers": ["me ti"], "documents": documents},
        {"question": "ka lo home ?", "answers": ["me ti"], "true_answers": ["me ti"], "documents": documents},
        {"question": "mu lo boss ?", "answers": ["me ti"], "true_answers": None, "documents": documents},
        {"question": "ka lo boss home ?", "answers": ["me ti"], "true_answers": ["ru na"], "documents": documents},
    ]
    found = self_play_check.accepted(lines, lambda line: line["question"] in {"ka lo boss ?", "mu lo boss ?"})
    assert found == [1, 2, 1, 2]
    assert [self_play_check.names_nobody(line) for line in lines] == [False, False, True, False]
    assert [self_play_check.hops(line) for line in lines] == [1, 1, 1, 2]


def test_the_lift_of_search_agents_is_counted_by_hand():
    def at(sampled, greedy):
        by_hops = {f"accuracy_{hops}": sampled for hops in (1, 2, 3, 4)} | {
            f"greedy_{hops}": greedy for hops in (1, 2, 3, 4)
        }
        return {"sampled": sampled, "greedy": greedy, **by_hops}

    def run(end):
        zero = [dict.fromkeys("1234", 0.5)] * 4
        return {"start": at(0.3, 0.5), "end": end, "rollouts": 100, "all_cpu_seconds": 9.0, "zero_variance": zero}

    first = [run(at(0.8, 0.9)), run(at(0.9, 1.0)), run(at(0.6, 0.9))]
    text = search_agent.page_block(
        {
            "arms": {arm: first if arm == "GRPO" else [run(at(0.5, 0.7))] * 3 for arm in search_agent.ARMS},
            "sharpened": [dict.fromkeys(("1", "0.7", "0.5", "0.3", "0"), 0.4)] * 3,
        }
    )
    assert "gains 50 points sampled (median; 30 to 60) and 40 points greedy (40 to 50)" in text
    assert "| start policy | 0.30 | 0.50 | 0.30 0.30 0.30 0.30 |" in text


# -- inside TRL -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [trl_recipes, trl_cost])
def test_the_page_of_trl_says_what_was_measured(module):
    said = page_block(module.PAGE, module.BLOCK)
    if not module.RESULTS.exists():
        assert said == "Not measured yet.\n"
        return
    results = json.loads(module.RESULTS.read_text(encoding="utf-8"))
    assert said == module.block(results), f"run: python benchmarks/{module.__name__}.py --docs"


def test_curves_inside_trl_are_those_of_the_results():
    results = json.loads(trl_recipes.RESULTS.read_text(encoding="utf-8")) if trl_recipes.RESULTS.exists() else {}
    for task, runs in results.items():
        assert trl_recipes.curve_file(task).read_text(encoding="utf-8") == trl_recipes.curve(task, runs)


def test_the_cost_of_a_step_by_hand():
    meter = trl_cost.Meter()
    for seconds, trained in [(9.0, 8), (2.0, 4), (4.0, 2), (3.0, 6)]:
        with meter.part("scheduling"), meter.part("records"):
            pass
        assert meter.running["records"] == 0.0, "a part inside a part is not counted twice"
        meter.running |= {"scheduling": 0.02, "credit": 0.01, "records": 0.03, "sampled": 8, "trained": trained}
        meter.end_step(seconds)
    found = meter.summary(skip=1)
    assert (found["step"], found["steps"], found["sampled"], found["trained"]) == (3.0, 3, 8, 4)
    assert (found["scheduling_ms"], found["trained_share"]) == (pytest.approx(20), 0.5)
    assert (found["share"], found["per_1000"]) == (pytest.approx(0.06 / 3), 375.0)


def test_sides_take_turns_until_they_leave():
    turns = trl_cost.Turns(["a", "b"])
    order = []

    def side(name, steps):
        for _ in range(steps):
            turns.begin(name)
            order.append(name)
            turns.end(name)
        turns.end(name, leaves=True)

    threads = [threading.Thread(target=side, args=arguments) for arguments in (("a", 2), ("b", 4))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "".join(order[:4]) == "abab"
    assert order[4:] == ["b", "b"]


def test_a_finished_run_inside_trl_is_summed_up(tmp_path):
    folder = tmp_path / "toy-trl-3"
    folder.mkdir()
    about = {"steps": 4, "rows": 8, "limit": 2}
    (folder / "finished.json").write_text(json.dumps({"about": about, "seed": 3, "date": "d", "revision": "r"}))
    rows = [
        [{"prompt": "p", "completion": "a", "verifier": n < right, "strict": False} for n in range(4)]
        for right in (1, 3)
    ]
    lines = [{"step": 4 * i, "accuracy": 0.5, "cpu_seconds": 7.0 * i, "rows": some} for i, some in enumerate(rows)]
    (folder / "evaluations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "toy-grpo-3").mkdir()
    measured = trl_recipes.measured_in(tmp_path)
    ((_, (run,)),) = measured["toy"].items()
    assert (run["start_verifier"], run["end_verifier"], run["end_strict"]) == (0.25, 0.75, 0.0)
    assert (run["rollouts"], run["cpu_seconds"], run["curve"]) == (32, 7.0, [(0, 0.5), (32, 0.5)])
    assert "| verifier, at the end | 0.75 |" in trl_recipes.block(measured)
    assert "last number" not in trl_recipes.block(measured)
