"""Keys that nothing would read. A key counts as set when it differs from its default."""

import json
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from pydantic import BaseModel

from rekindle.config.rules.facts import fewest_and_most, invents_its_world, plays_itself, plays_search
from rekindle.config.tables import Config

__all__ = ["unread_keys"]

Unread = dict[str, str]
"""Keys of a table that nothing reads, and what to do about each."""


ENCODING = ("encoder", "vectors", "query_prefix", "passage_prefix")
"""Keys of ``retriever`` that only vectors need."""


def unread_keys(config: Config) -> Iterator[str]:
    """Settings of a method that is not switched on."""
    for name, unread in _TABLES.items():
        table: BaseModel = getattr(config, name)
        for key, remedy in unread(config).items():
            value, default = getattr(table, key), type(table).model_fields[key].get_default()
            if value != default:
                otherwise = "remove it" if default is None else f"leave it at {json.dumps(default)}"
                yield f"{name}.{key} = {json.dumps(value)} would not be read; {remedy}, or {otherwise}"


def _estimates(config: Config) -> bool:
    """Whether something asks for a prompt's success rate."""
    asked_by_credit = config.train.estimator in {"spo", "shrunk_baseline"}
    return asked_by_credit or config.pool.kind == "prioritized" or config.sizes.rule != "fixed"


def _all_but(table: BaseModel, *read: str, remedy: str) -> Unread:
    return dict.fromkeys((key for key in type(table).model_fields if key not in read), remedy)


def _model(config: Config) -> Unread:
    if config.model.path is not None:
        return {}
    keys = ("trust_remote_code", "chat_template", "system_prompt")
    return dict.fromkeys(keys, "the tiny model has no code and no chat template, set model.path")


def _verify(config: Config) -> Unread:
    task = config.task
    workers = task.verifier in {"math", "reasoning_gym"} or (
        task.verifier == "auto" and task.source in {"gsm8k", "reasoning_gym"}
    )
    remedy = 'comparing texts needs no workers, set task.verifier = "math"'
    return {} if workers else _all_but(config.verify, remedy=remedy)


def _search(config: Config) -> Unread:
    return {} if plays_search(config) else _all_but(config.search, remedy='set task.environment = "search"')


def _retriever(config: Config) -> Unread:
    table = config.retriever
    if not plays_search(config):
        return _all_but(table, remedy='set task.environment = "search"')
    if invents_its_world(config):
        return _all_but(table, remedy='the search world brings its own corpus, set task.source = "jsonl"')
    if table.kind == "http":
        remedy = 'the server searches, set retriever.kind = "lexical"'
        return dict.fromkeys(("corpus", "index", "title_weight", *ENCODING), remedy)
    unread = dict.fromkeys(
        ("url", "token_env", "timeout_seconds", "retries", "cache_size"), 'set retriever.kind = "http"'
    )
    if table.kind == "lexical":
        unread |= dict.fromkeys(ENCODING, 'set retriever.kind = "dense"')
    if table.kind == "dense":
        unread["title_weight"] = 'set retriever.kind = "lexical"'
    return unread


def _judge(config: Config) -> Unread:
    return {} if config.task.verifier == "judge" else _all_but(config.judge, remedy='set task.verifier = "judge"')


def _warm_start(config: Config) -> Unread:
    leveled = invents_its_world(config) or config.model.path is not None
    return {} if leveled else {"least_by_level": 'prompts have levels with task.source = "search_world"'}


def _self_play(config: Config) -> Unread:
    table, unread = config.self_play, Unread()
    if not plays_itself(config):
        return _all_but(table, remedy='set task.source = "self_play"')
    learns = {"proposer": ("estimator", "reward", "weight", "from_step"), "solver": ("weight", "from_step")}
    for key in learns.get(table.fixed, ()):
        remedy = f'the fixed {table.fixed} does not learn, set self_play.fixed = "none"'
        unread[f"{table.fixed}_{key}"] = remedy
    if table.fixed == "proposer" or table.proposer_reward != "intermediate":
        for key in ("intermediate_low", "intermediate_high"):
            unread[key] = 'set self_play.proposer_reward = "intermediate"'
    if table.fill != "resample":
        unread["max_rounds"] = 'set self_play.fill = "resample"'
    if table.fill != "replay_reset":
        unread["reset_every"] = 'set self_play.fill = "replay_reset"'
    return unread


def _filters(config: Config) -> Unread:
    if not plays_itself(config):
        return _all_but(config.filters, remedy='set task.source = "self_play"')
    remedy = "only the embedded search world can tell how many answers a question has, remove task.path"
    return {} if invents_its_world(config) else {"ambiguous": remedy}


def _check(config: Config) -> Unread:
    table = config.check
    if not plays_itself(config):
        return _all_but(table, remedy='set task.source = "self_play"')
    if table.kind == "off":
        # A policy that is made from scratch is taught to verify all the same, so that it can be compared.
        taught = () if config.model.path is not None else ("noise", "prompt", "temperature", "max_new_tokens")
        return _all_but(table, "kind", *taught, remedy='nothing is checked, set check.kind = "policy"')
    keys = ("url", "model", "key_env", "timeout_seconds", "concurrency")
    return {} if table.kind == "endpoint" else dict.fromkeys(keys, 'set check.kind = "endpoint"')


def _pool(config: Config) -> Unread:
    unread, remedy = Unread(), 'set pool.kind = "recycling"'
    consumes = config.pool.kind == "prioritized" and config.priority.consume == "trained"
    if config.pool.kind != "recycling":
        unread["on_empty"] = remedy
        if not consumes:
            unread |= {"alpha": remedy, "reset_below": remedy}
    return unread


def _priority(config: Config) -> Unread:
    if config.pool.kind != "prioritized":
        return _all_but(config.priority, remedy='set pool.kind = "prioritized"')
    if config.priority.score == "uncertainty":
        return dict.fromkeys(("estimate", "sharpness"), 'set priority.score = "signal_chance"')
    return {}


def _posterior(config: Config) -> Unread:
    table = config.posterior
    if not _estimates(config) and not config.phases.reprofile:
        return _all_but(table, remedy='set what estimates success rates, e.g. pool.kind = "prioritized"')
    unread = Unread()
    if not _estimates(config):
        remedy = "phases.reprofile counts what was seen and needs no prior, set what estimates success rates"
        unread |= dict.fromkeys(("prior_successes", "prior_failures"), remedy)
    if table.half_life is None:
        unread["probe_rows"] = "set posterior.half_life"
        if table.least_discount != table.most_discount:  # equal ones are a constant factor per visit
            unread["least_discount"] = "it bounds posterior.half_life, set that"
    return unread


def _skip(config: Config) -> Unread:
    return {} if config.pool.kind == "selective" else _all_but(config.skip, remedy='set pool.kind = "selective"')


def _profile(config: Config) -> Unread:
    unread, phased = Unread(), config.pool.kind == "phased"
    if config.profile.path is None:
        unread["force"] = "set profile.path"
    elif phased:
        unread["samples"] = "the profile of profile.path is there already, remove that"
    if not phased:
        unread |= _all_but(config.profile, "path", "force", remedy='set pool.kind = "phased"')
        if not _estimates(config):
            unread["path"] = 'set what reads a profile, e.g. pool.kind = "phased" or "prioritized"'
    return unread


def _phases(config: Config) -> Unread:
    return {} if config.pool.kind == "phased" else _all_but(config.phases, remedy='set pool.kind = "phased"')


def _sizes(config: Config) -> Unread:
    if config.sizes.rule == "knapsack":
        return {"rounding": 'set sizes.rule = "inverse_success"'}
    if config.sizes.rule == "fixed" and config.pool.kind != "phased":
        return _all_but(config.sizes, "rule", remedy='set sizes.rule = "inverse_success"')
    return {}


def _heating(config: Config) -> Unread:
    if not config.heating.delta:
        return _all_but(config.heating, "delta", remedy="set heating.delta = 0.05")
    if fewest_and_most(config)[1] == 1:
        return {"on_signal": "single rollouts carry no signal of their own, set train.group_size = 4"}
    return {}


def _reactivation(config: Config) -> Unread:
    if config.reactivation.kind == "off":
        return _all_but(config.reactivation, "kind", remedy='set reactivation.kind = "virtual_failure"')
    return {"constant": 'set reactivation.kind = "constant"'} if config.reactivation.kind != "constant" else {}


def _top_up(config: Config) -> Unread:
    unread = {"more": 'set top_up.kind = "mixed"', "max_rounds": 'set top_up.kind = "balance"'}
    unread.pop({"mixed": "more", "balance": "max_rounds"}.get(config.top_up.kind, ""), None)
    return unread


def _subset(config: Config) -> Unread:
    off = config.subset.kind == "off"
    return _all_but(config.subset, "kind", remedy='set subset.kind = "max_variance"') if off else {}


def _train(config: Config) -> Unread:
    train, unread = config.train, Unread()
    chance = config.pool.kind == "prioritized" and config.priority.score == "signal_chance"
    if config.sizes.rule == "inverse_success" and not chance and config.top_up.kind != "balance":
        unread["group_size"] = 'groups are sized by 1/p, set sizes.rule = "fixed"'
    if train.estimator != "shrunk_baseline":
        unread["baseline_strength"] = 'set train.estimator = "shrunk_baseline"'
    if train.loss == "cispo":
        unread["clip_low"] = 'train.loss = "cispo" has no lower bound, set train.loss = "ppo_clip"'
    if train.off_temperature != "importance":
        unread["importance_cap"] = 'set train.off_temperature = "importance"'
    return unread


_TABLES: Mapping[str, Callable[[Config], Unread]] = MappingProxyType(
    {
        "model": _model,
        "warm_start": _warm_start,
        "verify": _verify,
        "search": _search,
        "retriever": _retriever,
        "judge": _judge,
        "self_play": _self_play,
        "filters": _filters,
        "check": _check,
        "pool": _pool,
        "priority": _priority,
        "posterior": _posterior,
        "skip": _skip,
        "profile": _profile,
        "phases": _phases,
        "sizes": _sizes,
        "heating": _heating,
        "reactivation": _reactivation,
        "top_up": _top_up,
        "subset": _subset,
        "train": _train,
    }
)
