"""Tables of the tasks: source of the prompts, verifier, judge."""

from typing import Any, ClassVar, Literal

from rekindle.config.conditions import Condition, absent, fact, given, on
from rekindle.config.defaults import Case
from rekindle.config.facts import (
    FILE_SOURCES,
    PROMPT_SOURCES,
    ROW_SOURCES,
    has_rewards,
    uses_judge,
    uses_maths,
    uses_reasoning_gym,
    uses_scorers,
    verifier_is_a_reward,
    verifies_in_workers,
)
from rekindle.config.keys import OptionalPath, Table, key

__all__ = ["FILES", "OWN_ROWS", "ROWS", "ColumnsTable", "JudgeTable", "TaskTable", "VerifyTable"]


FILES = on("task.source", *FILE_SOURCES)
ROWS = on("task.source", *FILE_SOURCES, "hub")
OWN_ROWS = on("task.source", *ROW_SOURCES)
HUB = on("task.source", "hub")
GENERATED = on("task.source", "spell_backward", "search_world", "reasoning_gym", "arithmetic")
ITSELF = on("task.source", "self_play")
EXAMPLE_REWARDS = ({"function": "my_reward.py:score"},)
REWARDS = fact("there are `[[rewards]]`", has_rewards, rewards=EXAMPLE_REWARDS).but("add [[rewards]]")


class ColumnsTable(Table):
    """Columns of the rows by names of your own; ``a.b`` is the field ``b`` of the column ``a``."""

    read_when: ClassVar[Condition | None] = on("task.source", *(one for one in ROW_SOURCES if one != "gsm8k"))

    prompt: str | None = key(
        None, "column of the prompt, e.g. question; absent: recognized by the names that other trainers use"
    )
    answer: str | None = key(
        None, "column of the answer, e.g. solution; absent: recognized by the names that other trainers use"
    )
    id: str | None = key(None, "column of the id; absent: id, or a hash of the prompt")


class TaskTable(Table):
    """Source of the prompts, environment and verifier."""

    source: Literal[
        "spell_backward",
        "search_world",
        "self_play",
        "reasoning_gym",
        "arithmetic",
        "jsonl",
        "json",
        "csv",
        "parquet",
        "gsm8k",
        "hub",
        "given",
    ] = key(
        "spell_backward",
        "source of the tasks",
        values={
            "spell_backward": "embedded: made-up words to spell backward",
            "search_world": "embedded: questions about an invented knowledge base, answered by searching",
            "self_play": "questions proposed by the policy (search self-play)",
            "reasoning_gym": "a generator of the package reasoning-gym, named by task.name",
            "arithmetic": "sums, differences and products of small numbers, for a pretrained model",
            "jsonl": "a file of JSON lines with prompt and answer; with the suffix .json also a list",
            "json": "a JSON file with a list of rows, or with an object that has one",
            "csv": "a CSV or TSV file with a header and the columns prompt and answer",
            "parquet": "a Parquet file with prompt and answer",
            "gsm8k": "a file of JSON lines in the format of GSM8K",
            "hub": "a data set on the Hugging Face hub, named by task.path",
            "given": "tasks that a script hands to rekindle.train",
        },
    )
    environment: Literal["auto", "single_turn", "search", "given"] = key(
        "auto",
        "environment that plays the tasks",
        values={
            "auto": "search for search_world and self_play, else single_turn",
            "single_turn": "one prompt, one completion",
            "search": "several turns with a search tool",
            "given": "one that a script hands to rekindle.train",
        },
    )
    name: str | None = key(None, "data set name, e.g. spell_backward", only=on("task.source", "reasoning_gym"))
    path: OptionalPath = key(
        None,
        'file of tasks; hub: name of the data set, "owner/name"; self_play: answers to propose questions for, absent: '
        "those of the embedded search world",
        only=ROWS | ITSELF,
    )
    eval_path: OptionalPath = key(
        None,
        "file of held-out tasks; absent: eval.prompts rows are split off (self_play with a path: none)",
        only=FILES | (ITSELF & given("task.path", "ANSWERS", suggest=False)),
    )
    columns: ColumnsTable = ColumnsTable()
    subset: str | None = key(None, "subset of the data set; absent: its default or only one", only=HUB)
    split: str = key("train", "split of the data set to train on", only=HUB)
    eval_split: str | None = key(
        None, "split of held-out tasks; absent: eval.prompts rows of task.split are held out", only=HUB
    )
    revision: str | None = key(
        None, "branch, tag or commit of the data set; a run keeps the commit that it began with", only=HUB
    )
    params: dict[str, Any] = key(
        {},
        "parameters of the generator",
        only=(GENERATED | (ITSELF & absent("task.path"))).but('set task.source to a generator, e.g. "reasoning_gym"'),
    )
    overlong_prompts: Literal["fail", "drop"] = key(
        "fail",
        "prompts that leave no room for an answer in the model's context; they are counted before the first step",
        only=on("task.source", *PROMPT_SOURCES),
        values={"fail": "stay, and their groups fail", "drop": "leave the pool and the held-out prompts"},
    )
    pool_size: int | None = key(None, "prompts in the pool; absent: all of a file, 4096 of a generator", ge=1)
    verifier: Literal[
        "auto", "exact_match", "math", "reasoning_gym", "qa_exact_match", "cover_match", "f1", "judge"
    ] = key(
        "auto",
        "scorer of answers, from 0 to 1",
        values={
            "auto": "the source's own: math for gsm8k, arithmetic and single-turn files whose answers are all numbers, "
            "reasoning_gym for reasoning_gym, qa_exact_match for search, else exact_match",
            "exact_match": "1 if the final answer equals a reference answer, apart from surrounding white space",
            "math": "1 if the final answer is a result that equals the reference, by value or by math-verify",
            "reasoning_gym": "the scorer of the data set",
            "qa_exact_match": "1 if both have the same words, apart from case, articles and punctuation",
            "cover_match": "1 if a short text contains the words of a reference answer; also pays for short lists",
            "f1": "F1 of the words against the best matching reference answer",
            "judge": "a model behind an API, see [judge]",
        },
    )
    verifier_weight: float = key(
        1.0,
        "weight of the verifier beside `[[rewards]]`, which replace it where it is auto",
        gt=0,
        only=fact(
            "there are `[[rewards]]` and task.verifier has a name",
            verifier_is_a_reward,
            rewards=EXAMPLE_REWARDS,
            task__verifier="math",
        ).but('add [[rewards]] and set task.verifier = "math" or another verifier'),
    )
    audit: Literal["auto", "off"] = key(
        "auto",
        "audit where there are no `[[audits]]`",
        values={
            "auto": "the stricter sibling of the verifier: last_number of math, qa_exact_match of cover_match and f1",
            "off": "none",
        },
    )
    binary_rewards: bool = key(True, "turn scores into 0 or 1 at success_threshold", cases=(Case(REWARDS, False),))
    success_threshold: float = key(
        1.0,
        "a score of at least this much is a success; above 0 and at most 1, unless there are `[[rewards]]`",
        cases=(Case(REWARDS, 0.5),),
    )


class VerifyTable(Table):
    """Worker processes for third-party verifiers and reward functions."""

    read_when: ClassVar[Condition | None] = fact(
        "answers are judged in worker processes: by math, reasoning_gym, or a function",
        verifies_in_workers,
        task__verifier="math",
    ).but('a comparison of texts needs no workers, set task.verifier = "math"')

    workers: int = key(2, "worker processes", ge=1)
    timeout_seconds: float = key(
        5.0,
        "wall-clock limit of one verdict of math or reasoning_gym, seconds",
        gt=0,
        only=fact("a verifier or audit is math or reasoning_gym", uses_scorers, task__verifier="math"),
    )
    powers: bool = key(
        False,
        "a power of whole numbers is a result too, e.g. 2^10 for 1024",
        only=fact("a verifier or audit is math", uses_maths, task__verifier="math"),
    )
    unconfined: bool = key(
        False,
        "allow scorers that evaluate answers as Python code also where the system cannot confine them",
        only=fact(
            "a verifier or audit is reasoning_gym",
            uses_reasoning_gym,
            task__source="reasoning_gym",
            task__verifier="reasoning_gym",
        ),
    )


class JudgeTable(Table):
    """A model that judges answers, behind an OpenAI-compatible API."""

    read_when: ClassVar[Condition | None] = fact("a verifier or audit is judge", uses_judge, task__verifier="judge")

    url: str | None = key(None, "base address, e.g. http://127.0.0.1:8000/v1")
    model: str | None = key(None, "name the server knows it by")
    key_env: str | None = key(None, "environment variable with the API key; absent: none is sent")
    max_calls: int | None = key(None, "most calls of one process; later answers are not judged; absent: no limit", ge=1)
    timeout_seconds: float = key(60.0, "longest wait for one verdict, seconds", gt=0)
    concurrency: int = key(16, "requests in flight at the same time", ge=1)
    cache: OptionalPath = key(None, "SQLite file with verdicts; absent: kept in memory")
