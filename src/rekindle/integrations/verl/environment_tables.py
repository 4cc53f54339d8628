"""The configuration of environments on verl: the tables of ``rekindle`` about tasks, search, self-play and verdicts."""

from collections.abc import Mapping
from typing import Any

from rekindle.config import Config, ConfigError
from rekindle.config.facts import plays_search
from rekindle.integrations.verl.sessions import SEARCH, SINGLE_TURN
from rekindle.recipes import resolve

__all__ = ["agent_loop_of", "environment_config", "environment_tables"]

TABLE = "rekindle"
"""Name of our table in verl's configuration."""
SELF_PLAY = "self_play"
"""The source of self-play, and the beginning of the names of its recipes."""
READ = (
    "task",
    "search",
    "retriever",
    "dialogue",
    "self_play",
    "filters",
    "check",
    "verify",
    "judge",
    "rewards",
    "audits",
)
"""Tables that environments read whole."""


def environment_config(settings: Any) -> Config:
    """The configuration of the environments of a run on verl; keys of training have their defaults.

    ``engine.max_new_tokens`` bounds what a search agent samples in all turns together, and verl's response length
    bounds turns and documents together. Where the tables do not set the former, it leaves room for the documents of all
    turns, but not for more than half of a response. Where they do not set ``self_play.reference_samples``, it is 0: the
    rollout engine has no start policy.

    Args:
        settings: verl's ``DictConfig``.

    Raises:
        ConfigError: A key or a value is not valid, or there is no table ``rekindle``.
    """
    rollout, model = settings.actor_rollout_ref.rollout, settings.actor_rollout_ref.model
    tables = environment_tables(settings)
    response = int(rollout.response_length)
    given: dict[str, Any] = {"model": {"path": str(model.path)}, "train": {"steps": 1}}
    if _is_self_play(tables) and "reference_samples" not in tables.get("self_play", {}):
        given["self_play"] = {"reference_samples": 0}
    if "max_new_tokens" not in tables.get("engine", {}):
        draft = resolve(tables, given=given | {"engine": {"max_new_tokens": response}})
        given["engine"] = {"max_new_tokens": _sampled(draft, response)}
    return resolve(tables, given=given)


def environment_tables(settings: Any) -> dict[str, Any]:
    """The tables that environments read, from verl's configuration; tasks are given where they name no source.

    Raises:
        ConfigError: There is no table ``rekindle``.
    """
    tables = _plain(settings.get(TABLE))
    if not isinstance(tables, Mapping):
        raise ConfigError("verl's configuration has no table rekindle; add +rekindle.recipe=grpo")
    found = {name: tables[name] for name in ("recipe", "base", *READ) if name in tables}
    found["task"] = {"source": "given", **found.get("task", {})} if not _is_self_play(found) else found.get("task", {})
    return found | _keys(tables, "engine", ("max_new_tokens",)) | _keys(tables, "model", ("system_prompt",))


def agent_loop_of(config: Config) -> str:
    """Name of the agent loop that plays the tasks of a configuration."""
    return SEARCH if plays_search(config) else SINGLE_TURN


def _is_self_play(tables: Mapping[str, Any]) -> bool:
    return SELF_PLAY in (tables.get("task", {}).get("source"), str(tables.get("recipe"))[: len(SELF_PLAY)])


def _keys(tables: Mapping[str, Any], table: str, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    found = {name: tables[table][name] for name in names if name in (tables.get(table) or {})}
    return {table: found} if found else {}


def _sampled(config: Config, response: int) -> int:
    """Tokens that a search agent samples of a response: the rest is for documents."""
    if not plays_search(config):
        return response
    table = config.search
    documents = (table.max_turns - 1) * table.max_queries * table.documents * table.document_tokens
    return max(response - documents, response // 2)


def _plain(value: Any) -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
