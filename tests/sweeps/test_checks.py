"""How many processes a sweep has where the user does not say."""

from pathlib import Path

import pytest

from rekindle.config import merge, validate
from rekindle.recipes import RECIPES
from rekindle.sweeps import checks
from rekindle.sweeps.checks import sensible_jobs, threads_of
from rekindle.sweeps.runs import SweepRun

GB = 10**9


def runs(count, **tables):
    chosen = merge({"model": {"device": "cpu"}, "train": {"steps": 9}}, tables)
    config = validate(merge(RECIPES["grpo"]().model_dump(mode="json", exclude_none=True), chosen), "here")
    place = Path("none")
    return [SweepRun(name="grpo-0", config=config, directory=place, log=place, command=()) for _ in range(count)]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    def of(processors, gigabytes):
        monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(processors)), raising=False)
        monkeypatch.setattr(checks, "MEMORY_INFO", tmp_path / "meminfo")
        monkeypatch.setattr("platform.system", lambda: "Linux")
        if gigabytes:
            kilobytes = gigabytes * GB // 1024
            (tmp_path / "meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable:  {kilobytes} kB\nHugePages_Total: 0\n")

    return of


@pytest.mark.parametrize(
    ("processors", "gigabytes", "count", "threads", "parameters", "jobs"),
    [
        (8, 64, 20, None, 200_000, 8),
        (8, 64, 3, None, 200_000, 3),  # no more than runs
        (8, 64, 20, 4, 200_000, 2),
        (2, 64, 20, 4, 200_000, 1),
        (8, 16, 20, None, 135_000_000, 3),  # 6 x 0.54 GB + 1.07 GB = 4.3 GB each
        (8, 16, 20, None, 7_000_000_000, 1),
        (8, 16, 20, None, None, 8),
        (8, 0, 20, None, 7_000_000_000, 8),  # the system does not say
    ],
)
def test_processors_and_memory_decide(processors, gigabytes, count, threads, parameters, jobs, machine):
    machine(processors, gigabytes)
    made = runs(count, **({"train": {"threads": threads}} if threads else {}))
    assert threads_of(made[0].config) == (threads or 1)
    assert sensible_jobs(made, parameters) == jobs


def test_an_adapter_needs_less(machine):
    machine(8, 16)
    made = runs(20, model={"path": "m", "lora": {"rank": 8}})
    assert sensible_jobs(made, 135_000_000) == 5  # 3 x 0.54 GB + 1.07 GB = 2.7 GB each


def test_a_gpu_has_one_process(machine):
    machine(8, 640)
    assert sensible_jobs(runs(20, model={"device": "cuda"}), 200_000) == 1
