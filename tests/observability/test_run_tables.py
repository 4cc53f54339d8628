"""A run's tables as typed columns: in pandas, in Polars and as Parquet files."""

import json
import math
import sqlite3

import pytest
from synthetic_run import write_ledger, write_run

from rekindle.cli import main
from rekindle.observability.runs import RunError, load_run
from rekindle.tasks.extras import MissingExtraError
from rekindle.types import Fate, Outcome, UserError

NO_POLARS = "polars is not installed; make setup installs it"
INTEGERS = ["request_id", "step", "version", "n", "successes", "prompt_tokens", "generated_tokens", "tool_tokens"]
ROWS = [
    (1, 1, 0, "a", "solver", 4, 1.0, 2, "mixed", None, None, "trained", 36, 30, 0.5),
    (-1, 1, 0, "b", "proposer", 1, 1.0, 0, None, None, None, "failed", 9, 0, 0.0),
    (2, 2, 1, "a", "solver", 4, 1.5, 4, "all_correct", "mixed", "mixed", "retired", 36, 31, 0.25),
]
METRICS = [
    {"step": 0, "version": 0, "total_flops": 0, "eval/accuracy": 0.25},
    {"step": 1, "version": 1, "total_flops": 10**30, "rollouts": 8, "loss": None, "stale": True},
    {"step": 2, "version": 2, "total_flops": 20, "rollouts": 8, "eval/accuracy": 1.0, "loss": None, "note": "a"},
]
SAMPLES = [
    {"step": 1, "reward": 1.0, "rewards": {"exact": 1.0}, "audits": {}, "truncated": False, "answer": "4"},
    {"step": 1, "reward": None, "rewards": {"exact": None, "short": 1}, "truncated": True, "answer": ["4", "four"]},
]


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def run(tmp_path):
    directory = write_run(tmp_path / "run", steps=0)
    (directory / "ledger.sqlite").unlink()
    write_ledger(directory / "ledger.sqlite", ROWS).close()
    (directory / "metrics.jsonl").write_text(lines(METRICS))
    (directory / "samples.jsonl").write_text(lines(SAMPLES))
    return load_run(directory)


# -- pandas -----------------------------------------------------------------------------------------------------------


def test_the_ledger_in_pandas(run):
    pandas = pytest.importorskip("pandas")
    frame = run.to_pandas("ledger")
    assert list(frame.columns) == list(run.ledger[0])
    plain = frame.astype(object).where(frame.notna(), None).to_dict("records")
    assert plain == run.ledger
    assert {str(frame[name].dtype) for name in INTEGERS} == {"int64"}
    assert {str(frame[name].dtype) for name in ("temperature", "seconds")} == {"float64"}
    assert list(frame["fate"].cat.categories) == list(map(str, Fate))
    assert list(frame["previous_outcome"].cat.categories) == list(map(str, Outcome))
    assert pandas.api.types.is_string_dtype(frame["task_id"])


def test_metrics_in_pandas(run):
    pytest.importorskip("pandas")
    frame = run.to_pandas()
    assert list(frame.index) == [0, 1, 2]
    types = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert types | {"note": None} == {
        "version": "int64", "total_flops": "float64", "eval/accuracy": "float64", "rollouts": "Int64",
        "loss": "float64", "stale": "boolean", "note": None,
    }  # fmt: skip
    assert frame["rollouts"].sum() == 16
    assert frame["total_flops"].tolist() == [0.0, 1e30, 20.0]
    assert math.isnan(frame["loss"][1])
    assert math.isnan(frame["eval/accuracy"][1])


def test_samples_in_pandas(run):
    pytest.importorskip("pandas")
    frame = run.to_pandas("samples")
    assert frame["rewards/exact"].tolist()[0] == 1.0
    assert frame["rewards/short"].isna().tolist() == [True, False]
    assert frame["truncated"].tolist() == [False, True]
    assert frame["answer"].tolist() == ["4", '["4", "four"]']


# -- Polars -----------------------------------------------------------------------------------------------------------


def test_the_tables_in_polars(run):
    polars = pytest.importorskip("polars", reason=NO_POLARS)
    ledger, metrics, samples = (run.to_polars(table) for table in ("ledger", "metrics", "samples"))
    assert ledger.to_dicts() == run.ledger
    assert ledger.schema["step"] == polars.Int64
    assert ledger.schema["fate"] == polars.Enum(list(map(str, Fate)))
    assert metrics["rollouts"].to_list() == [None, 8, 8]
    assert metrics["loss"].dtype == polars.Float64
    assert metrics["eval/accuracy"].to_list() == [0.25, None, 1.0]
    assert samples["rewards/exact"].to_list() == [1.0, None]
    assert samples["answer"].to_list() == ["4", '["4", "four"]']


def test_empty_tables_in_polars(tmp_path):
    pytest.importorskip("polars", reason=NO_POLARS)
    (tmp_path / "config.toml").write_text("")
    run = load_run(tmp_path)
    assert [len(run.to_polars(table)) for table in ("metrics", "samples", "ledger")] == [0, 0, 0]
    assert run.to_polars("ledger").width == 16


def test_polars_is_missing_or_the_table(run, monkeypatch):
    with pytest.raises(UserError, match=r"to_polars\('groups'\): .*choose one of metrics, samples, ledger"):
        run.to_polars("groups")
    monkeypatch.setattr("rekindle.tasks.extras.find_spec", lambda module: None)
    with pytest.raises(MissingExtraError, match=r'Run.to_polars\(\) needs polars.*pip install "rekindle\[polars\]"'):
        run.to_polars()


# -- Parquet ----------------------------------------------------------------------------------------------------------


def test_parquet_files_of_a_run(run, tmp_path, capsys):
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "tables"
    assert main(["export", str(run.directory), "--ledger", "--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        f"{out / name}.parquet  {count} rows" for name, count in (("metrics", 3), ("samples", 2), ("ledger", 3))
    ]
    assert "goes on, or was killed: its tables are written as they are now" in shown.err
    assert parquet.read_table(out / "ledger.parquet").to_pylist() == run.ledger
    assert parquet.read_table(out / "metrics.parquet")["rollouts"].to_pylist() == [None, 8, 8]
    schema = parquet.read_schema(out / "ledger.parquet")
    assert {name: str(schema.field(name).type) for name in ("step", "seconds", "task_id", "fate")} == {
        "step": "int64", "seconds": "double", "task_id": "string",
        "fate": "dictionary<values=string, indices=int8, ordered=0>",
    }  # fmt: skip
    about = json.loads(schema.metadata[b"rekindle"])
    assert about["format"] == 1
    assert about["table"] == "ledger"
    assert about["run"] == run.info
    assert about["config"]["recipe"] == "recycle"
    assert sorted(path.name for path in out.iterdir()) == ["ledger.parquet", "metrics.parquet", "samples.parquet"]


def test_both_libraries_read_them(run, tmp_path):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars", reason=NO_POLARS)
    out = tmp_path / "groups.parquet"
    assert main(["export", str(run.directory), "--ledger", "--out", str(out)]) == 0
    pandas.testing.assert_frame_equal(pandas.read_parquet(out), run.to_pandas("ledger"), check_categorical=False)
    assert polars.read_parquet(out).to_dicts() == run.ledger
    assert not (tmp_path / "ledger.parquet").exists()


def test_many_batches_are_one_table(run, tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("rekindle.observability.columns.LEDGER_BATCH", 2)
    monkeypatch.setattr("rekindle.observability.columns.LINES_BATCH", 1)
    from rekindle.observability.parquet import write_parquet

    assert write_parquet(run, "ledger", tmp_path / "one.parquet") == 3
    assert write_parquet(run, "samples", tmp_path / "two.parquet") == 2
    pytest.importorskip("pandas")
    assert run.to_pandas("ledger")["request_id"].tolist() == [-1, 1, 2]


def test_a_run_that_writes_is_exported_as_it_is(run, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    ledger = sqlite3.connect(run.directory / "ledger.sqlite")
    ledger.execute("pragma journal_mode=wal")
    ledger.execute("begin immediate")
    ledger.execute("delete from groups")
    out = tmp_path / "groups.parquet"
    assert main(["export", str(run.directory), "--ledger", "--out", str(out)]) == 0
    ledger.close()
    assert parquet.read_metadata(out).num_rows == 3


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--dtype", "float32"], "--base and --dtype are about a model"),
        (["--base", "x"], "--base and --dtype are about a model"),
    ],
)
def test_options_of_models_are_refused(more, message, run, tmp_path, capsys):
    assert main(["export", str(run.directory), "--ledger", "--out", str(tmp_path / "t"), *more]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "t").exists()


def test_other_places(run, tmp_path, capsys, monkeypatch):
    assert main(["export", str(tmp_path), "--ledger", "--out", str(tmp_path / "t")]) == 2
    assert "is not a run: it has no config.toml" in capsys.readouterr().err
    assert main(["export", str(run.directory), "--ledger", "--out", str(run.directory)]) == 2
    assert "exists already" in capsys.readouterr().err
    (run.directory / "ledger.sqlite").unlink()
    assert main(["export", str(run.directory), "--ledger", "--out", str(tmp_path / "g.parquet")]) == 2
    assert "has no ledger yet" in capsys.readouterr().err
    monkeypatch.setattr("rekindle.tasks.extras.find_spec", lambda module: None)
    assert main(["export", str(run.directory), "--ledger", "--out", str(tmp_path / "t")]) == 2
    assert 'pip install "rekindle[parquet]"' in capsys.readouterr().err


# -- damaged and hostile ledgers --------------------------------------------------------------------------------------

ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n"
COLUMNS = (
    "request_id, step, version, task_id, role, n, temperature, successes, outcome, previous_outcome, first_outcome"
)
HOSTILE = {
    "a view": f"alter table groups rename to hidden; create view groups as select {COLUMNS}, fate, prompt_tokens, "
    f"generated_tokens, seconds, (select max(i) from ({ENDLESS})) tool_tokens from hidden",
    "another view": f"create view other as {ENDLESS}",
    "a trigger": "create trigger t after insert on groups begin delete from groups; end",
    "a virtual table": "create virtual table words using fts5(text)",
    "a computed column": "alter table groups add column more as (hex(zeroblob(n)))",
}
DAMAGED = {
    "an unknown fate": "update groups set fate = 'lost' where request_id = 2",
    "a text for a number": "update groups set n = 'four' where request_id = 2",
    "no number": "update groups set seconds = null",
    "bytes for a text": "update groups set task_id = x'ff00'",
    "a newer version": "pragma user_version = 3",
    "a value of 2 MB": "update groups set task_id = hex(zeroblob(1000000))",
}


@pytest.mark.parametrize("what", [*HOSTILE, *DAMAGED])
def test_a_hostile_or_damaged_ledger_is_a_sentence(what, run, tmp_path, capsys):
    ledger = sqlite3.connect(run.directory / "ledger.sqlite")
    ledger.executescript((HOSTILE | DAMAGED)[what])
    ledger.close()
    out = tmp_path / "groups.parquet"
    assert main(["export", str(run.directory), "--ledger", "--out", str(out)]) == 2
    shown = capsys.readouterr().err.splitlines()[-1]
    assert shown.startswith(f"rekindle: {run.directory / 'ledger.sqlite'} ")
    assert not list(tmp_path.glob("*.parquet"))
    assert not list(tmp_path.glob(".*")), "no partial file stays"
    if what in HOSTILE:
        with pytest.raises(RunError, match=r"is no ledger of rekindle: it has a .*; restore the file"):
            load_run(run.directory)


def test_a_cut_file_is_a_sentence(run, tmp_path, capsys):
    path = run.directory / "ledger.sqlite"
    path.write_bytes(path.read_bytes()[:5000])
    assert main(["export", str(run.directory), "--ledger", "--out", str(tmp_path / "g.parquet")]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"rekindle: {path} ")
    assert not (tmp_path / "g.parquet").exists()


# -- runs inside other trainers ---------------------------------------------------------------------------------------


def test_a_run_below_the_directory_of_another_trainer(tmp_path):
    write_run(tmp_path / "output" / "rekindle", steps=2)
    (tmp_path / "output" / "checkpoint-2").mkdir()
    run = load_run(tmp_path / "output")
    assert run.directory == tmp_path / "output" / "rekindle"
    assert len(run.metrics) == 3
