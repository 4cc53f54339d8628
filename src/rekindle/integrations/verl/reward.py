"""A reward function for verl that judges with rekindle's verifiers.

    reward.custom_reward_function.path=pkg://rekindle.integrations.verl.reward

``reward_manager.PromptRewardManager`` tells it the prompt as well, so that what was copied from it is no answer.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from rekindle.config.tables.task import VerifyTable
from rekindle.integrations.verl.ground_truths import answers_in
from rekindle.types import Task, UserError
from rekindle.verifiers.rewards import named_verifier
from rekindle.verifiers.verifier import Verifier

__all__ = ["PROMPT", "THOUGHT", "VerifierName", "check_row", "compute_score", "verifier_of"]

VerifierName = Literal["math", "qa_exact_match", "cover_match", "f1", "exact_match"]
"""Names of the verifiers that can be the reward of a run on verl."""

MATHS = (
    "openai/gsm8k", "gsm8k", "math", "aime", "amc", "olympiad", "minerva", "numina_", "lighteval/math",
    "digitallearninggmbh/math", "huggingfaceh4/math", "dapo",
)  # fmt: skip
"""Beginnings of the names of data sources whose answers are mathematical."""
QUESTIONS = ("nq", "triviaqa", "popqa", "hotpotqa", "2wikimultihopqa", "musique", "bamboogle")
"""Data sources of questions with short answers; verl's own preparation puts ``searchR1_`` before them."""

PROMPT = "prompt"
"""Entry of ``extra_info`` with the prompt: chat messages or text."""
THOUGHT = "opened_thought"
"""Entry of ``extra_info`` with the mark of a thought that the rendered prompt begins, such as ``<think>``."""


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    *,
    verifier: VerifierName | None = None,
    reward_router_address: str | None = None,
    reward_model_tokenizer: Any = None,
) -> dict[str, float]:
    """The score of a response, for verl.

    Args:
        data_source: Column ``data_source`` of the row; it decides on the verifier.
        solution_str: The response, without special tokens.
        ground_truth: ``reward_model.ground_truth`` of the row: text, number, list of accepted answers, or Search-R1's
            ``{"target": [...]}``.
        extra_info: Column ``extra_info``; the prompt is in ``prompt``, or in ``question`` where verl's own preparation
            of a data set puts it. Without it a copy of the prompt cannot be told from an answer.
        verifier: Judge by this one, ``+reward.custom_reward_function.reward_kwargs.verifier=...``.
        reward_router_address: Not used.
        reward_model_tokenizer: Not used.

    Returns:
        ``score`` and ``acc`` from 0 to 1, and ``unjudged``, 1.0 where the verifier failed (then the score is 0).

    Raises:
        UserError: The data source is unknown and no verifier is named, or the row has no reference answer.
        MissingExtraError: math-verify is needed and not installed.
    """
    told = extra_info or {}
    answers = _answers(data_source, ground_truth, told)
    text = f"{told.get(THOUGHT) or ''}{solution_str}"
    [verdict] = _verifier(verifier or verifier_of(data_source)).judge([(_task(told, answers), text)])
    return {"score": verdict.score, "acc": verdict.score, "unjudged": float(verdict.failure is not None)}


def _answers(data_source: str, ground_truth: Any, told: Mapping[str, Any]) -> tuple[str, ...]:
    answers = answers_in(ground_truth)
    if not any(one.strip() for one in answers):
        raise UserError(
            f'a row of "{data_source}" (extra_info.index {told.get("index")!r}) has no reference answer in '
            "reward_model.ground_truth, so nothing can be verified; add it, or remove the row"
        )
    return answers


def check_row(row: Mapping[str, Any], verifier: VerifierName | None = None) -> None:
    """Check that responses to a row can be judged, before there are any.

    Args:
        row: A row in verl's columns.
        verifier: That of ``compute_score``.

    Raises:
        UserError: See ``compute_score``.
    """
    source = str(row.get("data_source"))
    _verifier(verifier or verifier_of(source))
    _answers(source, (row.get("reward_model") or {}).get("ground_truth"), row.get("extra_info") or {})


def verifier_of(data_source: str) -> VerifierName:
    """The verifier that suits a data source of verl.

    Raises:
        UserError: The data source is unknown.
    """
    name = data_source.lower()
    if name.startswith(MATHS):
        return "math"
    if name.removeprefix("searchr1_") in QUESTIONS:
        return "qa_exact_match"
    raise UserError(
        f'the verifier for data_source = "{data_source}" is not known; name one: '
        "+reward.custom_reward_function.reward_kwargs.verifier=math (or qa_exact_match, exact_match, f1, cover_match)"
    )


@cache
def _verifier(name: VerifierName) -> Verifier:
    """One for all rollouts of a process, with its worker process."""
    return named_verifier(name, VerifyTable())


def _task(told: Mapping[str, Any], answers: tuple[str, ...]) -> Task:
    prompt = told.get(PROMPT)
    messages = () if prompt is None or isinstance(prompt, str) else tuple(_message(one) for one in prompt)
    text = messages[-1]["content"] if messages else prompt or told.get("question") or ""
    return Task("", str(text), answers, messages=messages)


def _message(message: Mapping[str, Any]) -> dict[str, str]:
    """A message of text; parts that are no text, such as images, are left out."""
    content = message.get("content") or ""
    if not isinstance(content, str):
        content = "".join(str(part.get("text", "")) for part in content)
    return {"role": str(message.get("role")), "content": content}
