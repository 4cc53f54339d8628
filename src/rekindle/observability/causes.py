"""Likely causes of groups that are never solved, or that failed. The text is plain; the caller escapes it."""

from rekindle.observability.formatting import grouped
from rekindle.observability.summary import Summary
from rekindle.types import Fate

__all__ = ["services", "unsolved_cause"]

_CUT = 0.9
"""Of the longest completion; never-solved rollouts that are longer on average were mostly cut."""
_WITHOUT_VERDICT = 0.1


def unsolved_cause(summary: Summary) -> str:
    """The likely cause of never-solved groups as a sentence, which names the verifier or the format of the answers."""
    verifier = _judges(summary)
    failures, rollouts = summary.verifier_failures, summary.total("rollouts")
    if failures > _WITHOUT_VERDICT * rollouts:
        return (
            f"The likely cause is the verifier: {grouped(failures)} of {grouped(rollouts)} rollouts have no verdict "
            f"({verifier}); see the warnings."
        )
    length, limit = summary.unsolved_length, summary.setting("engine", "max_new_tokens")
    if length is not None and limit and length >= _CUT * limit:
        return (
            f"The likely cause is the length: their rollouts have {grouped(length)} of at most {grouped(limit)} tokens "
            f"on average, so most are cut before they end; raise {summary.key('engine.max_new_tokens')}, or ask for "
            "shorter answers."
        )
    transcripts = "" if summary.other_trainer else ", or rekindle eval with --transcripts"
    look = f"look first at what the policy writes (samples.jsonl{transcripts})"
    drawn, unsolved = summary.prompt_counts()
    if unsolved == drawn:
        return (
            "The likely cause is the verifier or the format: no rollout was ever right, so "
            f"{verifier} may not read the answers as they are written; {look}."
        )
    return f"Unless they are too hard, {verifier} does not read the format of their answers: {look}."


def _judges(summary: Summary) -> str:
    """What judged the rollouts, by its setting: reward functions, a verifier, or both."""
    verifier, rewards = summary.setting("task", "verifier") or "auto", summary.run.config.get("rewards")
    parts = [f"the reward {one.get('name') or one['function'].rpartition(':')[2]}" for one in rewards or ()]
    if not parts or verifier != "auto":
        parts.append(f'task.verifier = "{verifier}"')
    return " and ".join(parts)


def services(summary: Summary) -> dict[str, str]:
    """Services used by a run with failed groups, each with the remedy when it does not answer."""
    if not summary.role_fates("solver")[Fate.FAILED].groups or not summary.verifier_failures:
        return {}
    found = {}
    if summary.setting("retriever", "kind") == "http":
        found["the retriever"] = (
            "check that the server at retriever.url is up, or raise retriever.timeout_seconds or retriever.retries"
        )
    if summary.setting("task", "verifier") == "judge":
        calls = " or judge.max_calls" if summary.setting("judge", "max_calls") else ""
        found["the judge"] = f"check that the server at judge.url is up, or raise judge.timeout_seconds{calls}"
    return found
