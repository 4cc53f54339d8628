"""Run directories from elsewhere: programs in the ledger, damaged pages, odd values, deep JSON."""

import json
import sqlite3
from contextlib import closing, suppress

import pytest
from synthetic_run import write_run

from rekindle.cli import main
from rekindle.comparison.comparing import compare
from rekindle.observability.report import write_report
from rekindle.observability.runs import RunError, load_run
from rekindle.planning.sources import load_rates
from rekindle.scheduling.ledger import Ledger, LedgerError
from rekindle.types import UserError

ENDLESS = "with recursive c(x) as (select 1 union all select x + 1 from c) select"
PROGRAMS = {
    "an endless view": (f"create view v as {ENDLESS} x from c", "a view 'v'"),
    "an endless view for the table": (
        f"alter table groups rename to g; create view groups as {ENDLESS} g.* from g, c",
        "a view 'groups'",
    ),
    "a trigger": ("create trigger t after delete on groups begin delete from groups; end", "a trigger 't'"),
    "an index of expressions": ("create index i on groups (abs(n))", "an index 'i' of expressions"),
    "an index with a condition": ("create index i on groups (n) where n > 3", "an index 'i' of expressions"),
    "a computed column": ("alter table groups add column c as (n * 2)", "a computed column 'c'"),
    "a virtual table": ("create virtual table w using fts5(x)", "a virtual table 'w'"),
}
VALUES = {
    "a text for a number": "n = 'x'",
    "a number for a text": "task_id = x'ff'",
    "a step out of range": "step = 9223372036854775807",
    "a count out of range": "generated_tokens = -1",
    "an infinite time": "seconds = 9e999",
}


@pytest.fixture
def run(tmp_path):
    directory = write_run(tmp_path / "run", steps=4, pool=32, batch=4, every=2)
    with closing(sqlite3.connect(directory / "ledger.sqlite")) as ledger:
        ledger.execute("pragma journal_mode = delete")
    return directory


def change(run, sql):
    with closing(sqlite3.connect(run / "ledger.sqlite")) as ledger:
        ledger.executescript(sql)


READERS = {
    "report": write_report,
    "compare": lambda run: compare([run]),
    "plan": load_rates,
    "tables": lambda run: load_run(run).ledger,
    "resume": lambda run: Ledger(run / "ledger.sqlite"),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_ledger_with_a_program_is_refused_everywhere(run, program, reader):
    sql, named = PROGRAMS[program]
    change(run, sql)
    with pytest.raises(UserError, match=f"it has {named}; restore the file"):
        READERS[reader](run)


@pytest.mark.parametrize("reader", ["report", "compare", "plan", "tables"])
@pytest.mark.parametrize("value", VALUES)
def test_a_ledger_with_values_of_no_run_is_refused(run, value, reader):
    change(run, f"update groups set {VALUES[value]} where request_id = 3")
    with pytest.raises(RunError, match="row 3 has values that no run writes"):
        READERS[reader](run)


def test_an_index_of_ones_own_is_no_harm(run):
    change(run, "create index mine on groups (task_id, step)")
    assert load_run(run).ledger
    Ledger(run / "ledger.sqlite").close()


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("at", [20, 100, 1500, 4100, 5000])
def test_malformed_pages_are_one_sentence(run, at, reader):
    content = bytearray((run / "ledger.sqlite").read_bytes())
    content[at : at + 400] = b"\xff" * 400
    (run / "ledger.sqlite").write_bytes(content)
    try:
        found = READERS[reader](run)
        if isinstance(found, Ledger):
            found.close()
    except UserError as error:
        assert "ledger.sqlite" in str(error)  # noqa: PT017 (a page may also be one that is not read)


def test_a_malformed_ledger_is_refused_when_a_run_goes_on(run):
    content = (run / "ledger.sqlite").read_bytes()
    (run / "ledger.sqlite").write_bytes(content[:4096] + b"\x0d" + b"\xee" * (len(content) - 4097))
    with pytest.raises(LedgerError, match=r"ledger\.sqlite"):
        Ledger(run / "ledger.sqlite").truncate_after(2)


@pytest.mark.parametrize("name", ["metrics.jsonl", "run.json", "samples.jsonl", "warnings.jsonl", "config.toml"])
@pytest.mark.parametrize("text", ["[" * 100_000, '{"step": ' * 50_000, '{"step": 1, "x": ' + "9" * 5000 + "}\n" * 2])
def test_deep_and_endless_texts_are_one_sentence(run, name, text, capsys):
    (run / name).write_text(text + "\n")
    code = main(["report", str(run)])
    said = capsys.readouterr().err
    assert (code, said.count("\n")) == (2, 1)
    assert name in said


@pytest.mark.parametrize(
    "value", [None, "x", [], {}, True, 10**400, 1e308, -1, "<script>"], ids=lambda one: repr(one)[:9]
)
def test_metrics_of_any_kind_are_shown_or_left_out(run, value):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    fields = json.loads(lines[2])
    odd = {name: value for name in fields if name != "step"}
    (run / "metrics.jsonl").write_text("\n".join([*lines[:2], json.dumps(fields | odd), *lines[3:]]) + "\n")
    assert "<script>alert" not in write_report(run).read_text(encoding="utf-8")
    with suppress(UserError):  # a cost that is missing in a step is not compared
        compare([run])


@pytest.mark.parametrize("step", [True, 10**30, -(10**12)])
def test_a_step_that_no_run_has_is_damage(run, step):
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": step}) + "\n")
    with pytest.raises(RunError, match="line 6"):
        load_run(run)
