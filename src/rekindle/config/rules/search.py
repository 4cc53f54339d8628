"""Rules about search agents: corpus, protocol and judge."""

from collections.abc import Iterator

from rekindle.config.facts import invents_its_world, optimizer_steps, plays_search, uses_judge
from rekindle.config.tables import Config

__all__ = [
    "answer_leaves_room_to_search",
    "f1_has_a_threshold",
    "judge_has_an_address",
    "retriever_is_there",
    "search_agents_have_a_task",
    "stop_texts_are_the_protocols",
    "tool_calls_need_a_template",
    "tool_tokens_have_no_behaviour",
    "turns_are_within_the_rollout",
]


def search_agents_have_a_task(config: Config) -> Iterator[str]:
    """A search world without the search environment, or a search agent on a task without a corpus."""
    task = config.task
    if task.source in {"search_world", "self_play"} and not plays_search(config):
        yield f'task.source = "{task.source}" is played by searching; set task.environment = "search"'
    if task.source in {"spell_backward", "reasoning_gym", "arithmetic"} and plays_search(config):
        yield (
            f'task.environment = "search" has no corpus for task.source = "{task.source}"; set task.source '
            'to "search_world", or to questions with a corpus ("jsonl" or "parquet")'
        )


def retriever_is_there(config: Config) -> Iterator[str]:
    """A search agent without a corpus or server."""
    table = config.retriever
    if not plays_search(config) or invents_its_world(config):
        return
    if table.kind == "http" and table.url is None:
        yield 'retriever.kind = "http" needs retriever.url; set it, e.g. to "http://127.0.0.1:8000/retrieve"'
    if table.kind not in {"http", "given"} and table.corpus is None:
        yield f'retriever.kind = "{table.kind}" needs retriever.corpus, a JSONL file with id and contents; set it'
    if table.kind in {"dense", "hybrid"} and table.encoder is None:
        yield f'retriever.kind = "{table.kind}" needs retriever.encoder, the directory of an encoder; set it'


def tool_calls_need_a_template(config: Config) -> Iterator[str]:
    """Tool calls without a chat template."""
    templated = config.model.path is not None and config.model.chat_template
    if plays_search(config) and config.search.protocol == "tool_calls" and not templated:
        yield (
            'search.protocol = "tool_calls" needs a chat template; set model.path to a chat model and leave '
            'model.chat_template at true, or set search.protocol = "tags"'
        )


def answer_leaves_room_to_search(config: Config) -> Iterator[str]:
    """A rollout whose tokens are all reserved for the answer."""
    answer, total = config.search.answer_tokens, config.engine.max_new_tokens
    if plays_search(config) and answer >= total:
        yield (
            f"search.answer_tokens = {answer} of engine.max_new_tokens = {total} leaves no tokens for searches; raise "
            f"engine.max_new_tokens above {answer}"
        )


def turns_are_within_the_rollout(config: Config) -> Iterator[str]:
    """A turn that may be longer than the whole rollout."""
    turn, total = config.search.turn_tokens, config.engine.max_new_tokens
    if plays_search(config) and turn is not None and turn > total:
        yield (
            f"search.turn_tokens = {turn} is above engine.max_new_tokens = {total}, the tokens of all turns together; "
            "lower it, or raise engine.max_new_tokens"
        )


def stop_texts_are_the_protocols(config: Config) -> Iterator[str]:
    """Stop texts in addition to those of the search protocol."""
    if plays_search(config) and config.engine.stop:
        yield "engine.stop would end a search agent's turns elsewhere than its protocol does; remove it"


def tool_tokens_have_no_behaviour(config: Config) -> Iterator[str]:
    """Training on tool tokens, which were not sampled, where behaviour log-probabilities are read."""
    loss = config.loss
    if loss.tool_tokens != "trained":
        return
    reasons = {
        "several optimizer steps per batch": optimizer_steps(config) > 1 and loss.old_logprobs != "recompute",
        "train.max_off_policy_steps": config.train.max_off_policy_steps > 0,
        'loss.old_logprobs = "engine"': loss.old_logprobs == "engine",
        'loss.off_temperature = "importance"': loss.off_temperature == "importance",
        "loss.tis_cap": loss.tis_cap > 0,
        "a token filter": config.advantage.negative_keep_ratio < 1,
    }
    for reason in (reason for reason, present in reasons.items() if present):
        yield (
            f'loss.tool_tokens = "trained" has no behaviour log-probabilities of those tokens, and {reason} reads '
            'them; set loss.tool_tokens = "masked"'
        )


def judge_has_an_address(config: Config) -> Iterator[str]:
    """A judge without an address."""
    missing = [key for key in ("url", "model") if getattr(config.judge, key) is None]
    if uses_judge(config) and missing:
        where = "task" if config.task.verifier == "judge" else "audits"
        yield (
            f'{where}.verifier = "judge" needs judge.url and judge.model; set judge.{missing[0]} '
            '(an OpenAI-compatible server, e.g. url = "http://127.0.0.1:8000/v1")'
        )


def f1_has_a_threshold(config: Config) -> Iterator[str]:
    """F1 as a 0/1 reward where only a perfect score is a success."""
    task = config.task
    if task.verifier == "f1" and task.binary_rewards and task.success_threshold == 1:
        yield (
            'task.verifier = "f1" with task.success_threshold = 1 rewards no partial match; set '
            'task.success_threshold = 0.5, task.binary_rewards = false, or task.verifier = "qa_exact_match"'
        )
