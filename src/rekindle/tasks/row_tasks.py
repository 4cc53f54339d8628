"""The task of a row, whichever columns its prompt and its answer have."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rekindle.choices import few
from rekindle.config.tables.task import ColumnsTable
from rekindle.tasks.columns import answer_of, last_box, named, prompt_name, value_in
from rekindle.tasks.fields import encodable, id_text, text_of
from rekindle.tasks.messages import Prompt, prompt_of
from rekindle.tasks.qa_sets import has_question, question_task
from rekindle.tasks.task_set import TaskError
from rekindle.types import Task

__all__ = ["RowReader"]

GSM8K_MARK = "####"


@dataclass(frozen=True, slots=True)
class RowReader:
    """Reads the task of each row of a source.

    Attributes:
        columns: Columns that the user names.
        needs_answers: Refuse rows without an answer; elsewhere their answer is "".
        format: ``"gsm8k"``: question and answer of GSM8K; ``"any"``: any row, also one of GSM8K; ``"plain"``: any other
            row.
        found: Keys of ``columns`` whose columns some row had.
    """

    columns: ColumnsTable
    needs_answers: bool = True
    format: str = "plain"
    found: set[str] = field(default_factory=set)

    def task(self, place: str, fields: Mapping[str, object]) -> Task:
        """The task of a row; its id is "" where the row has none.

        Raises:
            TaskError: The row cannot be used; the message begins with ``place``.
        """
        if self.format == "gsm8k":
            return _gsm8k_task(place, fields)
        row = {str(name).strip().lower(): value for name, value in fields.items()}
        own = self.columns.prompt is not None or self.columns.answer is not None
        given = fields if self.needs_answers else {name: value for name, value in fields.items() if not _blank(value)}
        if not own and not {"prompt", "answer"} <= row.keys() and has_question(given):
            return self._question_task(place, fields)
        name, prompt = self._prompt(place, fields, row)
        answer = self._answer(place, fields, row)
        metadata = {key: value for key, value in fields.items() if str(key).strip().lower() != name}
        return Task(self._id(place, fields, row), prompt.text, answer, metadata, prompt.messages)

    def check_found(self, where: str) -> None:
        """Refuse names of columns that no row had.

        Raises:
            TaskError: There is one.
        """
        for key, name in self.columns.model_dump(exclude_none=True).items():
            if key not in self.found:
                raise TaskError(
                    f'no row of {where} has anything in the column "{name}" (task.columns.{key}); correct or remove it'
                )

    def _prompt(self, place: str, fields: Mapping[str, object], row: Mapping[str, object]) -> tuple[str, Prompt]:
        """Column of the prompt in lower case, and the prompt."""
        own = self.columns.prompt
        if own is not None:
            self.found.add("prompt")
            return own.lower(), prompt_of(place, own, named(place, fields, "prompt", own))
        name = prompt_name(row) or ("prompt" if "prompt" in row else None)
        if name is None:
            raise _lacking(place, fields, "add what is missing, or name your columns (task.columns)")
        return name, prompt_of(place, name, row[name])

    def _answer(self, place: str, fields: Mapping[str, object], row: Mapping[str, object]) -> str | tuple[str, ...]:
        value = self._answer_value(place, fields, row)
        if not self.needs_answers and _blank(value):
            return ""
        answers = _answers(place, value)
        if self.format == "any" or self.columns.answer is not None:
            answers = tuple(self._result(place, one) for one in answers)
        return _one_or_all(answers)

    def _answer_value(self, place: str, fields: Mapping[str, object], row: Mapping[str, object]) -> object | None:
        own = self.columns.answer
        if own is not None:
            value = named(place, fields, "answer", own) if self.needs_answers else value_in(fields, own)
            if value is not None:
                self.found.add("answer")
            whole = own.rpartition(".")[2].lower() == "solution" and isinstance(value, str)
            return (last_box(str(value)) if whole else None) or value
        if "prompt" in row and "answer" in row:
            return row["answer"]
        value = answer_of(place, row, needed=self.needs_answers)
        if value is None and self.needs_answers:
            raise _lacking(
                place,
                fields,
                "add what is missing, name the column of the answer (task.columns.answer), or train with a reward that "
                "needs none ([[rewards]])",
            )
        return value

    def _id(self, place: str, fields: Mapping[str, object], row: Mapping[str, object]) -> str:
        own = self.columns.id
        value = row.get("id") if own is None else value_in(fields, own)
        if value is None:
            return ""
        self.found.add("id")
        return id_text(place, own or "id", value)

    def _question_task(self, place: str, fields: Mapping[str, object]) -> Task:
        task = question_task(place, fields)
        task = replace(task, answer=_one_or_all(tuple(self._result(place, one) for one in task.answer)))
        own = self.columns.id
        return task if own is None else replace(task, id=self._id(place, fields, {}) or task.id)

    def _result(self, place: str, answer: str) -> str:
        """The answer, or the result at the end of a solution of GSM8K.

        Raises:
            TaskError: It is such a solution, and the source does not read them.
        """
        if "\n" + GSM8K_MARK not in answer:
            return answer
        if self.format == "plain":
            raise TaskError(
                f'{place}: the answer is a solution that ends with "{GSM8K_MARK} <number>"; use task.source = "gsm8k"'
            )
        return _marked_result(place, answer)


def _blank(value: object) -> bool:
    return value is None or value == [] or (isinstance(value, str) and not value.strip())


def _lacking(place: str, fields: Mapping[str, object], remedy: str) -> TaskError:
    return TaskError(
        f'{place}: a row needs "prompt" and "answer", or "question" and "answer" or "golden_answers", and this one has '
        f"{few(fields) or 'nothing'}; {remedy}"
    )


def _one_or_all(answers: tuple[str, ...]) -> str | tuple[str, ...]:
    return answers[0] if len(answers) == 1 else answers


def _answers(place: str, value: object) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if not values:
        raise TaskError(f'{place}: "answer" is an empty list; name at least one accepted answer')
    return tuple(_answer(place, one) for one in values)


def _answer(place: str, value: object) -> str:
    text = text_of(value)
    if text is None or not text.strip():
        raise TaskError(
            f'{place}: "answer" must be text, a number or a list of these, not {value!r:.80}; '
            "without an answer nothing can be verified"
        )
    return encodable(place, text)


def _gsm8k_task(place: str, fields: Mapping[str, object]) -> Task:
    prompt, solution = _text(place, fields, "question"), _text(place, fields, "answer")
    others = {name: value for name, value in fields.items() if name not in {"question", "answer"}}
    return Task("", prompt, _marked_result(place, solution), {**others, "solution": solution})


def _marked_result(place: str, solution: str) -> str:
    _, mark, reference = solution.rpartition(GSM8K_MARK)
    reference = reference.replace(",", "").strip()
    if not mark or not reference:
        raise TaskError(
            f'{place}: the answer has no "{GSM8K_MARK} <number>" at its end; use task.source = "jsonl" instead'
        )
    return reference


def _text(place: str, fields: Mapping[str, object], name: str) -> str:
    if name not in fields:
        raise TaskError(f'{place}: there is no "{name}" (fields: {few(fields) or "none"}); add it')
    value = fields[name]
    if not isinstance(value, str):
        raise TaskError(f'{place}: "{name}" must be text, not {type(value).__name__}; write it as text')
    return prompt_of(place, name, value).text
