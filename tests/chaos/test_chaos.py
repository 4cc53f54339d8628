"""Kills, damage and signals, the short part: `make chaos` does the same many times and over every recipe.

Runs are made in forked processes of one server, which has imported the libraries.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from chaos_compare import differences, facts_of
from chaos_damage import OF_A_FILE, OF_A_LEDGER, OF_A_STATE, copied, damages_of

from fast import sample
from rekindle.records.checkpoint_choice import newest_whole

HERE = Path(__file__).parent
SERVER = """
import json, sys
from pathlib import Path
from chaos_forks import Death, counting, preload, run_in_fork
from chaos_runs import native_runs
place = Path(sys.argv[1])
preload()
runs = native_runs(place / "files")
print("ready", flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    run = runs[asked["run"]]
    if counts := asked.get("counts"):
        run = counting(run, Path(counts))
    death = Death(**asked.get("death", {}))
    log = Path(asked["log"])
    log.write_text("")
    code = run_in_fork(run, Path(asked["out"]), log, resume=asked["resume"], death=death)
    print(json.dumps([code, log.read_text()]), flush=True)
"""


class Server:
    """A process that makes runs in forks."""

    def __init__(self, place):
        environment = {"PYTHONPATH": ":".join([str(HERE), str(HERE.parent), *sys.path])}
        self.place = place
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | environment,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._asked, self._told = self._process.stdin, self._process.stdout
        assert self._told.readline().strip() == "ready"

    def run(self, out, name="recycle", *, resume=True, death=None, counts=None):
        """(exit code, what was said)."""
        asked = {"run": name, "out": str(out), "resume": resume, "log": str(self.place / "log")}
        asked |= {"death": death or {}, "counts": counts and str(counts)}
        self._asked.write(f"{json.dumps(asked)}\n")
        self._asked.flush()
        code, said = json.loads(self._told.readline())
        return code, said

    def close(self):
        self._asked.close()
        self._process.wait(60)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server(tmp_path_factory.mktemp("chaos"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def whole(server, tmp_path_factory):
    """An undisturbed run: its directory, its facts, and the number of its file events."""
    place = tmp_path_factory.mktemp("whole")
    code, said = server.run(place / "run", resume=False, counts=place / "events")
    assert code == 0, said
    return place / "run", facts_of(place / "run"), (place / "events").stat().st_size


def ends_the_same(server, whole, out, name="recycle"):
    code, said = server.run(out, name)
    assert code == 0, said
    assert differences(whole[1], facts_of(out)) == []


@pytest.mark.parametrize("part", sample([0.0, 0.02, 0.05, 0.3, 0.5, 0.97], 0.02, 0.5))
def test_a_run_that_is_killed_at_a_file_event_ends_as_if_nothing_had_been(part, server, whole, tmp_path):
    event = 1 + int(part * (whole[2] - 1))
    code, _ = server.run(tmp_path / "run", resume=False, death={"event": event})
    assert code == -signal.SIGKILL
    ends_the_same(server, whole, tmp_path / "run")


@pytest.mark.slow
def test_file_events_of_the_first_files_and_of_a_checkpoint(server, whole, tmp_path):
    events = [*range(1, 40), *range(whole[2] // 3, whole[2] // 3 + 60, 3)]
    for event in events:
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        server.run(tmp_path / "run", resume=False, death={"event": event})
        ends_the_same(server, whole, tmp_path / "run")


@pytest.mark.parametrize(
    "signals",
    sample(
        [[signal.SIGTERM], [signal.SIGHUP], [signal.SIGINT, signal.SIGINT], [signal.SIGTERM, signal.SIGTERM]],
        [signal.SIGHUP],
    ),
)
def test_a_signal_leaves_a_run_that_goes_on(signals, server, whole, tmp_path):
    code, said = server.run(tmp_path / "run", resume=False, death={"after": 0.6, "signals": signals})
    ended = (
        code == -signals[0] and "writing the report" in said
    )  # after the last step a signal ends the process at once
    assert code in (0, 130) or ended, (code, said)
    assert "Traceback" not in said
    ends_the_same(server, whole, tmp_path / "run")


LOGS = ("metrics.jsonl", "samples.jsonl", "proposals.jsonl", "tasks.jsonl")


def outcome(server, whole, damaged, reported=""):
    """What comes of a resumption of a damaged run: the same run, a sentence, or a warning; nothing else is right.

    ``reported``: what may differ without a warning. Lines of logs have no digest, and only reports read them.
    """
    code, said = server.run(damaged)
    assert "Traceback" not in said, said
    if code == 2:
        assert "rekindle: " in said.splitlines()[-1], said
        return "sentence"
    assert code == 0, said
    found = differences(whole[1], facts_of(damaged))
    if found:
        assert "warning" in said or all(one.startswith(f"{reported}: ") for one in found), (found, said)
        return "notice"
    return "same"


@pytest.mark.parametrize(
    "case",
    sample(
        [
            ("model/model.safetensors", "flipped in the middle"),
            ("model/model.safetensors", "cut"),
            ("model/tokenizer.json", "cut"),
            ("model/generation_config.json", "flipped in the middle"),
            ("optimizer.safetensors", "missing"),
            ("state.json", "flipped in the middle"),
            ("SHA256SUMS", "cut"),
        ],
        ("model/model.safetensors", "flipped in the middle"),
        ("state.json", "flipped in the middle"),
    ),
)
def test_damage_of_the_last_checkpoint_leads_to_the_one_before(case, server, whole, tmp_path):
    name, damage = case
    run = copied(whole[0], tmp_path / "run")
    OF_A_FILE[damage](run / "checkpoints" / "step-3" / name)
    assert outcome(server, whole, run) == "same"


@pytest.mark.filterwarnings("ignore::rekindle.notices.RekindleWarning")
def test_every_damage_of_every_file_of_a_checkpoint_is_found_before_anything_is_read(whole, tmp_path):
    run = copied(whole[0], tmp_path / "run")
    original = whole[0] / "checkpoints" / "step-3"
    count = 0
    for name, damage, act in damages_of(whole[0], "step-3"):
        if name.startswith("checkpoints/"):
            act(run / name)
            assert newest_whole(run) == run / "checkpoints" / "step-2", (name, damage)
            shutil.rmtree(run / "checkpoints" / "step-3")
            shutil.copytree(original, run / "checkpoints" / "step-3")
            count += 1
    assert count > 8 * 8 + len(OF_A_STATE)
    assert newest_whole(run) == run / "checkpoints" / "step-3"


@pytest.mark.slow
def test_every_damage_of_every_file_is_noticed(server, whole, tmp_path):
    found = {}
    for name, damage, act in damages_of(whole[0], "step-3"):
        run = copied(whole[0], tmp_path / "run")
        act(run / name)
        found[name, damage] = outcome(server, whole, run, name.removesuffix(".jsonl") if name in LOGS else "")
    assert len(found) > 8 * 15 + len(OF_A_STATE) + len(OF_A_LEDGER)
    checkpoint = {key: one for key, one in found.items() if key[0].startswith("checkpoints/")}
    assert set(checkpoint.values()) == {"same"}, {key: one for key, one in checkpoint.items() if one != "same"}


def test_a_run_that_ended_at_its_bound_ends_again(server, tmp_path):
    code, said = server.run(tmp_path / "run", "barren", resume=False)
    assert code == 3, said
    before = facts_of(tmp_path / "run")
    description = json.loads((tmp_path / "run" / "run.json").read_text())
    del description["ending"]  # as if it had been killed after its last checkpoint
    (tmp_path / "run" / "run.json").write_text(json.dumps(description))
    code, said = server.run(tmp_path / "run", "barren")
    assert code == 3, said
    assert differences(before, facts_of(tmp_path / "run")) == []
