"""Cost of confining the processes that score answers: processor seconds of each answer with and without.

    OMP_NUM_THREADS=1 python benchmarks/confinement_cost.py [--rounds 20] [--out FILE.json]

Two servers of reasoning-gym's scorers judge the same answers in turns, each answer in a process of its own. One
confines these processes with all layers of this system; the other, which is this file, with none. The answers are the
reference answers of ``DATA_SETS`` and those of the next task, which are wrong but for a few. Guards are on in both. The
seconds are those of a server and of its processes, by the kernel's count; the interval is of the mean over rounds, by
Student's t. Judging differs more from round to round than confinement costs, so it is also measured alone: processes
that are forked and end, with and without it, in turns.
"""

import argparse
import json
import os
import resource
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from rekindle.statistics.intervals import mean_interval
from rekindle.tasks.reasoning_gym import load_reasoning_gym
from rekindle.types import Task
from rekindle.verifiers import worker_main
from rekindle.verifiers.confinement import available, confine, prepare
from rekindle.verifiers.guards import GUARDS
from rekindle.verifiers.reasoning_gym import ReasoningGymVerifier

DATA_SETS = (*GUARDS, "spell_backward", "basic_arithmetic", "chain_sum")
TASKS = 4
"""Tasks of each data set."""
EMPTY = 100
"""Empty processes of a round."""
UNCONFINED = "unconfined"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    result = {"empty_process_ms": alone(given.rounds), **(measured(given.rounds) if given.rounds else {})}
    print(json.dumps(result, indent=2))
    if given.out:
        given.out.write_text(json.dumps(result, indent=2) + "\n")


def measured(rounds: int) -> dict[str, Any]:
    """Milliseconds of an answer in both ways, and the share that confinement adds."""
    items = [item for name in DATA_SETS for item in answers(name)]
    arms = {"confined": verifier(), UNCONFINED: unconfined()}
    try:
        right = {name: sum(one.score >= 1 for one in arm.judge(items)) for name, arm in arms.items()}
        assert right["confined"] == right[UNCONFINED] > len(items) // 3
        seconds: dict[str, list[float]] = {name: [] for name in arms}
        for number in range(rounds):
            for name in sorted(arms, reverse=number % 2 == 1):
                seconds[name].append(judged(arms[name], items))
                print(f"round {number + 1} of {rounds}, {name}: {seconds[name][-1]:.2f} s", file=sys.stderr)
    finally:
        for arm in arms.values():
            arm.close()
    each = {name: [1000 * one / len(items) for one in found] for name, found in seconds.items()}
    more = [with_ - without for with_, without in zip(each["confined"], each[UNCONFINED], strict=True)]
    found = {name: rounded(values) for name, values in {**each, "difference": more}.items()}
    share = found["difference"]["mean"] / found[UNCONFINED]["mean"]
    return {"layers": available(), "answers": len(items), "right": right["confined"], "rounds": rounds,
            "processor_ms_of_an_answer": found, "share": round(share, 3)}  # fmt: skip


def alone(rounds: int) -> dict[str, dict[str, float]]:
    """Processor milliseconds of an empty process with and without confinement, and the difference."""
    prepare()
    found: dict[str, list[float]] = {"confined": [], UNCONFINED: []}
    for number in range(max(2, rounds)):
        for name in sorted(found, reverse=number % 2 == 1):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            for _ in range(EMPTY):
                if (pid := os.fork()) == 0:
                    if name == "confined":
                        confine(1)
                    os._exit(0)
                os.waitpid(pid, 0)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            found[name].append(1000 * used / EMPTY)
    more = [one - other for one, other in zip(found["confined"], found[UNCONFINED], strict=True)]
    return {name: rounded(values) for name, values in {**found, "difference": more}.items()}


def answers(name: str) -> list[tuple[Task, str]]:
    """Each task of a data set with its reference answer, and with the next one's."""
    tasks = load_reasoning_gym(name, {}, pool_size=TASKS, eval_prompts=1, seed=0).pool
    following = [*tasks[1:], tasks[0]]
    return [(task, f"<answer>{one.answer}</answer>") for task, other in zip(tasks, following, strict=True)
            for one in (task, other)]  # fmt: skip


def verifier() -> ReasoningGymVerifier:
    return ReasoningGymVerifier(workers=1, timeout_seconds=60.0)


def unconfined() -> ReasoningGymVerifier:
    """A verifier whose server is this file."""
    made = verifier()
    pool = made._pool._pool
    pool._launch = replace(pool._launch, module=Path(__file__).stem, arguments=(*pool._launch.arguments, UNCONFINED))
    return made


def judged(arm: ReasoningGymVerifier, items: list[tuple[Task, str]]) -> float:
    """Processor seconds of an arm's server and its processes while it judges."""
    before = processor_seconds(arm)
    assert not [one for one in arm.judge(items) if one.failure]
    return processor_seconds(arm) - before


def processor_seconds(arm: ReasoningGymVerifier) -> float:
    """Seconds of the server and of the processes that it has waited for (Linux)."""
    server = arm._pool._pool._server
    assert server is not None
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def rounded(values: list[float]) -> dict[str, float]:
    mean, half = mean_interval(values)
    return {"mean": round(mean, 3), "half_width": round(half, 3)}


if __name__ == "__main__":
    if sys.argv[-1] == UNCONFINED:
        sys.argv.pop()
        vars(worker_main)["confine"] = lambda *_, **__: None
        worker_main.main()
    else:
        main()
