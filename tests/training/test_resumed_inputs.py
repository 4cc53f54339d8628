"""Runs that are resumed with another length, other tasks or damaged files; the run is made once and copied."""

import json
import math
import shutil
import sqlite3
import string
from functools import partial

import pytest
from test_loop import finish, without_clocks

from rekindle.config import read_toml
from rekindle.notices import RekindleWarning
from rekindle.recipes import resolve
from rekindle.records.checkpoint_choice import NoWholeCheckpointError
from rekindle.records.digests import write_digests
from rekindle.records.endings import Ending
from rekindle.records.run_state import write_values
from rekindle.records.run_tasks import RunTasksError
from rekindle.scheduling.ledger import LedgerError
from rekindle.types import UserError
from rekindle.warm_starts.tiny_model import build_tiny

SETTINGS = (
    "task.source=jsonl", "task.verifier=exact_match", "train.groups_per_step=2", "train.group_size=2",
    "train.gate=everything", "engine.max_new_tokens=2", "eval.every=99", "eval.prompts=2", "checkpoint.every=2",
    "checkpoint.keep=9", "checkpoint.optimizer=all", "optimizer.schedule=cosine", "optimizer.warmup_steps=0",
)  # fmt: skip
ROWS = [{"id": f"q{number}", "prompt": f"{number}", "answer": list(string.ascii_letters)} for number in range(8)]


def configuration(place, steps, rows=ROWS, key="train.steps"):
    (place / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (place / "dev.jsonl").write_text('{"prompt": "a", "answer": "b"}\n{"prompt": "c", "answer": "d"}\n')
    (place / "run.toml").write_text("")
    paths = (f"model.path={place}/model", f"task.path={place}/train.jsonl", f"task.eval_path={place}/dev.jsonl")
    return resolve(place / "run.toml", "dr_grpo", [*SETTINGS, *paths, f"{key}={steps}"])


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    place = tmp_path_factory.mktemp("resumed")
    build_tiny(
        layers=1, hidden_size=16, heads=2, kv_heads=1, intermediate_size=16, characters=string.printable
    ).save(place / "model")  # fmt: skip
    assert finish(configuration(place, 4), place / "run")[0] is Ending.DONE
    return place


@pytest.fixture
def place(original, tmp_path):
    """The files of the run, in a place of their own: the configuration has paths, which may change."""
    shutil.copytree(original / "run", tmp_path / "run")
    shutil.copytree(original / "model", tmp_path / "model")
    text = (tmp_path / "run" / "config.toml").read_text().replace(str(original), str(tmp_path))
    (tmp_path / "run" / "config.toml").write_text(text)
    return tmp_path


def rates(place):
    lines = map(json.loads, (place / "run" / "metrics.jsonl").read_text().splitlines())
    return [line["lr"] for line in lines if line["step"]]


def at_step_2(place):
    shutil.rmtree(place / "run" / "checkpoints" / "step-4")
    return place


def test_a_run_made_longer_goes_on_without_a_jump_of_its_learning_rate(place):
    before = rates(at_step_2(place))
    with pytest.warns(
        RekindleWarning, match=r"goes on from its value at update 2 and falls to 0 at update 8 instead of 4"
    ):
        assert finish(configuration(place, 8), place / "run", resume=True)[0] is Ending.DONE
    after = rates(place)
    assert after[:3] == before[:3], "the next step has the rate that it would have had"
    assert len(after) == 8
    assert after == sorted(after, reverse=True)
    assert after[-1] > 0


def test_a_finished_run_under_a_decaying_rate_is_not_made_longer(place):
    with pytest.raises(UserError, match=r"has fallen to 0 at train.steps = 4, so further steps would change nothing"):
        finish(configuration(place, 8), place / "run", resume=True)
    assert read_toml(place / "run" / "config.toml")["train"]["steps"] == 4, "the run is as it was"
    assert finish(configuration(place, 4), place / "run", resume=True)[0] is Ending.DONE


def test_a_rate_that_falls_with_the_rollouts_goes_on_over_interruptions_and_with_another_budget(place):
    """4 rollouts a step: step n begins with 4 (n - 1) of them spent, of 16 and then of 32."""
    shutil.rmtree(place / "run")
    of = partial(configuration, place, key="train.rollouts")
    assert finish(of(16), place / "run")[0] is Ending.DONE
    cosine = [5e-7 * (1 + math.cos(math.pi * part / 4)) for part in range(4)]
    assert rates(place) == pytest.approx(cosine)
    before = without_clocks(place / "run")
    assert finish(of(16), at_step_2(place) / "run", resume=True)[0] is Ending.DONE
    assert without_clocks(place / "run") == before
    at_step_2(place)
    with pytest.warns(RekindleWarning, match=r"at train.rollouts = 8 and falls .* 32 instead of 16"):
        assert finish(of(32), place / "run", resume=True)[0] is Ending.DONE
    assert rates(place)[:3] == pytest.approx(cosine[:3])
    assert rates(place) == sorted(rates(place), reverse=True)
    assert len(rates(place)) == 8
    with pytest.raises(UserError, match=r"has fallen to 0 at train.rollouts = 32, so further steps"):
        finish(of(64), place / "run", resume=True)


def test_rows_in_another_order_go_on_as_the_same_run(place):
    before = without_clocks(at_step_2(place) / "run")
    with pytest.warns(RekindleWarning, match=r"the pool are in another order"):
        finish(configuration(place, 4, ROWS[::-1]), place / "run", resume=True)
    assert without_clocks(place / "run") == before


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [*ROWS, {"id": "new", "prompt": "n", "answer": "a"}],
            r"had 8 tasks when it began, and since then: 1 added \('new'",
        ),
        (ROWS[2:], r"2 removed \('q0', 'q1'\)"),
        ([{**ROWS[0], "prompt": "other"}, *ROWS[1:]], r"1 with other prompts \('q0'\)"),
    ],
)
def test_other_rows_are_refused_and_nothing_changes(place, rows, message):
    before = {path: path.read_bytes() for path in (place / "run").rglob("*.jsonl")}
    with pytest.raises(RunTasksError, match=message):
        finish(configuration(place, 6, rows), place / "run", resume=True)
    assert {path: path.read_bytes() for path in (place / "run").rglob("*.jsonl")} == before


def test_a_ledger_of_another_run_is_found_at_once(place):
    connection = sqlite3.connect(at_step_2(place) / "run" / "ledger.sqlite")
    with connection:
        connection.execute("DELETE FROM groups WHERE step = 1")
    connection.close()
    with pytest.raises(LedgerError, match="it is not the ledger of this checkpoint; restore it"):
        finish(configuration(place, 4), place / "run", resume=True)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: (path / "optimizer.safetensors").write_bytes(b"cut"),
        lambda path: (path / "scheduler.safetensors").unlink(),
        lambda path: shutil.copy(path / "optimizer.safetensors", path / "scheduler.safetensors"),
        lambda path: shutil.copy(path / "scheduler.safetensors", path / "optimizer.safetensors"),
        lambda path: change_state(path, lambda state: state["state"].pop("totals")),
        lambda path: change_state(path, lambda state: state["state"].update(kernels=3)),
        lambda path: change_state(path, lambda state: state["state"].pop("scheduler")),
        lambda path: change_state(path, lambda state: state["trainer"].update(decay={"begin": 1})),
    ],
    ids=["cut", "missing", "other arrays", "other tensors", "totals", "kernels", "scheduler", "decay"],
)
def test_a_damaged_checkpoint_is_one_sentence(place, spoil):
    path = at_step_2(place) / "run" / "checkpoints" / "step-2"
    spoil(path)
    remedy = r"restore its files from a copy, or begin a new run with model.path = .*step-2/model"
    with pytest.raises(
        NoWholeCheckpointError, match=rf"step-2 is damaged, and no other checkpoint is whole .*{remedy}"
    ):
        finish(configuration(place, 4), place / "run", resume=True)
    write_digests(path, without=("state.json",))  # as if it had been written so
    values = json.loads((path / "state.json").read_text())
    write_values(path, {key: values[key] for key in ("trainer", "state")})
    with pytest.raises(UserError, match=r"step-2 is damaged"):
        finish(configuration(place, 4), place / "run", resume=True)


@pytest.mark.parametrize("name", ["state.json", "optimizer.safetensors", "model/model.safetensors", "SHA256SUMS"])
def test_the_newest_whole_checkpoint_is_used_and_what_is_repeated_is_said(place, name):
    before = without_clocks(place / "run")
    path = place / "run" / "checkpoints" / "step-4" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    said = r"step-4: .*(other contents than were written|cannot be read|is missing).* from step 2, and steps 3 to 4 are"
    with pytest.warns(RekindleWarning, match=said):
        assert finish(configuration(place, 4), place / "run", resume=True)[0] is Ending.DONE
    assert without_clocks(place / "run") == before
    assert sorted(one.name for one in (place / "run" / "checkpoints").iterdir()) == ["step-2", "step-4"]


def test_checkpoints_of_earlier_versions_have_no_digests_and_are_used_with_a_notice(place):
    for sums in (place / "run" / "checkpoints").glob("*/SHA256SUMS"):
        sums.unlink()
        change_state(sums.parent, lambda state: state.pop("digest"))
    with pytest.warns(RekindleWarning, match=r"step-4 has no digests of its files \(SHA256SUMS\), so that damage"):
        assert finish(configuration(place, 4), place / "run", resume=True)[0] is Ending.DONE


def change_state(path, change):
    file = path / "state.json"
    state = json.loads(file.read_text())
    change(state)
    file.write_text(json.dumps(state))


def of_numbers(place, *settings):
    """A run on sums whose verifier and number of held-out prompts are left to the file."""
    rows = [{"prompt": f"{number} + 1", "answer": str(number + 1)} for number in range(30)]
    (place / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (place / "run.toml").write_text("")
    left = [one for one in SETTINGS if not one.startswith(("task.verifier", "eval.prompts"))]
    paths = (f"model.path={place}/model", f"task.path={place}/sums.jsonl", "train.steps=2")
    return resolve(place / "run.toml", "dr_grpo", [*left, *paths, *settings])


def test_what_is_left_to_the_tasks_is_kept_in_the_configuration_and_compared_on_resume(original, tmp_path):
    shutil.copytree(original / "model", tmp_path / "model")
    finish(of_numbers(tmp_path), tmp_path / "run")
    kept = read_toml(tmp_path / "run" / "config.toml")
    assert (kept["task"]["verifier"], kept["eval"]["prompts"]) == ("math", 3)
    finish(of_numbers(tmp_path), tmp_path / "run", resume=True)
    finish(of_numbers(tmp_path, "task.verifier=math", "eval.prompts=3"), tmp_path / "run", resume=True)
    with pytest.raises(UserError, match=r"task.verifier = .exact_match. differs from .math."):
        finish(of_numbers(tmp_path, "task.verifier=exact_match"), tmp_path / "run", resume=True)
    finish(of_numbers(tmp_path, "task.verifier=exact_match"), tmp_path / "exact")
    with pytest.raises(UserError, match=r"task.verifier = .math. differs from .exact_match."):
        finish(of_numbers(tmp_path), tmp_path / "exact", resume=True)
