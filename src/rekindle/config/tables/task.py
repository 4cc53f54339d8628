"""Tables of the tasks: where prompts come from, and who judges answers."""

from typing import Any, ClassVar, Literal

from rekindle.config.conditions import Condition, absent, fact, given, on
from rekindle.config.facts import verifies_in_workers
from rekindle.config.keys import Table, key

__all__ = ["JudgeTable", "TaskTable", "VerifyTable"]


FILES = on("task.source", "jsonl", "parquet", "gsm8k")
GENERATED = on("task.source", "spell_backward", "search_world", "reasoning_gym")
ITSELF = on("task.source", "self_play")


class TaskTable(Table):
    """Where prompts come from and how answers are judged."""

    source: Literal["spell_backward", "search_world", "self_play", "reasoning_gym", "jsonl", "parquet", "gsm8k"] = key(
        "spell_backward",
        "where tasks come from",
        values={
            "spell_backward": "embedded: made-up words to be spelled backward",
            "search_world": "embedded: questions about an invented knowledge base, to be searched",
            "self_play": "questions that the policy proposes itself (search self-play)",
            "reasoning_gym": "a generator of the package reasoning-gym, named by task.name",
            "jsonl": "a file of JSON lines with prompt and answer",
            "parquet": "a Parquet file with prompt and answer",
            "gsm8k": "a file of JSON lines in the format of GSM8K",
        },
    )
    environment: Literal["auto", "single_turn", "search"] = key(
        "auto",
        "how tasks are played",
        values={
            "auto": "search for search_world and self_play, else single_turn",
            "single_turn": "one prompt, one completion",
            "search": "several turns with a search tool",
        },
    )
    name: str | None = key(None, "data set name, e.g. spell_backward", only=on("task.source", "reasoning_gym"))
    path: str | None = key(
        None,
        "file of tasks; self_play: answers to ask for, absent: those of the embedded search world",
        only=FILES | ITSELF,
    )
    eval_path: str | None = key(
        None,
        "held-out file; absent: eval.prompts rows are split off (self_play with a path: none)",
        only=FILES | (ITSELF & given("task.path", "ANSWERS", suggest=False)),
    )
    params: dict[str, Any] = key(
        {},
        "parameters of the generator",
        only=(GENERATED | (ITSELF & absent("task.path"))).but('set task.source to a generator, e.g. "reasoning_gym"'),
    )
    pool_size: int | None = key(None, "prompts in the pool; absent: all of the file, 4096 if generated", ge=1)
    verifier: Literal[
        "auto", "exact_match", "math", "reasoning_gym", "qa_exact_match", "cover_match", "f1", "judge"
    ] = key(
        "auto",
        "who scores answers, from 0 to 1",
        values={
            "auto": "the source's own: math for gsm8k, reasoning_gym for reasoning_gym, "
            "qa_exact_match for search, else exact_match",
            "exact_match": "1 where the final answer equals a reference answer, white space around it aside",
            "math": "1 where math-verify finds the values equal",
            "reasoning_gym": "the scorer of the data set",
            "qa_exact_match": "1 where both have the same words, case, articles and punctuation aside",
            "cover_match": "1 where a short text contains the words of a reference answer",
            "f1": "F1 of the words with the nearest reference answer",
            "judge": "a model behind an API, see [judge]",
        },
    )
    binary_rewards: bool = key(True, "turn scores into 0 or 1 at success_threshold")
    success_threshold: float = key(1.0, "a score of at least this much is a success", gt=0, le=1)


class VerifyTable(Table):
    """Worker processes for verifiers that are not ours."""

    read_when: ClassVar[Condition | None] = fact(
        "the verifier is math or reasoning_gym", verifies_in_workers, task__verifier="math"
    ).but('comparing texts needs no workers, set task.verifier = "math"')

    workers: int = key(2, "worker processes", ge=1)
    timeout_seconds: float = key(5.0, "wall-clock limit of one verdict, seconds", gt=0)


class JudgeTable(Table):
    """A model that judges answers, behind an OpenAI-compatible API."""

    read_when: ClassVar[Condition | None] = on("task.verifier", "judge")

    url: str | None = key(None, "base address, e.g. http://127.0.0.1:8000/v1")
    model: str | None = key(None, "name the server knows it by")
    key_env: str | None = key(None, "environment variable with the API key; absent: none is sent")
    max_calls: int | None = key(
        None, "calls of one process, after which answers are not judged; absent: no limit", ge=1
    )
    timeout_seconds: float = key(60.0, "longest wait for one verdict, seconds", gt=0)
    concurrency: int = key(16, "requests in flight at the same time", ge=1)
    cache: str | None = key(None, "SQLite file with verdicts; absent: kept in memory")
