"""A run on a data set of the hub goes on with the commit that it began with."""

import json
import string

import pytest
from test_loop import finish

from fake_hub import serving, used
from rekindle.given import NOTHING
from rekindle.recipes import resolve
from rekindle.records.endings import Ending
from rekindle.records.run_directory import tasks_commit
from rekindle.records.run_tasks import RunTasksError
from rekindle.session import Session
from rekindle.training.callbacks import Callbacks
from rekindle.warm_starts.tiny_model import build_tiny

NAME = "someone/letters"
SETTINGS = (
    "task.source=hub", f"task.path={NAME}", "task.eval_split=test", "train.groups_per_step=2", "train.group_size=2",
    "train.gate=everything", "engine.max_new_tokens=2", "eval.every=99", "checkpoint.every=1", "train.threads=1",
)  # fmt: skip


def rows(count, first="a"):
    return "".join(json.dumps({"prompt": f"{first}{n}", "answer": "x"}) + "\n" for n in range(count)).encode()


def test_a_data_set_that_moved_on_does_not_move_a_run(tmp_path, monkeypatch):
    build_tiny(
        layers=1, hidden_size=16, heads=2, kv_heads=1, intermediate_size=16, characters=string.printable
    ).save(tmp_path / "model")  # fmt: skip
    path, run = tmp_path / "run.toml", tmp_path / "run"
    path.write_text("")

    def config(steps):
        return resolve(path, "dr_grpo", [*SETTINGS, f"model.path={tmp_path}/model", f"train.steps={steps}"])

    with serving() as hub, used(hub, tmp_path / "cache", monkeypatch):
        first = hub.push_files(f"datasets/{NAME}", {"train.jsonl": rows(4), "test.jsonl": rows(2, "b")})
        assert finish(config(1), run)[0] is Ending.DONE
        assert tasks_commit(run) == first
        second = hub.push_files(f"datasets/{NAME}", {"train.jsonl": rows(9), "test.jsonl": rows(2, "b")})
        asked = len(hub.requests)
        assert finish(config(2), run, resume=True)[0] is Ending.DONE
        assert len(hub.requests) == asked, "nothing is asked of the network"
        assert tasks_commit(run) == first, "also after a resume"
        tasks, _ = Session(config(3), run, NOTHING, Callbacks(), True, lambda _: None).look()
        assert (tasks.commit, len(tasks.pool)) == (first, 4), "the command line reads the same"
        told = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps({**told, "tasks_commit": second}))
        with pytest.raises(RunTasksError, match="5 added"):
            finish(config(4), run, resume=True)
