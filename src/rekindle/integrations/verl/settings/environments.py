"""Environments of ours on verl: which tables of a recipe ask for them, and the settings of verl that follow.

Tables about tasks (``task.source``, ``task.environment``) or a recipe of self-play ask for them. Their sessions are
agent loops of ours, their rewards are those of our verifiers, and their tables mean what they mean in
``rekindle train``. With ``task.source = "given"``, the default, the prompts are those of ``data.train_files``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from rekindle.config import Config
from rekindle.config.facts import plays_itself, plays_search
from rekindle.integrations.settings.paths import at
from rekindle.integrations.settings.tables import Places
from rekindle.integrations.verl.settings.values import ROLLOUT, V1, Values

__all__ = [
    "CHECK",
    "PROPOSER",
    "SEARCH",
    "SINGLE_TURN",
    "agent_loop_of",
    "are_ours",
    "environment_keys",
    "environment_settings",
    "not_played",
    "with_environments",
]

SEARCH, SINGLE_TURN, PROPOSER, CHECK = "rekindle_search", "rekindle_single_turn", "rekindle_proposer", "rekindle_check"
"""Names of our agent loops: a solver with search or without, a proposer, and the verifier of its questions."""
TABLES = ("task", "search", "retriever", "self_play", "filters", "check", "verify", "judge", "rewards", "audits")
"""Tables that are read where environments are ours."""
KEYS = ("engine.max_new_tokens", "model.system_prompt", "eval.prompts")
SELF_PLAY = "self_play"
"""The source of self-play, and the beginning of the names of its recipes."""
DATASET = {"data.custom_cls.path": "pkg://rekindle.integrations.verl.dataset", "data.custom_cls.name": "TaskDataset"}
PARTS = {"data.train_files": "pool", "data.val_files": "held_out"}
DEFAULT_LOOP = f"{ROLLOUT}.agent.default_agent_loop"


def are_ours(tables: Mapping[str, Any]) -> bool:
    """Whether tables ask for environments of ours."""
    asked = (at(tables, "task.source"), at(tables, "task.environment"))
    return any(one is not None for one in asked) or str(tables.get("recipe")).startswith(SELF_PLAY)


def with_environments(places: Places, tables: Mapping[str, Any]) -> Places:
    """Where keys are, for these tables."""
    if not are_ours(tables):
        return places
    return replace(places, tables=(*places.tables, *TABLES), keys=(*places.keys, *KEYS))


def environment_keys(
    chosen: Mapping[str, Any], tables: Mapping[str, Any], values: Values, draft: Config
) -> dict[str, Any]:
    """Keys by path that environments of ours have otherwise than a recipe, where the tables do not set them.

    ``engine.max_new_tokens`` bounds what a search agent samples in all turns together, and verl's response length
    bounds turns and documents together: it leaves room for the documents of all turns, but not for more than half of a
    response. ``self_play.reference_samples`` is 0, because a rollout engine has no start policy.

    Args:
        chosen: The recipe's settings, with those of the tables over them.
        tables: The tables.
        values: verl's settings.
        draft: The configuration without these keys.
    """
    found: dict[str, Any] = {}
    if at(tables, "task.source") is None and at(chosen, "task.source") != SELF_PLAY:
        found["task.source"] = "given"
    if at(tables, "engine.max_new_tokens") is None:
        found["engine.max_new_tokens"] = _sampled(draft, int(values.at(f"{ROLLOUT}.response_length")))
    if plays_itself(draft) and at(tables, "self_play.reference_samples") is None:
        found["self_play.reference_samples"] = 0
    return found


def _sampled(config: Config, response: int) -> int:
    """Tokens of a response that a policy samples; the others are for documents."""
    if not plays_search(config):
        return response
    table = config.search
    documents = (table.max_turns - 1) * table.max_queries * table.documents * table.document_tokens
    return max(response - documents, response // 2)


def environment_settings(config: Config, tables: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of verl, by path, with which environments of ours are played; none where they are not asked for."""
    if not are_ours(tables):
        return {}
    data = {} if config.task.source == "given" else {**DATASET, **PARTS}
    return {DEFAULT_LOOP: agent_loop_of(config), **data}


def not_played(config: Config, values: Values) -> Iterator[str]:
    """What environments of ours do elsewhere, as sentences."""
    yield from _self_play(config, values)
    yield from _engine_ends_turns(config, values)
    yield from _other_files(config, values)


def _self_play(config: Config, values: Values) -> Iterator[str]:
    """What self-play does elsewhere."""
    table = config.self_play
    if not plays_itself(config):
        return
    if values.mode != "sync":
        yield (
            f"{V1}.trainer_mode={values.at(f'{V1}.trainer_mode')} goes on with rollouts during an update, and "
            f"self-play proposes questions before a step solves them; set {V1}.trainer_mode=rekindle"
        )
    if table.updates == "proposer_first":
        yield (
            'self_play.updates = "proposer_first" makes two updates of a step, and verl makes one; set '
            "rekindle.self_play.updates=joint, or use rekindle train"
        )
    if table.fixed != "none":
        yield (
            f'self_play.fixed = "{table.fixed}" plays one role with the start policy, which a rollout engine of verl '
            "has not; remove it, or use rekindle train"
        )
    if config.check.kind == "start":
        yield (
            'check.kind = "start" lets the start policy verify, which a rollout engine of verl has not; set '
            "rekindle.check.kind=policy or endpoint, or use rekindle train"
        )
    if table.reference_samples:
        yield (
            f"self_play.reference_samples = {table.reference_samples} samples from the start policy, which a rollout "
            "engine of verl has not; set it to 0, or use rekindle train"
        )


def _engine_ends_turns(config: Config, values: Values) -> Iterator[str]:
    """An engine without texts, beside a protocol whose tags end a turn."""
    skips = values.at(f"{ROLLOUT}.skip_tokenizer_init") and values.at(f"{ROLLOUT}.name") == "sglang"
    if plays_search(config) and config.search.protocol == "tags" and skips:
        yield (
            f"{ROLLOUT}.skip_tokenizer_init=True leaves SGLang without texts, and tags end the turns of a search agent "
            f'(search.protocol = "tags"); set {ROLLOUT}.skip_tokenizer_init=False'
        )


def _other_files(config: Config, values: Values) -> Iterator[str]:
    """Files of prompts beside tasks of ours, as sentences."""
    for name, part in PARTS.items():
        if config.task.source != "given" and values.is_set(name) and values.at(name) not in (part, [part]):
            yield (
                f"{name}={values.at(name)} beside rekindle.task.source={config.task.source}, which has the prompts; "
                f"leave {name} out, or set rekindle.task.source=given"
            )


def agent_loop_of(config: Config) -> str:
    """Name of the agent loop that plays the tasks of a configuration."""
    return SEARCH if plays_search(config) else SINGLE_TURN
