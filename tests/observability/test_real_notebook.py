"""The live display, a run and its figure in a real Jupyter kernel, where one is installed."""

import os
from pathlib import Path

import pytest
from synthetic_run import write_run

SOURCE = Path(__file__).parents[2] / "src"
TRAINING = """
import time
from rekindle.observability.progress import Progress
from rekindle.records.activity import Activity, Part
activity = Activity()
with Progress(2) as progress:
    progress.follow(activity)
    activity.begin(Part.ROLLING_OUT, 64)
    activity.tell(32)
    time.sleep(1.5)
    progress.samples([{"split": "train", "reward": 1.0, "prompt": "Ask", "completion": "<b>bold</b>"}])
    progress.step({"step": 2, "groups/asked": 4, "groups/trained": 3, "eval/accuracy": 0.5, "eval/greedy": 0.6})
"""
RUN = "import rekindle\nrun = rekindle.load_run({path!r})\nrun"


@pytest.mark.slow
def test_one_output_is_rewritten_while_the_cell_runs(tmp_path, monkeypatch):
    pytest.importorskip("ipykernel")
    pytest.importorskip("matplotlib")
    notebooks, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat").v4
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")]))
    cells = [TRAINING, RUN.format(path=str(write_run(tmp_path / "run", steps=12))), "run.plot()"]
    notebook, rewritten = nbformat.new_notebook(cells=[nbformat.new_code_cell(cell) for cell in cells]), []

    class Watching(notebooks.NotebookClient):  # type: ignore[name-defined]
        def process_message(self, message, *others):
            if message["msg_type"] == "update_display_data":
                rewritten.append(message["content"]["data"]["text/html"])
            return super().process_message(message, *others)

    Watching(notebook, timeout=120, kernel_name="python3").execute()
    assert any("rolling out 32 of 64" in html for html in rewritten)  # by the thread, between two steps
    (progress,), (card,), (figure,) = (cell.outputs for cell in notebook.cells)
    for words in ("step 2 of 2", "greedy 0.60", "&lt;b&gt;bold&lt;/b&gt;"):
        assert words in progress["data"]["text/html"]
    assert "recycle on spell_backward" in card["data"]["text/html"]
    assert "image/png" in figure["data"]
