"""Data sets of the hub, downloaded from a server that speaks its protocol."""

import json

import pytest

from fake_hub import offline, serving, unreachable, used
from rekindle.config.tables.task import ColumnsTable, TaskTable
from rekindle.tasks.loading import load_tasks
from rekindle.tasks.task_set import TaskError

NAME = "someone/maths"
ON_HUB = f"datasets/{NAME}"


@pytest.fixture(scope="module")
def server():
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def hub(server, tmp_path, monkeypatch):
    for content in (server.commits, server.branches, server.refused, server.requests):
        content.clear()
    server.token, server.broken_after = "", None
    with used(server, tmp_path / "cache", monkeypatch):
        yield server


def lines(count, start=0, **more):
    rows = [{"prompt": f"{n}+1=", "answer": n + 1, **more} for n in range(start, start + count)]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def push(hub, **more):
    """A data set with the splits train and test; returns its commit."""
    files = {"train.jsonl": lines(10), "test.jsonl": lines(4, 20), "x.py": b"", **more}
    return hub.push_files(ON_HUB, files)


def read(commit=None, *, eval_prompts=2, **settings):
    said = []
    table = TaskTable(**{"source": "hub", "path": NAME, **settings})
    return load_tasks(table, eval_prompts=eval_prompts, seed=0, commit=commit, say=said.append), said


def downloads(hub):
    return sorted({one.rpartition("/")[2] for one in hub.requests if "/resolve/" in one})


def test_a_split_is_downloaded_once_and_pinned(hub):
    commit = push(hub)
    tasks, said = read()
    assert (len(tasks.pool), len(tasks.held_out), tasks.commit) == (8, 2, commit)
    assert said == [f"downloading {NAME} (train) ..."]
    assert downloads(hub) == ["train.jsonl"], "other splits and files are left alone"
    asked = len(hub.requests)
    assert read(revision=commit) == (tasks, [])
    assert read(commit=commit) == (tasks, [])
    assert len(hub.requests) == asked, "a commit that is in the cache needs no network"


def test_held_out_tasks_of_another_split(hub):
    push(hub)
    tasks, said = read(eval_split="test", eval_prompts=None)
    assert (len(tasks.pool), len(tasks.held_out)) == (10, 4)
    assert said == [f"downloading {NAME} (train and test) ..."]


def test_a_run_keeps_its_commit_when_the_data_set_moves_on(hub):
    first = push(hub)
    before, _ = read()
    second = push(hub, **{"train.jsonl": lines(12)})
    assert read(commit=first)[0] == before
    newest, _ = read()
    assert (newest.commit, len(newest.pool)) == (second, 10)
    assert read(revision=first)[0] == before


def test_subsets_of_a_card_in_several_files(hub):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    sink = pyarrow.BufferOutputStream()
    rows = [{"question": f"{n}?", "answer": f"It is {n}.\n#### {n},000"} for n in range(1, 4)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    card = (
        "---\nconfigs:\n- config_name: main\n  data_files:\n  - split: train\n    path: main/train-*\n"
        "- config_name: other\n  data_files: other/*\n---\n# Text\n"
    )
    push(
        hub,
        **{
            "README.md": card.encode(),
            "main/train-00000-of-00002.parquet": sink.getvalue().to_pybytes(),
            "main/train-00001-of-00002.parquet": sink.getvalue().to_pybytes(),
            "other/[1].jsonl": lines(5),
        },
    )
    with pytest.warns(UserWarning, match=rf"{NAME} \(train\): 3 rows repeat an earlier prompt"):
        tasks, _ = read(subset="main", eval_prompts=1)
    assert sorted((task.prompt, task.answer) for task in (*tasks.pool, *tasks.held_out)) == [
        ("1?", "1000"), ("2?", "2000"), ("3?", "3000"),
    ]  # fmt: skip
    assert len(read(subset="other", eval_prompts=1)[0].pool) == 4, "a file whose name has brackets"
    with pytest.raises(TaskError, match=f"{NAME} has several subsets; set task.subset to one of main, other"):
        read()
    columns = ColumnsTable(prompt="question", answer="answer")
    with pytest.warns(UserWarning, match="3 rows repeat"):
        assert read(subset="main", eval_prompts=1, columns=columns)[0].pool[0].answer.endswith("000")


def test_the_copy_that_the_hub_keeps_as_parquet(hub):
    hub.push_files(ON_HUB, {"main/train/0000.jsonl": lines(5)})
    hub.branches[ON_HUB] = {"refs/convert/parquet": next(iter(hub.commits[ON_HUB]))}
    hub.push_files(ON_HUB, {"maths.py": b"", "data.zip": b""})
    with pytest.raises(
        TaskError,
        match=r'has no files with rows \(jsonl, .*\), but data.zip, ma.*; set task.revision = "refs/convert/parquet"',
    ):
        read()
    assert len(read(revision="refs/convert/parquet")[0].pool) == 3


@pytest.mark.parametrize(
    ("refusal", "settings", "message"),
    [
        (None, {"path": "someone/else"},
         "^there is no data set someone/else on the hub that you may read; correct task.path"),
        ((401, "RepoNotFound"), {}, "for a private data set, set HF_TOKEN, or log in with `hf auth login`"),
        ((403, "GatedRepo"), {}, f"the data set {NAME} on the hub is gated; accept its terms"),
        (None, {"revision": "v9"}, f"the data set {NAME} on the hub has no revision 'v9'; correct task.revision"),
        ((500, "Oops"), {}, f"the data set {NAME} could not be downloaded from the hub .*check the network"),
        (None, {"split": "dev"}, f'the data set {NAME} has no split "dev"; set task.split to one of test, train'),
        (None, {"eval_split": "dev"}, "set task.eval_split to one of test, train"),
        (None, {"subset": "main"}, f'the data set {NAME} has no subset "main"; set task.subset to one of default'),
        (None, {"columns": ColumnsTable(prompt="text")}, r'train.jsonl:1: there is nothing in the column "text"'),
    ],
)  # fmt: skip
def test_data_sets_that_cannot_be_had_get_one_sentence(hub, refusal, settings, message):
    push(hub)
    if refusal:
        hub.refused[ON_HUB] = refusal
    with pytest.raises(TaskError, match=message) as caught:
        read(**settings)
    assert "\n" not in str(caught.value)


def test_a_card_that_cannot_be_read_is_named(hub):
    push(hub, **{"README.md": b"---\nconfigs: [\n---\n"})
    with pytest.raises(
        TaskError, match=rf"the card of the data set {NAME} \(.*README.md\) has no readable list"
    ) as caught:
        read()
    assert "\n" not in str(caught.value)


def test_a_token_opens_a_private_data_set(hub, monkeypatch):
    push(hub)
    hub.refused[ON_HUB], hub.token = (401, "RepoNotFound"), "hf_secret"
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert len(read()[0].pool) == 8


def test_without_a_network_the_remedy_is_said_and_what_is_cached_is_used(hub, monkeypatch):
    push(hub)
    tasks, _ = read()
    unreachable(monkeypatch)
    assert read()[0] == tasks
    assert read(commit=tasks.commit)[0] == tasks
    with pytest.raises(
        TaskError, match=r"^the data set a/b could not be .* check the network .* or read files of your own"
    ):
        read(path="a/b")


def test_the_offline_switch_is_honoured(hub, monkeypatch):
    push(hub)
    offline(monkeypatch)
    with pytest.raises(TaskError, match=f"^the data set {NAME} is not in the hub's cache, and HF_HUB_OFFLINE forbids"):
        read()
    assert hub.requests == []


def test_the_offline_switch_leaves_what_is_in_the_cache(hub, monkeypatch):
    push(hub)
    tasks, _ = read()
    offline(monkeypatch)
    assert read() == read(commit=tasks.commit) == (tasks, [])


def test_a_download_that_broke_off_is_not_taken_for_the_split(hub, tmp_path):
    """Its first file is in the cache; the next try fetches the others."""
    commit = hub.push_files(ON_HUB, {f"train-0000{n}-of-00002.jsonl": lines(4, 10 * n) for n in (0, 1)})
    tasks = read()[0]
    [second] = tmp_path.glob(f"cache/hub/datasets--*/snapshots/{commit}/train-00001-of-00002.jsonl")
    second.unlink()
    assert read(commit=commit) == (tasks, [f"downloading {NAME} (train) ..."])
