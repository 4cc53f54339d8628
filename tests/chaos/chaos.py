"""Kills runs again and again, at random instants and at file events, resumes them, and compares.

    PYTHONPATH=tests python tests/chaos/chaos.py --kills 500 --events 500 --out build/chaos

Every trial kills a run, kills its resumption as often as chance says, lets it finish, and compares it with a run that
nothing disturbed. Trials are decided by the seed and their number alone; the results are in OUT/results.jsonl, and the
same command goes on after the last one. The last line is a summary; the exit code is 1 where a resumption was refused,
ended with a traceback, hung, or led to another run.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from chaos_compare import differences, facts_of
from chaos_forks import ALIVE, Death, chance, counting, preload, run_in_fork
from chaos_runs import Run, native_runs, trl_runs

RESULTS = "results.jsonl"
ENDED = (0, 3)


@dataclass(slots=True)
class Undisturbed:
    """A run that nothing disturbed."""

    seconds: float
    events: int
    facts: dict[str, Any]


@dataclass(slots=True)
class Chaos:
    """The trials.

    Attributes:
        place: Directory of all files.
        seed: Seed of the trials.
        runs: The runs by name.
        whole: Undisturbed runs by name, made when they are needed.
    """

    place: Path
    seed: int
    runs: dict[str, Run]
    whole: dict[str, Undisturbed] = field(default_factory=dict)

    def trial(self, mode: str, number: int) -> dict[str, Any]:
        """One trial, as a line of the results.

        Args:
            mode: "kills" at random instants, or "events".
            number: Its number, which decides what happens.
        """
        dice = chance(self.seed, mode, number)
        name = list(self.runs)[number % len(self.runs)]
        undisturbed, out = self._undisturbed(name), self.place / f"trial-{os.getpid()}"
        log = self.place / f"trial-{os.getpid()}.log"
        shutil.rmtree(out, ignore_errors=True)
        log.unlink(missing_ok=True)
        deaths, codes, kills = list[Death](), list[int | str](), 0
        for attempt in range(dice.choice([2, 3, 4])):
            deaths.append(self._death(mode, undisturbed, dice))
            codes.append(run_in_fork(self.runs[name], out, log, resume=attempt > 0, death=deaths[-1]))
            kills += codes[-1] == -9
            if codes[-1] != -9:
                break
        codes.append(run_in_fork(self.runs[name], out, log, resume=True, death=ALIVE))
        places = [death.event or round(death.after or 0.0, 4) for death in deaths]
        line = {"mode": mode, "trial": number, "run": name, "kills": kills, "at": places, "codes": codes}
        return line | self._verdict(codes[-1], undisturbed, out, log, name=f"{mode}-{number}")

    def _death(self, mode: str, undisturbed: Undisturbed, dice: Any) -> Death:
        if mode == "events":
            return Death(event=dice.randint(1, undisturbed.events))
        return Death(after=dice.uniform(0.0, undisturbed.seconds * dice.choice([0.2, 1.0, 1.05])))

    def _verdict(self, code: int | str, undisturbed: Undisturbed, out: Path, log: Path, name: str) -> dict[str, Any]:
        if code in ENDED:
            found = differences(undisturbed.facts, json.loads(json.dumps(facts_of(out))))
            verdict = {"verdict": "differs", "what": found} if found else {"verdict": "same"}
        else:
            verdict = {"verdict": "refused", "what": log.read_text().splitlines()[-4:]}
        if verdict["verdict"] != "same":
            shutil.rmtree(self.place / name, ignore_errors=True)
            shutil.copytree(out, self.place / name) if out.exists() else None
            shutil.copy(log, self.place / f"{name}.log")
        return verdict

    def _undisturbed(self, name: str) -> Undisturbed:
        if name not in self.whole:
            kept = self.place / "whole" / f"{name.replace(' ', '-')}.json"
            if not kept.exists():
                kept.parent.mkdir(exist_ok=True)
                kept.write_text(json.dumps(asdict(self._measured(name))))
            self.whole[name] = Undisturbed(**json.loads(kept.read_text()))
        return self.whole[name]

    def _measured(self, name: str) -> Undisturbed:
        out, log, counts = self.place / "whole-run", self.place / "whole.log", self.place / "whole.events"
        for path in (log, counts):
            path.unlink(missing_ok=True)
        shutil.rmtree(out, ignore_errors=True)
        began = time.monotonic()
        code = run_in_fork(counting(self.runs[name], counts), out, log, resume=False)
        if code not in ENDED:
            raise SystemExit(f"the undisturbed run {name!r} ended with {code}: {log.read_text()[-2000:]}")
        return Undisturbed(time.monotonic() - began, counts.stat().st_size, facts_of(out))


def main() -> int:
    """The command."""
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ["REKINDLE_CACHE"] = str(options.out / "cache")
    if options.trl:
        preload("trl", "datasets", "rekindle.integrations.trl")
    else:
        preload()
    runs = trl_runs() if options.trl else native_runs(options.out / "files")
    runs = {name: run for name, run in runs.items() if not options.only or options.only in name}
    chaos = Chaos(options.out, options.seed, runs)
    results = options.out / RESULTS
    done = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    for mode, wanted in (("kills", options.kills), ("events", options.events)):
        made = sum(one["kills"] for one in done if one["mode"] == mode)
        number = 1 + max((one["trial"] for one in done if one["mode"] == mode), default=-1)
        while made < wanted:
            line = chaos.trial(mode, number)
            with results.open("a") as file:
                file.write(json.dumps(line) + "\n")
            done.append(line)
            made, number = made + line["kills"], number + 1
            if line["verdict"] != "same" or number % 20 == 0:
                print(json.dumps(line), flush=True)
    print(_summary(done), flush=True)
    return 0 if all(one["verdict"] == "same" for one in done) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--kills", type=int, default=500, help="kills at random instants (default: 500)")
    parser.add_argument("--events", type=int, default=500, help="kills at file events (default: 500)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the trials (default: 0)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only runs whose name has this text")
    parser.add_argument("--trl", action="store_true", help="the runs inside TRL instead of the native ones")
    parser.add_argument("--out", type=Path, default=Path("build/chaos"), help="(default: build/chaos)")
    return parser.parse_args()


def _summary(done: list[dict[str, Any]]) -> str:
    verdicts = Counter(one["verdict"] for one in done)
    kills = Counter()
    for one in done:
        kills[one["mode"]] += one["kills"]
    return (
        f"chaos: {kills['kills']} kills at random instants and {kills['events']} at file events, in {len(done)} trials "
        f"of {len({one['run'] for one in done})} runs: {verdicts['refused']} refused, {verdicts['differs']} differing"
    )


if __name__ == "__main__":
    sys.exit(main())
