"""Words on a trial: why a completion got its reward, what is wrong, and what the run would cost."""

import math
from collections.abc import Iterator

from rekindle.config import Config
from rekindle.config.facts import fewest_and_most, judges, needs_answers, verifier_name
from rekindle.observability.formatting import compact, counted, duration, excerpt, grouped, percent
from rekindle.records.health import MENTIONED, TRUNCATED_SHARE
from rekindle.trial import TrialResult, Written, signal_share
from rekindle.verifiers.completions import final_answer
from rekindle.verifiers.mentions import mentions

__all__ = ["forecast", "problems", "reason", "trial_lines"]

LONGEST = 1200
"""Most characters of a prompt or completion that are shown."""
SIZES = (2, 4, 8, 16)
EMPTY = 0.1
"""Share of empty completions from which the prompt is doubted."""


def trial_lines(result: TrialResult, prompts: int = 3) -> Iterator[str]:
    """What `rekindle try` shows: some prompts with completions, what a run would cost, and what is likely wrong.

    Args:
        result: The trial.
        prompts: Prompts to show.
    """
    yield from _shown(result, prompts)
    yield from forecast(result)
    yield from problems(result)


def _shown(result: TrialResult, prompts: int) -> Iterator[str]:
    """Prompts as the model sees them, with the best and the worst completion of each."""
    for group in result.written[:prompts]:
        yield f"--- {excerpt(group[0].task.id, 80)}: the prompt as the model sees it"
        yield excerpt(group[0].prompt, LONGEST)
        ranked = sorted(group, key=lambda one: one.rollout.reward)
        for one in [ranked[-1], *ranked[:1]] if len(ranked) > 1 else ranked:
            yield f"--- a completion; reward {one.rollout.reward:g}: {reason(result.config, one)}"
            yield excerpt(one.completion, LONGEST)
        yield ""


def reason(config: Config, one: Written) -> str:
    """Why a rollout got its reward."""
    rollout = one.rollout
    answers = (one.task.answer,) if isinstance(one.task.answer, str) else one.task.answer
    wanted = " or ".join(f'"{_line(answer)}"' for answer in answers[:3] if answer) or "none"
    if rollout.failure is not None:
        return f"no verdict ({rollout.failure})"
    if not needs_answers(config):
        parts = ", ".join(f"{name} {value:g}" for name, value in rollout.rewards.items() if value is not None)
        return f"{parts or 'a reward of its own'}{', cut at a limit' if rollout.truncated else ''}"
    if rollout.reward >= config.task.success_threshold:
        return f"right; the reference is {wanted}"
    if rollout.truncated:
        return f"cut at a limit after {grouped(rollout.generated_tokens)} tokens; the reference is {wanted}"
    if _mentions(one):
        judged = _line(final_answer(rollout.text))
        return f'contains the reference {wanted}, but {verifier_name(config.task)} judges "{judged}"'
    return f"wrong; the reference is {wanted}"


def problems(result: TrialResult) -> Iterator[str]:
    """What is likely wrong, a sentence each, with the remedy."""
    config, rollouts, written = result.config, result.rollouts, [one for group in result.written for one in group]
    limit = config.engine.max_new_tokens
    if result.failed:
        yield f"{result.failed} prompts could not be played; the warnings say why"
    if not rollouts:
        return
    if (truncated := sum(one.truncated for one in rollouts)) > TRUNCATED_SHARE * len(rollouts):
        yield (
            f"{truncated} of {len(rollouts)} completions are cut at a limit and count as wrong where the answer is "
            f"missing; raise engine.max_new_tokens = {limit}, or ask for shorter answers"
        )
    wrong = [one for one in written if one.rollout.reward < config.task.success_threshold]
    mentioned = sum(map(_mentions, wrong)) if needs_answers(config) else 0
    if mentioned > MENTIONED * len(written):
        yield (
            f"{mentioned} of {len(written)} completions contain the reference answer and count as wrong, because "
            f"{_doubt(config)}"
        )
    if (empty := sum(not one.text.strip() for one in rollouts)) > EMPTY * len(rollouts):
        yield f"{empty} of {len(rollouts)} completions are empty; look at the prompt above (model.chat_template)"
    if missing := sum(one.failure is not None for one in rollouts):
        yield f"{missing} of {len(rollouts)} completions have no verdict; the warnings say why"
    if not sum(result.successes):
        yield (
            f"none of the {len(rollouts)} completions is right, and groups without a right one carry no signal; use "
            "easier prompts, a stronger model, or a verifier that reads what it writes"
        )
    if sum(result.successes) == len(rollouts):
        yield "every completion is right: groups carry no signal; use harder prompts"


def _doubt(config: Config) -> str:
    who = judges(config) if config.rewards else verifier_name(config.task)
    if who == "exact_match":
        return (
            'exact_match compares the whole answer; set task.verifier = "math" for numbers or "cover_match" for words, '
            "or ask in the prompt for the answer alone"
        )
    return f"{who} does not read them as they are written; ask in the prompt for another format, or change it"


def forecast(result: TrialResult) -> Iterator[str]:
    """What the rollouts show, and what a step and the run would cost."""
    rollouts = result.rollouts
    if not rollouts:
        return
    count, right = len(rollouts), sum(result.successes)
    tokens = sum(one.generated_tokens for one in rollouts) / count
    truncated = sum(one.truncated for one in rollouts)
    shares = {size: share for size in SIZES if (share := signal_share(result, size)) is not None}
    yield f"{count} rollouts of {len(result.written)} prompts"
    yield f"  right          {right} ({percent(right, count)})"
    yield f"  tokens         {tokens:.0f} sampled on average, {percent(truncated, count)} of the completions cut"
    by_size = ", ".join(f"{percent(share)} of groups of {size}" for size, share in shares.items())
    yield f"  with signal    {by_size or 'not known from groups of one'}"
    yield from _costs(result, tokens)


def _costs(result: TrialResult, tokens: float) -> Iterator[str]:
    config, train, count = result.config, result.config.train, len(result.rollouts)
    low, high = fewest_and_most(config)
    groups = train.groups_per_step * train.oversample
    step = groups * (low + high) / 2
    seconds = {name: spent / count * step for name, spent in result.seconds.items()}
    share = signal_share(result, min(result.samples, round((low + high) / 2)))
    if share is not None and "train" in seconds:
        seconds["train"] *= share
    whole = sum(seconds.values())
    parts = ", ".join(f"{name} {duration(spent)}" for name, spent in seconds.items() if spent >= 0.05)
    yield f"  a step         {grouped(step)} rollouts, {compact(step * tokens)} tokens, {duration(whole)} ({parts})"
    yield f"  peak memory    {result.peak_bytes / 1e9:.1f} GB"
    steps = train.steps or (train.rollouts and round(train.rollouts / step))
    if steps:
        evaluations = 1 + math.ceil(steps / config.eval.every)
        playing = sum(spent for name, spent in result.seconds.items() if name != "train")
        evaluating = evaluations * result.held_out * (config.eval.samples + 1) * playing / count
        yield (
            f"  the run        {grouped(steps)} steps in about {duration(steps * whole + evaluating)}, of it "
            f"{duration(evaluating)} for {counted(evaluations, 'evaluation')} of {result.held_out} prompts, refills "
            "not counted"
        )


def _mentions(one: Written) -> bool:
    return mentions(one.rollout.text, one.task.answer)


def _line(text: str) -> str:
    return excerpt(" ".join(text.split()), 60)
