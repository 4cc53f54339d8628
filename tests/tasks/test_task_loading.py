"""Every source is reached, and no key is ignored in silence."""

import pytest

from rekindle.config.tables.task import TaskTable
from rekindle.tasks.extras import MissingExtraError, require_extra
from rekindle.tasks.loading import load_tasks


def test_the_default_is_the_embedded_task():
    found = load_tasks(TaskTable(), eval_prompts=256, seed=0)
    assert (len(found.pool), len(found.held_out)) == (4096, 256)
    assert found.pool[0].id.startswith("spell_backward/")


def test_files_are_read(tmp_path):
    path = tmp_path / "tasks.jsonl"
    path.write_text('{"prompt": "p", "answer": "a"}\n{"prompt": "q", "answer": "a"}\n')
    found = load_tasks(TaskTable(source="jsonl", path=str(path)), eval_prompts=1, seed=0)
    assert {task.prompt for task in found.pool + found.held_out} == {"p", "q"}


def test_a_missing_package_names_the_extra():
    require_extra("json", "tasks", "this test")
    with pytest.raises(MissingExtraError, match=r'this test needs no_such_package, .* pip install "rekindle\[tasks\]"'):
        require_extra("no_such_package", "tasks", "this test")
