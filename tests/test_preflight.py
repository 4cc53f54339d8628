"""Files that are looked at before torch is imported, and settings that tasks cut down."""

import pytest

from rekindle.notices import RekindleWarning
from rekindle.preflight import check_profilable, check_retriever, check_training, settled
from rekindle.recipes import resolve
from rekindle.retrieval.retriever import RetrievalError
from rekindle.scheduling.profiling import ProfileError
from rekindle.tasks.task_set import TaskSet
from rekindle.types import Task, UserError

SEARCH = "task.environment=search", "search.answer_tokens=4"
DENSE = "retriever.kind=dense", "retriever.corpus=corpus.jsonl", "retriever.encoder=encoder"


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.toml").write_text(
        "[model]\npath = 'm'\n[task]\nsource = 'jsonl'\npath = 't.jsonl'\n[train]\nsteps = 1\ngroups_per_step = 4\n"
    )
    (tmp_path / "corpus.jsonl").write_text('{"id": "1", "contents": "a"}\n')
    return lambda *settings, recipe="grpo": resolve(tmp_path / "run.toml", recipe, settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("retriever.corpus=nowhere.jsonl",), r"there is no corpus nowhere.jsonl; .*retriever.corpus"),
        (DENSE, r"there is no encoder directory at encoder \(retriever.encoder\)"),
        ((*DENSE, "retriever.vectors=v.npy"), "there is no (file v.npy|encoder)"),
    ],
)
def test_files_of_a_retriever_are_looked_for(config, settings, message):
    with pytest.raises(RetrievalError, match=message):
        check_retriever(config(*SEARCH, *settings))


def test_a_retriever_that_is_there_or_elsewhere_passes(config):
    check_retriever(config(*SEARCH, "retriever.corpus=corpus.jsonl"))
    check_retriever(config(*SEARCH, "retriever.kind=http", "retriever.url=http://127.0.0.1:1/retrieve"))
    check_retriever(config())


def tasks(count):
    return TaskSet(tuple(Task(str(number), f"p{number}", "a") for number in range(count)), ())


def test_a_profile_is_looked_for(config):
    pytest.importorskip("pyarrow")
    with pytest.raises(ProfileError, match=r"there is no file p.parquet; make a profile"):
        check_training(config("profile.path=p.parquet", recipe="sgpo"), tasks(9))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("train.groups_per_step=5",), "train.groups_per_step = 5 is more than the 4 prompts of the pool"),
        (("train.groups_per_step=1000",), "train.groups_per_step = 1000 is more than the 4 prompts"),
        (
            ("train.oversample=2", "train.gate=has_signal"),
            r"train.groups_per_step = 4 x train.oversample = 2 is more than the 4 prompts",
        ),
        (
            ("train.max_off_policy_steps=2", "train.steps=5"),
            r"train.groups_per_step = 4 in 3 steps in flight is more than the 4 prompts of the pool, and steps",
        ),
    ],
)
def test_a_step_that_the_pool_cuts_down_is_said(config, settings, said):
    with pytest.warns(RekindleWarning, match=said):
        check_training(config(*settings), tasks(4))


def test_a_step_that_fits_is_not_mentioned(config, recwarn):
    check_training(config(), tasks(4))
    assert not list(recwarn)


@pytest.mark.parametrize("setting", ["model.template=x.jinja", "model.template_variables={a=1}"])
def test_a_template_is_not_sent_to_an_endpoint(config, setting):
    check_profilable(config(setting))
    with pytest.raises(UserError, match="are not sent to an endpoint"):
        check_profilable(config(setting), endpoint=True)


def numbered(*answers):
    tasks = tuple(Task(str(i), f"p{i}", answer) for i, answer in enumerate(answers))
    return TaskSet(tasks[1:], tasks[:1])


@pytest.mark.parametrize(
    ("answers", "settings", "verifier"),
    [
        (("42", "7", "-1,234.5"), (), "math"),
        (("1/2", ("3", "3.0"), "$18"), (), "math"),
        (("42", "Paris"), (), "auto"),
        (("42", ("7", "seven")), (), "auto"),
        (("17 + 25", "42"), (), "auto"),
        (("42", "7"), ("task.verifier=exact_match",), "exact_match"),
        (("42", "7"), (*SEARCH, "retriever.corpus=corpus.jsonl"), "auto"),
        (("42", "7"), ("task.source=gsm8k",), "auto"),
    ],
)
def test_a_file_of_numbers_is_judged_as_mathematics_where_nothing_else_is_said(answers, settings, verifier, config):
    assert settled(config(*settings), numbered(*answers)).task.verifier == verifier


def test_the_held_out_prompts_are_counted_where_the_number_is_left_to_the_tasks(config):
    assert settled(config(), numbered("a", "b", "c")).eval.prompts == 1
    assert settled(config("eval.prompts=9"), numbered("a", "b", "c")).eval.prompts == 9
