"""The step log survives what kills a run."""

import json
import math
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.observability.metrics import MetricsWriter, read_metrics
from rekindle.observability.step_log import StepLogError


def test_writes_a_line_per_step_and_reads_it_back(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with MetricsWriter(path) as writer:
        writer.append({"step": 0, "eval/accuracy": 0.37})
        assert read_metrics(path) == [{"step": 0, "eval/accuracy": 0.37}]
        writer.append({"step": 1, "loss": np.float32(0.5), "groups/trained": np.int64(19), "note": "x"})
    assert read_metrics(path)[1] == {"step": 1, "loss": 0.5, "groups/trained": 19, "note": "x"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("nan"), np.float32("inf")])
def test_nan_and_infinities_become_null(tmp_path, value):
    path = tmp_path / "metrics.jsonl"
    with MetricsWriter(path) as writer:
        writer.append({"step": 1, "grad_norm": value})
    assert path.read_text() == '{"step": 1, "grad_norm": null}\n'


@pytest.mark.parametrize("metrics", [{"loss": 1.0}, {"step": "1"}, {"step": 1, "rewards": [1, 2]}])
def test_lines_without_a_step_are_refused(tmp_path, metrics):
    with MetricsWriter(tmp_path / "metrics.jsonl") as writer, pytest.raises(StepLogError):
        writer.append(metrics)
    assert read_metrics(tmp_path / "metrics.jsonl") == []


def test_a_missing_log_is_empty(tmp_path):
    assert read_metrics(tmp_path / "metrics.jsonl") == []


@given(cut=st.integers(0, 200), steps=st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_a_log_cut_anywhere_is_read_and_continued(tmp_path_factory, cut, steps):
    path = tmp_path_factory.mktemp("log") / "metrics.jsonl"
    lines = [json.dumps({"step": step, "loss": step / 3}) for step in range(steps)]
    text = "".join(line + "\n" for line in lines).encode()
    path.write_bytes(text[:cut])
    kept = read_metrics(path)
    assert kept == [json.loads(line) for line in lines[: len(kept)]]
    assert sum(len(line) + 1 for line in lines[: len(kept)]) - 1 <= len(text[:cut]) + (not kept)
    with MetricsWriter(path) as writer:
        writer.append({"step": 99})
    assert read_metrics(path) == [*kept, {"step": 99}]


def test_truncate_after_forgets_later_steps_and_goes_on(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with MetricsWriter(path) as writer:
        for step in range(6):
            writer.append({"step": step, "try": 1})
    with path.open("a") as file:
        file.write('{"step": 6, "tr')
    with MetricsWriter(path) as writer:
        writer.truncate_after(3)
        writer.append({"step": 4, "try": 2})
        writer.truncate_after(9)
    assert [(row["step"], row["try"]) for row in read_metrics(path)] == [(0, 1), (1, 1), (2, 1), (3, 1), (4, 2)]


def test_a_broken_line_in_the_middle_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 0}\nnonsense\n{"step": 2}\n')
    with pytest.raises(StepLogError, match="line 2"):
        read_metrics(path)


def test_kill_9_costs_at_most_the_line_being_written(tmp_path):
    path = tmp_path / "metrics.jsonl"
    program = (
        "import itertools, sys\n"
        "from rekindle.observability.metrics import MetricsWriter\n"
        "writer = MetricsWriter(sys.argv[1])\n"
        "for step in itertools.count():\n"
        "    writer.append({'step': step, 'loss': 0.1})\n"
        "    print(step, flush=True)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    arguments = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 50:
                process.send_signal(signal.SIGKILL)
                break
        acknowledged = [line for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    last = int(acknowledged[-1]) if acknowledged else 50
    steps = [row["step"] for row in read_metrics(path)]
    assert steps == list(range(len(steps)))
    assert steps[-1] >= last
