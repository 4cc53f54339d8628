"""LLM judge behind an OpenAI-compatible API; without a clear verdict there is no credit."""

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from rekindle.config.tables.task import JudgeTable
from rekindle.engines.endpoint import Endpoint, EndpointCompletion, EndpointRequest
from rekindle.notices import warn
from rekindle.types import Task
from rekindle.verifiers.completions import final_answer
from rekindle.verifiers.judge_cache import VerdictCache, verdict_key
from rekindle.verifiers.judge_prompt import SYSTEM_PROMPT, is_presentable, judge_prompt, parse_verdict
from rekindle.verifiers.qa import qa_exact_match, repeats_question
from rekindle.verifiers.verifier import Verdict, VerifierError

__all__ = ["JudgeVerifier", "build_judge"]

MAX_TOKENS = 1024
"""Token limit of a reply: one word, after the thoughts of a reasoning model."""
NO_VERDICT = Verdict(0.0, "judge", void=True)

Case = tuple[str, tuple[str, ...], str]
"""Question, reference answers, answer to judge."""


class JudgeVerifier:
    """Verifier: an LLM judge's verdict on a completion's final answer: 1.0, 0.0, or the void failure ``"judge"``.

    Some cases are decided without a call: an answer that matches a reference by ``qa_exact_match`` is right; an answer
    that is empty, repeats the question, or may not be shown to a judge (see ``judge_prompt``), is wrong. Equal cases
    are sent once, and cached verdicts are reused. A case fails when the judge cannot be reached, when its reply is not
    one of the two verdicts, or when the budget is spent.

    Args:
        endpoint: The judge, with ``judge_prompt.SYSTEM_PROMPT`` as its system prompt.
        concurrency: The endpoint's concurrency. After this many failed requests in a row the judge counts as down, and
            the rest of the batch is not sent.
        cache: Stores verdicts; closed with the verifier.
        max_calls: Most cases sent to the judge; None for no limit. Retries of a failed request do not count.
    """

    def __init__(
        self, endpoint: Endpoint, *, concurrency: int, cache: VerdictCache, max_calls: int | None = None
    ) -> None:
        self._endpoint, self._patience, self._cache, self._budget = endpoint, concurrency, cache, max_calls
        self._calls, self._told = 0, False
        self._lock = threading.Lock()

    def judge(self, items: Sequence[tuple[Task, str]]) -> list[Verdict]:
        """See ``Verifier.judge``; a task without a reference answer gives the failure ``"error"``.

        Raises:
            EndpointError: The judge refuses a request for good (a wrong key, an unknown model).
            VerifierError: The cache's file cannot be used.
        """
        cases = [_case(task, text) for task, text in items]
        decided = {case: verdict for case in dict.fromkeys(cases) if (verdict := self._known(case)) is not None}
        open_cases = self._affordable([case for case in dict.fromkeys(cases) if case not in decided])
        decided |= self._ask(open_cases)
        return [decided.get(case, NO_VERDICT) for case in cases]

    def close(self) -> None:
        """Close the cache. May be called twice."""
        self._cache.close()

    def _known(self, case: Case) -> Verdict | None:
        """The verdict of a case that needs no call; None for other cases."""
        question, references, answer = case
        if not any(reference.strip() for reference in references):
            return Verdict(0.0, "error")
        if qa_exact_match(answer, references):
            return Verdict(1.0)
        if not is_presentable(answer) or any(repeats_question(answer, asked) for asked in _asked(question)):
            return Verdict(0.0)
        found = self._cache.get(verdict_key(self._endpoint.model, *case))
        return None if found is None else Verdict(float(found))

    def _affordable(self, cases: list[Case]) -> list[Case]:
        """The first cases within the budget; warns when some are left out."""
        if self._budget is None:
            return cases
        with self._lock:
            left = self._budget - self._calls
            self._calls += min(left, len(cases))
            told, self._told = self._told, self._told or left < len(cases)
        if self._told and not told:
            warn(f"judge.max_calls = {self._budget} is spent: further answers are not judged; raise it", stacklevel=3)
        return cases[:left]

    def _ask(self, cases: Sequence[Case]) -> Mapping[Case, Verdict]:
        """Ask the judge and cache each verdict as it arrives; cases without a verdict are left out."""
        requests = [
            EndpointRequest(judge_prompt(*case), temperature=0.0, max_tokens=MAX_TOKENS, seed=0) for case in cases
        ]
        verdicts: dict[Case, Verdict] = {}
        failed_in_a_row = 0
        for index, completions in self._endpoint.complete(requests):
            failed_in_a_row = failed_in_a_row + 1 if completions is None else 0
            if failed_in_a_row == self._patience:
                break
            correct = None if completions is None else _verdict_in(completions[0])
            if correct is not None:
                self._cache.put(verdict_key(self._endpoint.model, *cases[index]), correct)
                verdicts[cases[index]] = Verdict(float(correct))
        return verdicts


def build_judge(table: JudgeTable) -> JudgeVerifier:
    """Build the judge of a configuration. No request is sent before the first answer that needs a verdict.

    Raises:
        VerifierError: The address, the model or the API key is missing, or the cache's file cannot be used.
        EndpointError: The address or the key cannot be used.
    """
    if table.url is None or table.model is None:
        missing = "judge.url" if table.url is None else "judge.model"
        raise VerifierError(f'task.verifier = "judge" needs {missing}, which is not set; set it')
    endpoint = Endpoint(
        table.url,
        table.model,
        api_key=_api_key(table.key_env),
        timeout_seconds=table.timeout_seconds,
        concurrency=table.concurrency,
        system_prompt=SYSTEM_PROMPT,
        counts_tokens=False,
    )
    cache = VerdictCache(None if table.cache is None else Path(table.cache))
    return JudgeVerifier(endpoint, concurrency=table.concurrency, cache=cache, max_calls=table.max_calls)


def _verdict_in(completion: EndpointCompletion) -> bool | None:
    return None if completion.truncated else parse_verdict(completion.text)


def _api_key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable)
    if not key:
        raise VerifierError(
            f'judge.key_env = "{variable}" names an environment variable that is not set; export {variable} with the '
            "API key, or leave judge.key_env out"
        )
    return key


def _asked(question: str) -> tuple[str, str]:
    """The question, and of a conversation the last turn of the user."""
    return question, question.rpartition("\nuser: ")[2]


def _case(task: Task, text: str) -> Case:
    references = (task.answer,) if isinstance(task.answer, str) else tuple(task.answer)
    return task.conversation, references, final_answer(text)
