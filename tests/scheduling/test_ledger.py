import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing

import pytest
from scheduling_cases import record

from rekindle import Fate, History, Rollout, Scheduler
from rekindle.scheduling.ledger import Ledger, LedgerError
from rekindle.scheduling.pools import RecyclingPool


def step_records():
    scheduler = Scheduler(RecyclingPool(History(["a", "b", "c"])), groups_per_step=3)
    for request in list(iter(scheduler.ask, None)):
        rewards = [1, 0, 0, 1] if request.row else [0, 0, 0, 0]
        scheduler.tell(
            request.id,
            [
                Rollout(token_ids=[5, 6, 7], loss_mask=[False, True, True], logprobs=[0, -1, -1], reward=r)
                for r in rewards
            ],
        )
    scheduler.take()
    return scheduler.drain_records()


def test_rows_fates_and_conservation(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.write(step_records(), {0: 0.25, 1: 0.5})
    assert ledger.rollouts() == {fate: {Fate.TRAINED: 8, Fate.RECYCLED: 4}.get(fate, 0) for fate in Fate}
    ledger.check(12)
    with pytest.raises(LedgerError, match="has 12 rollouts, but 13"):
        ledger.check(13)
    reader = sqlite3.connect(tmp_path / "ledger.sqlite")
    rows = reader.execute(
        "SELECT task_id, n, successes, outcome, fate, prompt_tokens, generated_tokens FROM groups ORDER BY task_id"
    ).fetchall()
    assert rows == [
        ("a", 4, 0, "all_wrong", "recycled", 4, 8),
        ("b", 4, 2, "mixed", "trained", 4, 8),
        ("c", 4, 2, "mixed", "trained", 4, 8),
    ]
    ledger.truncate_after(0)
    ledger.check(0)


def test_other_files_and_versions_are_refused(tmp_path):
    (tmp_path / "text").write_text("no database " * 100)
    with pytest.raises(LedgerError, match="is not a ledger"):
        Ledger(tmp_path / "text")
    other = sqlite3.connect(tmp_path / "other.sqlite")
    other.execute("PRAGMA user_version=99")
    other.close()
    with pytest.raises(LedgerError, match="version 99"):
        Ledger(tmp_path / "other.sqlite")


def test_damaged_pages_are_found_before_a_run_goes_on(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with closing(Ledger(path)) as ledger:
        ledger.write([record(row) for row in range(2000)], {})
        ledger.check_pages()
    data = bytearray(path.read_bytes())
    data[4096 * 3 : 4096 * 9] = bytes(range(256)) * 96
    path.write_bytes(data)
    with (
        closing(Ledger(path)) as ledger,
        pytest.raises(LedgerError, match=r"is damaged \(.*\); restore it from a copy"),
    ):
        ledger.check_pages()


def test_a_process_killed_inside_a_transaction_leaves_whole_steps_only(tmp_path):
    program = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from test_ledger import step_records
        from rekindle.scheduling.ledger import Ledger

        ledger, rows = Ledger(Path(sys.argv[1])), step_records()
        ledger.write(rows[:1], {})

        ledger._connection.execute("BEGIN IMMEDIATE")
        ledger._connection.execute("DELETE FROM groups")
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    path = tmp_path / "ledger.sqlite"
    done = subprocess.run([sys.executable, "-c", program, str(path)], cwd=__file__.rpartition("/")[0], check=False)
    assert done.returncode == -9
    assert sum(Ledger(path).rollouts().values()) == 4
