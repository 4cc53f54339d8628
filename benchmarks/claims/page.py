"""The measured block of a claim's page: verdicts, tables, curves, commands, samples, what it took."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import arms
from claims.claim import Claim, Finding, PlannedRun, Setting, Value
from claims.numbers import AXES
from claims.values import HOLDS, Results, Verdict, numbers_of, verdict
from rekindle.statistics.words import cell, paired

__all__ = ["NOT_MEASURED", "block", "curves"]

NOT_MEASURED = "Not measured yet.\n"
Measured = Mapping[str, Any]
"""``settings``: setting -> arm -> seed -> numbers."""

COLUMNS = {
    "accuracy@rollouts": ("accuracy", ".3f"),
    "accuracy@tokens": ("accuracy at equal tokens", ".3f"),
    "area@rollouts": ("mean accuracy of the run", ".3f"),
    "greedy": ("greedy", ".3f"),
    "lowest_late": ("lowest of the second half", ".3f"),
    "steps": ("steps", ",.0f"),
    "updates": ("updates", ",.0f"),
    "rollouts": ("rollouts", ",.0f"),
    "tokens": ("tokens", ",.0f"),
    "flops": ("FLOPs", ".2e"),
    "flops_paper": ("FLOPs by the paper's account", ".2e"),
    "cpu_seconds": ("CPU seconds", ",.0f"),
    "wall_seconds": ("wall seconds", ",.0f"),
    "flops@target": ("FLOPs to the target", ".2e"),
    "flops_every_row@target": ("with every row", ".2e"),
    "flops_every_row_shared@target": ("with every row, prompts shared", ".2e"),
    "flops_paper@target": ("to the target by the paper's account", ".2e"),
    "tokens@target": ("tokens to the target", ",.0f"),
    "cpu_seconds@target": ("CPU seconds to the target", ",.0f"),
    "mixed_quarters[0]": ("groups with signal, 1st quarter", ".2f"),
    "mixed_quarters[-1]": ("with signal, last quarter", ".2f"),
    "all_correct_quarters[0]": ("all correct, 1st quarter", ".2f"),
    "all_correct_quarters[-1]": ("all correct, last quarter", ".2f"),
    "all_wrong_quarters[0]": ("all wrong, 1st quarter", ".2f"),
    "all_wrong_quarters[-1]": ("all wrong, last quarter", ".2f"),
    "batch_quarters[-1]": ("groups of an update, last quarter", ".1f"),
    "recycled_share": ("recycled share, last quarter", ".2f"),
    "frozen_share": ("with a frozen policy", ".2f"),
    "rescued_easy_share": ("too easy at first, of the recycled", ".2f"),
    "frozen_rescued_easy_share": ("with a frozen policy", ".2f"),
    "all_correct_share": ("all correct, of those asked", ".2f"),
    "frozen_all_correct_share": ("with a frozen policy", ".2f"),
    "flips_up": ("prompts that rose, of those visited twice", ".2f"),
    "flips_down": ("that fell", ".2f"),
    "pool_resets": ("resets", ".1f"),
    "pool_live": ("live at the end", ",.0f"),
    "hot": ("groups at a raised temperature", ",.0f"),
    "revived": ("with signal again", ",.0f"),
    "entropy_quarters[0]": ("entropy, 1st quarter", ".2f"),
    "entropy_quarters[-1]": ("entropy, last quarter", ".2f"),
    "length_quarters[-1]": ("length, last quarter", ".1f"),
    "grad_norm_quarters[0]": ("norm of the gradient, 1st quarter", ".2f"),
    "grad_norm_quarters[-1]": ("last quarter", ".2f"),
    "truncated_quarters[-1]": ("cut at the limit, last quarter", ".2f"),
    "profile_tokens": ("tokens of the profile", ",.0f"),
    "audit_recomputed[0]": ("second judge, start", ".3f"),
    "audit_recomputed[-1]": ("second judge, end", ".3f"),
    "signal_after_solved": ("with signal at the visit after an all-correct one", ".3f"),
    "play_valid_rate[-1]": ("valid questions, last quarter", ".2f"),
    "play_solver_success[-1]": ("solver, last quarter", ".2f"),
    "play_reference_success[-1]": ("reference policy, last quarter", ".2f"),
    "play_right[0]": ("right among accepted, 1st quarter", ".2f"),
    "play_right[-1]": ("last quarter", ".2f"),
    "levels_end[-1]": ("accuracy of the hardest level", ".2f"),
    "accuracy@flops": ("accuracy at equal FLOPs", ".3f"),
    "start": ("start", ".3f"),
}
"""Words and format of the numbers of tables."""
COMPARED = "accuracy@rollouts"
ALWAYS = (COMPARED, "accuracy@tokens", "area@rollouts", "greedy")
COSTS = ("updates", "tokens", "flops", "cpu_seconds", "wall_seconds")
JUDGED = ("audit_recomputed[-1]",)
COLOURS = ("#7d8794", "#c2491d", "#2f6fb5", "#2f9e6f", "#8a6fb5", "#d99a22", "#5a3d2b", "#b5485f")


def block(claim: Claim, measured: Measured) -> str:
    """The page's block; ``NOT_MEASURED`` without results."""
    there = {name: setting for name, setting in claim.settings.items() if name in measured.get("settings", {})}
    if not there:
        return NOT_MEASURED
    parts = [_verdicts(claim, measured)]
    parts += [_setting(claim, name, setting, measured["settings"][name]) for name, setting in there.items()]
    if missing := [setting.words for name, setting in claim.settings.items() if name not in there]:
        parts.append(f"Not measured yet: {'; '.join(missing)}.\n")
    parts.append(_made(measured))
    return "\n".join(parts)


def _verdicts(claim: Claim, measured: Measured) -> str:
    """A line for each finding."""
    lines = [["finding", "where", "verdict", "ours", "theirs", "paired, 95 %"]]
    count = 0
    for finding in claim.findings:
        results = measured["settings"].get(finding.setting)
        words = claim.settings[finding.setting].words
        if results is None:
            lines.append([finding.words, words, "not measured yet", "", "", ""])
            continue
        found = verdict(finding, results)
        count += found.paired.t.known
        shown = f"**{found.word}**" if found.word == HOLDS else found.word
        sides = [_value_cell(results, side) for side in (finding.ours, finding.theirs)]
        lines.append([finding.words, words, shown, *sides, _interval(finding, found)])
    note = f"Of {count} intervals at 95 %, {0.05 * count:.1f} leave out 0 by chance alone on average."
    return f"{arms.markdown_table(lines)}\n{note}\n"


def _value_cell(results: Results, value: Value) -> str:
    words, form = COLUMNS[value.key]
    return f"{value.arm}: {_cell(numbers_of(results, value), form)} ({words})"


def _interval(finding: Finding, found: Verdict) -> str:
    """The difference or ratio with its interval, and how many seeds had no value."""
    pairs, t = found.paired, found.paired.t
    left_out = f"; {pairs.left_out} seeds without a value" if pairs.left_out else ""
    if found.bound:
        runs = (
            "a seed never got there, and counts"
            if found.unreached == 1
            else f"{found.unreached} seeds never got there, and count"
        )
        left_out = f"; {runs} with all that was spent"
    if not pairs.count:
        return left_out.removeprefix("; ")
    if finding.as_ratio:
        limits = t.exponential()
        known = f" ({limits.low:.2f} to {limits.high:.2f})" if t.known else " (one seed)"
        return f"{found.bound} x {math.exp(pairs.mean):.2f}{known}{left_out}".strip()
    known = f" ({t.low:+.3f} to {t.high:+.3f})" if t.known else " (one seed)"
    return f"{pairs.mean:+.3f}{known}{left_out}"


def _setting(claim: Claim, name: str, setting: Setting, results: Results) -> str:
    seeds = len(next(iter(results.values())))
    taken = [run["all_cpu_seconds"] for runs in results.values() for run in runs.values()]
    head = (
        f"{setting.words[0].upper()}{setting.words[1:]}. Seeds: {seeds}. A run took {statistics.fmean(taken):,.0f} CPU "
        f"seconds on average, all {len(taken)} together {sum(taken) / 60:,.0f} minutes.{_refused(setting)}"
    )
    image = claim.image(name)
    drawn = f"![Accuracy against rollouts: {setting.words}](../images/evidence/{image.name})"
    commands = [f"    {_command(setting.run(name, arm, 0))}    # {arm}" for arm in results]
    parts = [f"## {name.replace('_', ' ')}\n", head, "", drawn, "", _tables(setting, results)]
    parts += [
        "Commands of seed 0, a row each (`--seed` and `warm_start.seed` are the same number):\n",
        *commands,
        "",
        _samples(results),
    ]
    return "\n".join(parts)


def _refused(setting: Setting) -> str:
    """A sentence on the seeds that are left out."""
    if not setting.refused:
        return ""
    seeds = ", ".join(map(str, setting.refused))
    return f" Left out, with later seeds in their places: {seeds}, whose start policy the gate of the task refuses."


def _command(run: PlannedRun) -> str:
    """The command that repeats a run."""
    quoted = [f"'{word}'" if any(sign in word for sign in '[]" ') else word for word in run.arguments]
    return f"rekindle train {' '.join(quoted)}"


def _tables(setting: Setting, results: Results) -> str:
    """A row per arm: accuracies and costs, and below them what the setting shows."""
    outcome = (*ALWAYS, *(JUDGED if setting.is_real else ()), *COSTS)
    return (
        f"{_table(results, outcome)}\n{_table(results, setting.columns)}"
        if setting.columns
        else _table(results, outcome)
    )


def _table(results: Results, wanted: Sequence[str]) -> str:
    """Means and standard deviations over seeds; differences to the baseline beside the accuracy."""
    keys = [key for key in wanted if any(_known(results, arm, key) for arm in results)]
    head = ["arm"]
    for key in keys:
        head += [COLUMNS[key][0], *(["less the first arm's"] if key == COMPARED else [])]
    lines = [head]
    for arm in results:
        cells = [arm]
        for key in keys:
            cells.append(_cell(numbers_of(results, Value(arm, key)), COLUMNS[key][1]))
            cells += [_against(results, arm, key)] if key == COMPARED else []
        lines.append(cells)
    return arms.markdown_table(lines)


def _known(results: Results, arm: str, key: str) -> list[float]:
    return [value for value in numbers_of(results, Value(arm, key)).values() if value is not None]


def _against(results: Results, arm: str, key: str) -> str:
    base = next(iter(results))
    if arm == base:
        return ""
    ours, theirs = (numbers_of(results, Value(one, key)) for one in (arm, base))
    pairs = [
        (a, b)
        for seed in sorted(ours.keys() & theirs.keys())
        if (a := ours[seed]) is not None and (b := theirs[seed]) is not None
    ]
    return paired(*zip(*pairs, strict=True)) if pairs else ""


def _cell(values: Mapping[int, float | None], form: str) -> str:
    """Mean and standard deviation where every seed has a value, else how many have one."""
    known = [value for value in values.values() if value is not None]
    if len(known) < len(values):
        return f"{len(known)} of {len(values)} seeds" if known else "–"
    return cell(known, form) if known else "–"


def _samples(results: Results) -> str:
    """What the first policy and the last ones of the first seed wrote."""
    lines = [["arm", "step", "prompt", "completion", "reward"]]
    for place, (arm, runs) in enumerate(results.items()):
        first = next(iter(runs.values())).get("samples", [])
        for one in first[len(first) // 2 :] if place else first:
            reward = f"{one['reward']:g}" + (", cut" if one["truncated"] else "")
            shown = [arms.plain_cell(str(one[key])[-80:]) for key in ("prompt", "completion")]
            lines.append([arm, str(one["step"]), *shown, reward])
    return f"<details><summary>What the policies write (seed 0)</summary>\n\n{arms.markdown_table(lines)}\n</details>\n"


def _made(measured: Measured) -> str:
    runs = [run for results in measured["settings"].values() for by in results.values() for run in by.values()]
    hours = sum({run["place"]: run["all_cpu_seconds"] for run in runs}.values()) / 3600
    return (
        "Accuracy is sampled at temperature 1 on held-out prompts, the mean of the evaluations in the last 15 % of the "
        "cost that all runs of a setting reached; means ± standard deviations over seeds. CPU and wall seconds "
        f"of a table are without evaluation; other work ran beside. {arms.made_words(runs)} {hours:.1f} CPU "
        "hours.\n"
    )


def curves(setting: Setting, results: Results) -> str:
    """Accuracy against rollouts, as an SVG file."""
    place = list(AXES).index("rollouts")
    drawn = {
        arm: (
            COLOURS[at % len(COLOURS)],
            [[(point[place], point[-1]) for point in run["curve"]] for run in runs.values()],
        )
        for at, (arm, runs) in enumerate(results.items())
    }
    return arms.accuracy_curves(
        drawn,
        x_label="rollouts",
        description=f"Mean and range over seeds of held-out accuracy, {setting.words}: {', '.join(drawn)}",
    )
