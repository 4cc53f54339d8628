"""Checks of a run's files before torch is imported, and the first line that a run shows.

The tasks are read here in full and passed on, so that no file is read twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rekindle.config import Config
from rekindle.config.facts import (
    ROW_SOURCES,
    invents_its_world,
    needs_answers,
    plays_itself,
    plays_search,
    uses_reasoning_gym,
    verifier_judges,
    verifier_name,
)
from rekindle.config.tables.rewards import AuditTable, RewardTable
from rekindle.evaluation.profile_file import load_profile
from rekindle.evaluation.question_sets import QuestionSet
from rekindle.given import FUNCTION, Given, GivenReward
from rekindle.models.directory import (
    adapter_settings,
    check_adapter,
    check_model,
    expected_device,
    is_adapter,
    saved_parameters,
)
from rekindle.models.sources import Source, located
from rekindle.notices import Say, warn
from rekindle.retrieval.corpus import open_corpus
from rekindle.retrieval.retriever import RetrievalError
from rekindle.tasks import search_world, spell_backward
from rekindle.tasks.loading import TaskSet, load_tasks
from rekindle.tasks.qa_sets import read_questions
from rekindle.types import UserError
from rekindle.verifiers.functions import FunctionJudge, LocalFunction, WorkerFunction, check_call
from rekindle.verifiers.guards import evaluated
from rekindle.verifiers.literals import read_literal
from rekindle.verifiers.reasoning_gym import check_confinement

__all__ = [
    "PolicyFiles",
    "check_profilable",
    "check_retriever",
    "check_rewards",
    "check_training",
    "checked_parts",
    "policy_files",
    "question_sets",
    "refuse_given",
    "settled",
    "start_parameters",
    "task_set",
]

SPECIAL_TOKENS = 3
"""Number of special tokens of a tiny model (padding, end, unknown), after its characters or words."""
LARGE_BYTES = 20_000_000
"""Least size of files that are announced; reading 20 MB takes about a second."""


def task_set(config: Config, say: Say, *, commit: str | None = None) -> TaskSet:
    """The pool and the held-out prompts of a configuration.

    Args:
        config: The complete configuration.
        say: Shows a line before slow work.
        commit: Commit of a data set on the hub that a run began with, which is used instead of ``task.revision``.

    Raises:
        TaskError: A file is missing or malformed, a data set cannot be downloaded, or a generator's name or parameters
            are wrong.
        VerifierError: This system cannot confine the scorer, and ``verify.unconfined`` does not allow that.
    """
    if uses_reasoning_gym(config) and not config.verify.unconfined:
        check_confinement(evaluated(config.task.name or "", config.task.params))
    if config.task.source == "reasoning_gym":
        say(f"generating tasks of {config.task.name} ...")
    for path in filter(None, (config.task.path, config.task.eval_path)):
        _say_if_large(Path(path), say)
    return load_tasks(
        config.task,
        eval_prompts=config.eval.prompts,
        seed=0,
        needs_answers=needs_answers(config),
        commit=commit,
        say=say,
    )


def settled(config: Config, tasks: TaskSet) -> Config:
    """The configuration with what its defaults leave to the tasks: ``eval.prompts``, and the verifier of a file.

    A file whose answers are all numbers is judged as mathematics where the verifier is "auto", so that ``17 + 25 = 42``
    is an answer and ``17 + 25`` is none.
    """
    task, held_out = config.task, config.eval.prompts
    without_own = task.source in ROW_SOURCES and verifier_name(task) == "exact_match" and verifier_judges(config)
    if task.verifier == "auto" and without_own and not plays_search(config) and _are_numbers(tasks):
        task = task.model_copy(update={"verifier": "math"})
    if held_out is None:
        held_out = len(tasks.held_out)
    evaluation = config.eval.model_copy(update={"prompts": held_out})
    return config.model_copy(update={"task": task, "eval": evaluation})


def _are_numbers(tasks: TaskSet) -> bool:
    answers = (one.answer for one in (*tasks.pool, *tasks.held_out))
    return all(read_literal(one) for answer in answers for one in ((answer,) if isinstance(answer, str) else answer))


def check_profilable(config: Config, *, endpoint: bool = False) -> None:
    """Check that a profile can be measured: there are tasks before the run, and an endpoint can play them.

    Raises:
        UserError: It cannot.
    """
    if plays_itself(config):
        raise UserError(
            'task.source = "self_play" invents its questions in the run, so there are none to profile; profile a '
            'set of questions with task.source = "jsonl", or evaluate with `rekindle eval`'
        )
    if endpoint and plays_search(config):
        raise UserError(
            'task.environment = "search" is played turn by turn with the policy\'s own engine; profile a model '
            "directory (model.path) instead of an endpoint"
        )
    if endpoint and (config.model.template is not None or config.model.template_variables):
        raise UserError(
            "model.template and model.template_variables are not sent to an endpoint, which renders prompts with its "
            "own chat template; remove them, or profile a model directory"
        )


def check_retriever(config: Config) -> None:
    """Check that the files of the retriever exist.

    Raises:
        RetrievalError: One does not.
    """
    table = config.retriever
    if not plays_search(config) or invents_its_world(config) or table.kind in {"http", "given"}:
        return
    if table.corpus is not None:
        open_corpus(Path(table.corpus)).close()
    if table.encoder is not None and not Path(table.encoder).is_dir():
        raise RetrievalError(f"there is no encoder directory at {table.encoder} (retriever.encoder); correct the path")
    if table.vectors is not None and not Path(table.vectors).is_file():
        raise RetrievalError(f"there is no file {table.vectors} (retriever.vectors); correct the path")


def check_rewards(config: Config, tasks: TaskSet, given: Sequence[GivenReward] = ()) -> None:
    """Check that functions of rewards and audits can be imported and called, in processes with a time limit.

    Args:
        config: Names the functions.
        tasks: Have the columns that the functions ask for.
        given: Functions that a script handed over.

    Raises:
        VerifierError: One cannot.
    """
    functions = {one.place: one.function for one in given}
    tables: dict[str, RewardTable | AuditTable] = {}
    tables |= {f"rewards[{index}]": one for index, one in enumerate(config.rewards)}
    tables |= {f"audits[{index}]": one for index, one in enumerate(config.audits)}
    for place, table in tables.items():
        if table.function is None:
            continue
        where = f'{place}.function = "{table.function}"'
        function = functions.get(table.function)
        if function is None:
            refuse_given(table.function, where)
            judge: FunctionJudge = WorkerFunction(
                table.function, where, workers=1, timeout_seconds=table.timeout_seconds
            )
        else:
            judge = LocalFunction(function, where)
        judge.close()
        check_call(judge.signature, [*tasks.pool, *tasks.held_out], where, token_ids=not plays_search(config))


def refuse_given(function: str, where: str) -> None:
    """Refuse a function that only a Python script can hand over.

    Raises:
        UserError: The function is one.
    """
    if function.startswith(f"{FUNCTION}:"):
        raise UserError(
            f"{where} was a Python function that a script gave to rekindle.train; run that script again, or put the "
            "function into a file and name it"
        )


def checked_parts(
    config: Config,
    given: Given,
    say: Say,
    *,
    saved: Path | None = None,
    model_commit: str | None = None,
    tasks_commit: str | None = None,
) -> "tuple[TaskSet, PolicyFiles]":
    """The tasks and the policy of a run, after checks of all files.

    Args:
        config: The complete configuration.
        given: Parts that a script made itself.
        say: Shows a line before slow work.
        saved: See ``policy_files``.
        model_commit: See ``policy_files``.
        tasks_commit: See ``task_set``.

    Raises:
        UserError: A file, a model or a function cannot be used.
    """
    policy = policy_files(config, saved, say, commit=model_commit)
    if not given.retrievers:
        check_retriever(config)
    tasks = given.tasks or task_set(config, say, commit=tasks_commit)
    check_rewards(config, tasks, given.rewards)
    check_training(config, tasks)
    return tasks, policy


def check_training(config: Config, tasks: TaskSet) -> None:
    """Check the profile of a run, and warn of settings that its tasks cut down.

    Raises:
        ProfileError: There is no profile at ``profile.path``, or it is damaged.
    """
    if config.profile.path is not None:
        load_profile(Path(config.profile.path))
    train, steps = config.train, 1 + config.train.max_off_policy_steps
    drawn = train.groups_per_step * train.oversample * steps
    if not plays_itself(config) and drawn > len(tasks.pool):
        times = f" x train.oversample = {train.oversample}" if train.oversample > 1 else ""
        times += f" in {steps} steps in flight" if steps > 1 else ""
        which = "a step has a prompt" if steps == 1 else "steps in flight have a prompt"
        warn(
            f"train.groups_per_step = {train.groups_per_step}{times} is more than the {len(tasks.pool):,} "
            f"prompts of the pool, and {which} at most once, so steps are smaller; lower "
            "train.groups_per_step, or add prompts"
        )


def question_sets(chosen: Mapping[str, Path], say: Say) -> list[QuestionSet]:
    """Read question sets from the files of ``{name: path}``.

    Raises:
        TaskError: A file cannot be used.
    """
    sets = []
    for name, path in chosen.items():
        _say_if_large(path, say)
        sets.append(QuestionSet(name, tuple(read_questions(path))))
    return sets


def _say_if_large(path: Path, say: Say) -> None:
    size = path.stat().st_size if path.is_file() else 0
    if size >= LARGE_BYTES:
        say(f"reading {path} ({size / 1e6:,.0f} MB) ...")


@dataclass(frozen=True, slots=True)
class PolicyFiles:
    """The files of the policy that a command begins with; they are checked.

    Attributes:
        saved: Directory of a checkpoint's model or adapter; None: the policy is the start model.
        source: The start model, or the model below an adapter; None where it is not needed, or made here.
        loading: Line about what is loaded, e.g. ``loading models/x (135 M, float32, cpu)``.
        commit: Commit of the start model on the hub; None elsewhere.
    """

    saved: Path | None
    source: Source | None
    loading: str
    commit: str | None = None

    @property
    def ready(self) -> Path | None:
        """The model directory, where it exists already."""
        if self.saved is not None and not is_adapter(self.saved):
            return self.saved
        return None if self.source is None else self.source.ready


def policy_files(config: Config, saved: Path | None, say: Say, *, commit: str | None = None) -> PolicyFiles:
    """Find and check the files of a policy; a model of the hub is downloaded. Does not import torch.

    Args:
        config: Names the start model (``model.path``), the data type and the device.
        saved: Directory of a model or adapter to load instead; None: the start model.
        say: Shows a line before slow work.
        commit: Commit of the start model that a run began with, which is used instead of ``model.revision``.

    Raises:
        ModelError: A file is missing or damaged, or a model cannot be downloaded.
    """
    path, source, parameters = config.model.path, None, None
    if saved is not None and not is_adapter(saved):
        check_model(saved)
        return PolicyFiles(saved, None, _loading(config, str(saved), saved_parameters(saved)), commit)
    if saved is not None:
        check_adapter(saved)
        recorded = adapter_settings(saved)
        if path is None and config.model.lora.rank == 0:  # not the adapter of a tiny model
            path = recorded.get("base_model_name_or_path")
        if path is not None and path == recorded.get("base_model_name_or_path"):
            commit = commit or recorded.get("revision")
    if path is not None:
        source = located(path, commit or config.model.revision, say)
        parameters, commit = source.parameters, source.commit
    what = path or "the start policy"
    name = what if saved is None else f"{what} with the adapter {saved}"
    return PolicyFiles(saved, source, _loading(config, name, parameters if path else start_parameters(config)), commit)


def _loading(config: Config, what: str, parameters: int | None) -> str:
    facts = [_millions(parameters)] if parameters else []
    facts += [config.model.dtype, expected_device(config.model.device)]
    return f"loading {what} ({', '.join(facts)})"


def _millions(parameters: int) -> str:
    count, unit = (parameters / 1e9, "B") if parameters >= 1e9 else (parameters / 1e6, "M")
    return f"{count:.0f} {unit}" if count >= 9.95 else f"{count:.1f} {unit}"


def start_parameters(config: Config) -> int:
    """Number of weights of the tiny model of ``warm_starts``: a Llama with tied embeddings."""
    tiny, words = config.model.tiny, len(spell_backward.CHARACTERS)
    if invents_its_world(config):
        params = search_world.Params.read(config.task.params)
        words = len(search_world.vocabulary(params, self_play=plays_itself(config)))
    width = tiny.hidden_size
    keys_and_values = 2 * width * (width // tiny.heads) * tiny.kv_heads
    block = 2 * width * width + keys_and_values + 3 * width * tiny.intermediate_size + 2 * width
    return (words + SPECIAL_TOKENS) * width + tiny.layers * block + width
