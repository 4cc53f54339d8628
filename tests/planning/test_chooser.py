"""The chooser: distances and verdicts worked by hand, properties, hostile tables, and its place in a plan."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.planning.choice_words import axes_rows, said, standing_rows
from rekindle.planning.chooser import AXES, choose, distance, size_of, standings
from rekindle.planning.measured import Comparison, Difference, MeasuredRegime, measured_regimes, regime_of_json
from rekindle.planning.own_regime import choice_of, own_axes
from rekindle.planning.pass_rates import PassRates, grouped_rates
from rekindle.planning.plan_page import render_page
from rekindle.planning.plan_recipes import arms_of
from rekindle.planning.planner import PlanSettings, make_plan
from rekindle.planning.totals import Horizon
from rekindle.statistics.intervals import Interval

OWN = {
    "never": 0.4,
    "always": 0.1,
    "visits": 2.0,
    "completion_tokens": 10.0,
    "prompt_tokens": 10.0,
    "generation_share": 0.5,
    "group_size": 4.0,
    "parameters": 2e5,
}


def difference(mean, half=0.01, p=0.001, seeds=5):
    return Difference(mean, Interval(mean - half, mean + half), p, seeds)


def comparison(recipe, mean, half=0.01, p=0.001, settings=(), spent=1.0, to_target=None):
    target = {} if to_target is None else {"flops": difference(to_target, half, p)}
    return Comparison(
        arm=recipe,
        recipe=recipe,
        settings=settings,
        accuracy={"rollouts": difference(mean, half, p)},
        spent={"flops": difference(spent)},
        to_target=target,
    )


def regime(*comparisons, name="a", baseline="grpo", **axes):
    return MeasuredRegime(
        name=name,
        words=f"the task {name}",
        page="evidence/a.md",
        made="",
        baseline=baseline,
        axes=OWN | axes,
        start="the first step",
        comparisons=comparisons,
    )


def chosen(*regimes, **own):
    return choose({4: OWN | own}, regimes)


# -- distances --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("axis", "own", "theirs", "apart"),
    [
        ("never", 0.4, 0.5, 0.5),  # of a reach of 0.2
        ("always", 0.1, 0.4, 1.5),
        ("visits", 2.0, 8.0, 1.0),  # a factor of 4
        ("visits", 2.0, 1.0, 0.5),
        ("completion_tokens", 10.0, 2560.0, 2.0),  # 16 times 16
        ("prompt_tokens", 10.0, 40.0, 0.5),
        ("generation_share", 0.5, 0.8, 1.0),
        ("group_size", 8.0, 4.0, 0.5),
        ("parameters", 2e5, 2e9, 2.0),  # 100 times 100
    ],
)
def test_distances_by_hand(axis, own, theirs, apart):
    near = distance(OWN | {axis: own}, regime(**{axis: theirs}))
    assert near.apart[axis] == pytest.approx(apart)
    assert near.distance == pytest.approx(apart), "all others are equal"
    assert near.furthest == axis
    assert near.is_like == (near.distance <= 1)


def test_what_one_side_does_not_know_is_left_out():
    near = distance(OWN | {"parameters": math.nan}, regime(visits=4.0))
    assert set(near.apart) == set(AXES) - {"parameters"}
    assert distance(OWN | {"never": math.nan}, regime()).distance == math.inf
    assert distance({}, regime()).distance == math.inf


# -- verdicts ---------------------------------------------------------------------------------------------------------


def test_a_table_by_hand():
    """Three recipes: p-values .01, .02 and .04 become .03, .04 and .04; the first is ahead, the second behind."""
    found = chosen(
        regime(comparison("erpo", 0.03, p=0.01), comparison("dapo", -0.02, p=0.02), comparison("rloo", 0.005, p=0.04))
    )
    assert [(one.comparison.recipe, one.side) for one in found.accuracy] == [("erpo", 1), ("rloo", 0), ("dapo", -1)]
    assert [one.adjusted for one in found.accuracy] == pytest.approx([0.03, 0.04, 0.04])
    assert found.ahead is found.accuracy[0]
    text = " ".join(said(found))
    assert "Recommended by measurement: erpo. It ended above grpo by +0.030 (+0.020 to +0.040) in the task a" in text
    assert "Below grpo: dapo -0.020 (-0.030 to -0.010)." in text
    assert "No difference to grpo seen of rloo." in text
    assert "1 measured regime like yours; the nearest is the task a (docs/evidence/a.md), at 0.00 of" in text


def test_what_does_not_survive_the_correction_is_not_recommended():
    alone = regime(comparison("erpo", 0.03, p=0.03))
    assert chosen(alone).ahead is not None
    several = regime(comparison("erpo", 0.03, p=0.03), comparison("dapo", 0.0, p=0.9))
    assert chosen(several).ahead is None
    assert "Recommended by measurement: grpo. Of 2 recipes compared" in " ".join(said(chosen(several)))


@pytest.mark.parametrize("made", [comparison("erpo", 0.03, half=0.04), comparison("erpo", 0.03, half=math.nan)])
def test_no_recommendation_without_an_interval_that_leaves_out_0(made):
    assert chosen(regime(made)).ahead is None


def test_the_nearest_regime_speaks_and_the_opposite_elsewhere_is_heard():
    near = regime(comparison("erpo", 0.03), name="near", visits=2.2)
    far = regime(comparison("erpo", -0.03), name="far", visits=6.0)
    found = chosen(far, near)
    assert found.accuracy[0].regime is near
    assert (found.ahead, found.accuracy[0].side, found.accuracy[0].against) == (None, 0, ("far",))
    assert "Left open, because another regime like yours shows the opposite: erpo (far)." in " ".join(said(found))
    elsewhere = replace(far, axes=far.axes | {"visits": 60.0})
    assert chosen(elsewhere, near).ahead is not None, "it is not like the user's"
    agrees = replace(far, comparisons=(comparison("erpo", 0.0),))
    assert chosen(agrees, near).ahead is not None, "no difference is no opposite"


def test_of_ties_the_cheaper_one_is_taken():
    tied = regime(comparison("mopps", 0.031, spent=3.0), comparison("erpo", 0.025, spent=1.2))
    assert chosen(tied).ahead.comparison.recipe == "erpo"
    apart = regime(comparison("mopps", 0.08, spent=3.0), comparison("erpo", 0.025, spent=1.2))
    found = chosen(apart)
    assert found.ahead.comparison.recipe == "mopps"
    text = " ".join(said(found))
    assert "with 3.00 times (2.99 to 3.01) its FLOPs. That pays where generation is what costs." in text
    assert "Above grpo, too: erpo +0.025" in text


def test_the_cost_of_the_accuracy_of_grpo_is_a_question_of_its_own():
    found = chosen(regime(comparison("erpo", 0.0, to_target=0.6), comparison("dapo", 0.0, to_target=1.5)))
    assert found.ahead is None
    assert found.cheaper.comparison.recipe == "erpo"
    assert [one.side for one in found.cost] == [-1, 1]
    assert "erpo reaches the accuracy that grpo ends with at 0.60 times (0.59 to 0.61) its FLOPs" in " ".join(
        said(found)
    )


def test_one_arm_of_a_recipe_is_looked_at():
    own = comparison("erpo", 0.01, p=0.04)
    controls = [
        comparison("erpo", 0.2, settings=("heating.delta=0",)),
        comparison("erpo", 0.3, settings=("a=1", "b=2")),
    ]
    (one,) = standings(regime(*controls, own))
    assert (one.comparison, one.adjusted) == (own, 0.04)


def test_another_baseline_recommends_nothing():
    found = chosen(regime(comparison("sgpo", 0.1), baseline="dapo"))
    assert found.like
    assert (found.ahead, found.accuracy) == (None, ())
    assert "No recipe was compared with grpo in regimes like yours" in " ".join(said(found))


def test_beyond_the_limits_no_regime_is_like_it():
    found = chosen(regime(comparison("erpo", 0.1)), parameters=7e9)
    assert (found.like, found.ahead) == ((), None)
    (text,) = said(found)
    assert "No regime like yours was measured, so nothing but grpo is recommended." in text
    assert "by parameters of the model (200k, yours 7B)" in text


# -- properties -------------------------------------------------------------------------------------------------------

shares = st.floats(0, 1)
factors = st.floats(1e-3, 1e12)
values = st.fixed_dictionaries(
    {name: factors if axis.as_ratio else shares for name, axis in AXES.items() if name != "group_size"}
)
recipes = st.lists(
    st.builds(
        comparison,
        st.sampled_from(["erpo", "dapo", "recycle", "mopps"]),
        st.floats(-0.5, 0.5),
        st.floats(0, 0.5),
        st.floats(0, 1),
        spent=st.floats(0.1, 10),
    ),
    max_size=4,
)
tables = st.lists(st.tuples(values, recipes), min_size=1, max_size=6).map(
    lambda rows: [regime(*made, name=str(row), **axes) for row, (axes, made) in enumerate(rows)]
)


@given(tables, values, st.randoms(use_true_random=False))
def test_the_order_of_the_table_does_not_matter(table, own, random):
    shuffled = random.sample(table, len(table))
    assert chosen(*table, **own) == chosen(*shuffled, **own) == chosen(*table, **own)


@given(tables, st.data())
def test_a_regime_that_was_measured_is_found(table, data):
    wanted = data.draw(st.sampled_from(table))
    found = choose({4: wanted.axes}, table)
    assert found.near[0].distance == 0
    assert found.near[0].regime.axes == wanted.axes


@given(tables, values)
def test_a_recommendation_has_its_grounds(table, own):
    found = chosen(*table, **own)
    assert [one.distance for one in found.near] == sorted(one.distance for one in found.near)
    if found.ahead is not None:
        assert found.ahead.regime in [one.regime for one in found.like]
        assert found.ahead.difference.interval.low > 0
        assert found.ahead.difference.p <= found.ahead.adjusted <= 0.05 + 1e-12
    assert all(text.endswith(".") for text in said(found))


@given(values, values)
def test_a_distance_is_the_same_from_both_sides(one, other):
    ours, theirs = regime(**one), regime(**other)
    assert distance(ours.axes, theirs).distance == pytest.approx(distance(theirs.axes, ours).distance)


# -- hostile tables ---------------------------------------------------------------------------------------------------

BAD = st.sampled_from([math.nan, math.inf, -math.inf, -1.0, 0.0, 1e308])


@given(st.dictionaries(st.sampled_from(list(AXES)), BAD), st.dictionaries(st.sampled_from(list(AXES)), BAD))
def test_numbers_that_are_none_are_never_compared(own, theirs):
    broken = regime(comparison("erpo", math.nan), comparison("dapo", 0.1, half=math.nan, p=math.nan), **theirs)
    found = choose({4: OWN | own, 0: OWN}, [broken])
    assert found.ahead is None
    assert all(math.isfinite(one.distance) for one in found.near)
    assert list(said(found))
    for near in found.near:
        assert all(math.isfinite(value) for value in near.apart.values())
        assert len(list(axes_rows(near))) == len(AXES)


def test_an_empty_table_recommends_nothing():
    found = choose({4: OWN}, [])
    assert (found.near, found.accuracy, found.ahead) == ((), (), None)
    assert list(said(found)) == ["No measured regime can be compared with yours, so nothing but grpo is recommended."]
    assert size_of(regime(group_size=math.nan)) == 0
    assert choose({}, [regime(comparison("erpo", 0.1))]).near == ()


def test_a_regime_without_comparisons_is_a_regime():
    found = chosen(regime())
    assert found.like
    assert found.ahead is None


# -- in a plan --------------------------------------------------------------------------------------------------------


def plan_of(successes, samples, *, horizon, sizes=(4,), parameters=215_488, recipes=("grpo",), lengths=9.0):
    right, asked, prompts, _ = grouped_rates(successes, samples, where="counts")
    rates = PassRates(
        successes=right,
        samples=asked,
        prompts=prompts,
        sampled_tokens=np.full(len(prompts), lengths),
        prompt_tokens=lengths,
    )
    found, _ = arms_of(recipes, sizes, 16)
    settings = PlanSettings(prompts=len(successes), horizon=horizon, words="so far", gain=0.0, gain_known=True)
    plan = make_plan(rates, found, settings)
    plan.parameters = parameters
    return plan


def test_the_numbers_of_a_plan_by_hand():
    """200 prompts that are solved half of the time: a sixteenth of the groups of 4 is all wrong, and all correct."""
    plan = plan_of([500] * 200, [1000] * 200, horizon=Horizon(rollouts=3200), sizes=(8,))
    own = own_axes(plan, 4)
    assert own["never"] == pytest.approx(1 / 16, abs=0.003)
    assert own["always"] == pytest.approx(1 / 16, abs=0.003)
    assert own["visits"] == 3200 / 4 / 200
    assert (own["completion_tokens"], own["prompt_tokens"], own["group_size"], own["parameters"]) == (9, 9, 8, 215_488)
    # Groups of 8 read 9 tokens and sample 72, and all but 2 in 256 are trained on: 81 / (81 + 3 * 81 * 254 / 256).
    assert own["generation_share"] == pytest.approx(1 / (1 + 3 * 254 / 256), abs=0.01)


@pytest.mark.parametrize(
    ("horizon", "visits"),
    [
        (Horizon(groups=200), 1.0),
        (Horizon(steps=25), 25 * 16 / 200),
        (Horizon(steps=25, rollouts=400), 400 / 4 / 200),
    ],
)
def test_visits_until_the_first_bound(horizon, visits):
    assert own_axes(plan_of([2] * 200, [8] * 200, horizon=horizon), 4)["visits"] == visits


def test_what_a_plan_does_not_know_is_left_out():
    plan = plan_of([2] * 50, [8] * 50, horizon=Horizon(groups=50), parameters=0, recipes=("dapo",), lengths=math.nan)
    own = own_axes(plan, 4)
    unknown = {name for name, value in own.items() if math.isnan(value)}
    assert unknown == {"parameters", "completion_tokens", "prompt_tokens", "generation_share"}
    assert plan.choice.near


def test_a_plan_says_and_shows_what_was_measured(monkeypatch):
    plan = plan_of(np.arange(200) % 9, [8] * 200, horizon=Horizon(groups=200))
    own = own_axes(plan, 4)
    table = (regime(comparison("erpo", 0.03), comparison("dapo", -0.03), **own),)
    monkeypatch.setattr("rekindle.planning.own_regime.measured_regimes", lambda: table)
    found = choice_of(plan)
    assert found.near[0].distance == 0
    assert [row[:3] for row in standing_rows(found)] == [
        ("erpo", "+0.030 (+0.020 to +0.040)", "ahead"),
        ("dapo", "-0.030 (-0.040 to -0.020)", "behind"),
    ]
    assert plan.text.splitlines()[-4].startswith("Recommended by measurement: erpo.")
    page = render_page(plan, plan.parameters, plan.advice)
    assert '<section id="what-was-measured">' in page
    assert "Beside the nearest: the task a" in page
    monkeypatch.setattr("rekindle.planning.own_regime.measured_regimes", tuple)
    assert '<section id="what-was-measured">' not in render_page(plan, plan.parameters, plan.advice)


# -- the table of the package -----------------------------------------------------------------------------------------


def test_the_package_has_its_table():
    found = measured_regimes()
    assert found
    for one in found:
        assert size_of(one) > 0
        assert set(one.axes) <= set(AXES)
        assert all(axis.known(one.axes[name]) for name, axis in AXES.items() if name in one.axes)
        assert choose({size_of(one): one.axes}, found).near[0].distance == 0
        assert all(made.ends is not None and made.ends.seeds > 0 for made in one.comparisons)


def test_a_regime_is_read_as_it_was_written():
    entry = {"mean": 0.1, "low": None, "high": None, "p": None, "seeds": 1}
    made = {
        "arm": "A",
        "recipe": "dapo",
        "settings": ["a=1"],
        "accuracy": {"tokens": entry},
        "spent": {},
        "to_target": {},
    }
    found = regime_of_json(
        json.loads(
            json.dumps(
                {
                    **{key: key for key in ("name", "words", "page", "made", "baseline", "start")},
                    "axes": {"never": 0.5},
                    "comparisons": [made],
                }
            )
        )
    )
    (one,) = found.comparisons
    assert one.ends is not None
    assert (one.ends.mean, one.ends.interval.known, one.ends.side()) == (0.1, False, 0)
    assert (found.name, one.settings) == ("name", ("a=1",))
