"""Runs with RekindleTrainer in processes of their own, which may be several, and may be killed at a named moment.

    python ranks.py MODEL          imports the libraries once, and makes one child per process of a run
    python ranks.py MODEL RUN      makes one run as a process of a launcher

The first reads lines of JSON, lists of runs that are made side by side, and answers each with their exit codes and last
lines. No backward pass runs in the parent, because autograd's threads do not survive a fork.
"""

import contextlib
import gc
import json
import os
import signal
import socket
import sys
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # a runner starts with this folder alone
from dying import signal_at
from tiny_qwen import SETTINGS

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@dataclass(frozen=True)
class Run:
    """A run.

    Attributes:
        out: Its output_dir.
        recipe: Recipe, a name or tables.
        steps: Optimizer steps.
        rows: Rows of a micro-batch of one process.
        processes: Number of processes.
        resume: Go on from the last checkpoint.
        save: Steps between checkpoints; None: there are none.
        changes: Further arguments of GRPOConfig.
        reward: Name of the reward function.
        prompts: Rows of the dataset.
        moment: ``MODULE:PATH`` of a function; the process is killed at the beginning of its call ``at``. Or the name of
            one of this file: the process is killed in the middle.
        at: Number of the call, from 1.
        dies: Which of the processes.
    """

    out: str
    recipe: object = "recycle"
    steps: int = 4
    rows: int = 8
    processes: int = 1
    resume: bool = False
    save: int | None = None
    changes: dict = field(default_factory=dict)
    reward: str = "odd"
    prompts: int = 40
    moment: str = ""
    at: int = 1
    dies: int = 0


def odd(completions, **_):
    return [float(sum(one.isdigit() for one in text) % 2) for text in completions]


def often(prompts, completions, **_):
    """Always right for two prompts of three, so that temperatures are raised."""
    return [
        1.0 if sum(map(ord, prompt)) % 3 else float(sum(one.isdigit() for one in text) % 2)
        for prompt, text in zip(prompts, completions, strict=True)
    ]


def sometimes(prompts, completions, **_):
    """No reward at all for a prompt of four."""
    return [
        None if sum(map(ord, prompt)) % 4 == 0 else float(sum(one.isdigit() for one in text) % 2)
        for prompt, text in zip(prompts, completions, strict=True)
    ]


def settings(run):
    """Arguments of GRPOConfig."""
    return {
        **SETTINGS,
        "output_dir": run.out,
        "per_device_train_batch_size": run.rows,
        "num_generations": 8 if run.recipe in ("c_rf_ntf", "sgpo") else 4,
        "max_steps": run.steps,
        "save_strategy": "steps" if run.save else "no",
        "save_steps": run.save or 500,
        **run.changes,
    }


def read(directory):
    """The model and its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(directory, padding_side="left")


def child(run, model, tokenizer):
    """Make a run in this process, and keep its weights at the end; returns the trainer."""
    from datasets import Dataset
    from trl import GRPOConfig

    from rekindle.integrations.trl import RekindleTrainer

    rows = [{"id": str(number), "prompt": f"{number}+{number % 7}="} for number in range(run.prompts)]
    trainer = RekindleTrainer(
        model,
        globals()[run.reward],
        GRPOConfig(**settings(run)),
        Dataset.from_list(rows),
        processing_class=tokenizer,
        recipe=run.recipe,
    )
    trainer.train(resume_from_checkpoint=run.resume or None)
    if trainer.accelerator.is_main_process:
        trainer.save_model(str(Path(run.out, "end")))
    return trainer


def dying(moment, at):
    """Kill this process at call ``at`` of a function: at its beginning, or where one of this file takes its place."""
    place, instead = (moment, None) if ":" in moment else globals()[moment]
    signal_at(place, at, signal.SIGKILL, instead)


def _tear(state, path):
    text = json.dumps({**asdict(state), "stateful_callbacks": {}}, indent=2)
    Path(path).write_text(text[: len(text) // 2])


def _delete_half(*, output_dir, **_):
    oldest = min(Path(output_dir).glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    files = [path for path in oldest.rglob("*") if path.is_file()]
    for path in sorted(files, key=lambda path: path.name)[: len(files) // 2]:
        path.unlink()


torn_state = ("transformers:TrainerState.save_to_json", _tear)
half_rotated = ("transformers.trainer:rotate_checkpoints", _delete_half)


def fork(run, parts, rank, port):
    """A process of a run; returns its id."""
    if pid := os.fork():
        return pid
    code = 1
    try:
        log = os.open(f"{run.out}.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        for number in (1, 2):
            os.dup2(log, number)
        if run.processes > 1:
            names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": run.processes, "LOCAL_WORLD_SIZE": run.processes}
            os.environ |= {name: str(value) for name, value in names.items()}
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        if run.moment and run.dies == rank:
            dying(run.moment, run.at)
        child(run, *parts)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def together(runs, parts):
    """Make runs, as many at a time as there are cores; of each the exit codes of its processes, and its last lines."""
    waiting, started, codes = list(enumerate(runs)), {}, [[] for _ in runs]
    while waiting or started:
        while waiting and (not started or len(started) + waiting[0][1].processes <= (os.cpu_count() or 1)):
            number, run = waiting.pop(0)
            Path(f"{run.out}.log").unlink(missing_ok=True)
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            started |= {fork(run, parts, rank, port): number for rank in range(run.processes)}
        pid, status = os.wait()
        number = started.pop(pid)
        codes[number].append(os.waitstatus_to_exitcode(status))
        if codes[number][-1]:  # as a launcher does
            for other in [other for other, its in started.items() if its == number]:
                os.kill(other, signal.SIGKILL)
    return [
        (its, Path(f"{run.out}.log").read_text(errors="replace")[-4000:]) for its, run in zip(codes, runs, strict=True)
    ]


def serve(directory):
    """Answer lists of runs until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import datasets
    import trl

    from rekindle.integrations.trl import RekindleTrainer

    assert all((datasets, trl, RekindleTrainer))
    parts = read(directory)
    gc.collect()
    gc.freeze()  # children need not look through the libraries again
    for line in sys.stdin:
        print(json.dumps(together([Run(**one) for one in json.loads(line)], parts)), file=answers, flush=True)


def gloo_threads():
    """Names of gloo's threads in this process: one at work when Python ends aborts it (pytorch pull request 179291)."""
    names = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # it has just ended
            names.append((task / "comm").read_text().strip())
    return [name for name in names if "gloo" in name]


def wait_for_gloo():
    """Wait until no thread of a process group is left: they end with the last reference to it."""
    gc.collect()
    end = time.monotonic() + 10
    while (left := gloo_threads()) and time.monotonic() < end:
        time.sleep(0.01)
    assert not left, f"threads of a process group are left: {left}"


def asked(runs):
    """The line that asks for runs."""
    return json.dumps([asdict(run) for run in runs])


if __name__ == "__main__":
    if len(sys.argv) > 2:
        trainer = child(Run(**json.loads(sys.argv[2])), *read(sys.argv[1]))
        trainer.accelerator.end_training()
        del trainer  # its model holds the process group
        wait_for_gloo()
    else:
        serve(sys.argv[1])
