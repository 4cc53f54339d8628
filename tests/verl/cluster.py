"""Runs of verl's, one after another, in one cluster of Ray's on this machine.

    python cluster.py ASSETS GPUS

It reads lines of JSON, a run each (`tiny_run.Run`), makes them with the functions of verl's entry point, and answers
each with its exit code and its seconds. The output of all processes of a run is in ``log.txt`` of its folder.
"""

import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from contextlib import contextmanager
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PATIENCE_SECONDS = 30
"""Time in which the processes of a run end after it."""


def preload():
    """Import what the processes of a run need, except Ray, which reads settings of a process while it is imported."""
    import accelerate
    import aiohttp
    import datasets
    import fastapi
    import hydra
    import orjson
    import pandas
    import peft
    import pyarrow.parquet
    import tensordict
    import torch._dynamo
    import torch.distributed.checkpoint
    import torch.distributed.fsdp
    import torch.distributed.tensor
    import torchdata.stateful_dataloader
    import transformers.models.auto.modeling_auto
    import transformers.models.qwen3.modeling_qwen3
    import uvicorn
    import zmq

    import rekindle.integrations.verl.cpu.sampler
    from rekindle.integrations.verl.post_import import after_import

    assert all((accelerate, aiohttp, datasets, fastapi, hydra, orjson, pandas, peft, pyarrow, tensordict, torch))
    assert all((torchdata, transformers, uvicorn, zmq, rekindle))
    assert "ray" not in sys.modules
    after_import("verl.trainer.ppo.v1.replay_buffer", poll_often)


def poll_often(module):
    """Let verl's replay buffer look for rollouts every 0.05 seconds; its 2 seconds cannot be configured."""
    made = module.ReplayBuffer.__init__
    made.__defaults__ = (0.05, *made.__defaults__[1:])


@contextmanager
def written_to(path):
    """The output of this process, and of Ray's workers, which it passes on, in a file."""
    kept = [os.dup(number) for number in (1, 2)]
    with path.open("a") as log:
        try:
            for number in (1, 2):
                os.dup2(log.fileno(), number)
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, stream in zip((1, 2), kept, strict=True):
                os.dup2(stream, number)
                os.close(stream)


def composed(run, assets):
    """The configuration of a run."""
    from hydra import compose, initialize_config_module
    from tiny_run import overrides

    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose("ppo_trainer", overrides=overrides(run, assets))


def made(run, assets):
    """Make a run, as ``verl.trainer.main_ppo.main`` does; return its exit code."""
    import verl.trainer.main_ppo as entry

    try:
        config = composed(run, assets)
        entry.auto_set_device(config)
        policies = {
            "use_reference_policy": entry.need_reference_policy(config),
            "use_critic": entry.need_critic(config),
        }
        entry.validate_config(config=config, **policies)
        entry.run_ppo(config, task_runner_class=runner(run))
    except SystemExit as ended:
        print(ended.code, file=sys.stderr)
        return 1
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def runner(run):
    """The class of the driver's actor, which may kill itself."""
    import ray
    from verl.trainer.main_ppo import TaskRunnerV1

    if not run.moment:
        return TaskRunnerV1
    sys.path.append(str(TESTS))
    import dying

    sys.path.remove(str(TESTS))  # workers have this process's path, and a folder of tests is called trl
    ray.cloudpickle.register_pickle_by_value(dying)
    signal_at, moment, at = dying.signal_at, run.moment, run.at

    class Dying(TaskRunnerV1.__ray_metadata__.modified_class):
        def run(self, config):
            import signal

            signal_at(moment, at, signal.SIGKILL)
            super().run(config)

    return ray.remote(Dying)


def clear(gpus):
    """Remove what is left of a run: its ranks may outlive the driver in their placement group."""
    import ray
    from ray.util.placement_group import PlacementGroup, placement_group_table, remove_placement_group

    for number, group in placement_group_table().items():
        if group["state"] != "REMOVED":
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(number))))
    end = time.monotonic() + PATIENCE_SECONDS
    while ray.available_resources().get("GPU", 0) < gpus or ray.util.list_named_actors(all_namespaces=True):
        if time.monotonic() > end:
            raise RuntimeError(
                f"{ray.util.list_named_actors(all_namespaces=True)}, {ray.available_resources()} after a run"
            )
        time.sleep(0.05)


def serve(assets, gpus):
    """Answer runs until the input ends."""
    import forked_workers
    from tiny_run import OBJECT_STORE_BYTES, Run

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    scratch = Path(tempfile.mkdtemp(prefix="rk"))  # paths of sockets are short
    preload()
    kept = forked_workers.start(scratch / "forks")
    import ray

    try:
        ray.init(
            num_cpus=16,
            num_gpus=gpus,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            _temp_dir=str(scratch),
        )
        for line in sys.stdin:
            run, begun = Run(**json.loads(line)), time.monotonic()
            Path(run.out).mkdir(parents=True, exist_ok=True)
            with written_to(Path(run.out, "log.txt")):
                code = made(run, assets)
                clear(gpus)
            print(json.dumps([code, time.monotonic() - begun]), file=answers, flush=True)
    finally:
        ray.shutdown()
        os.close(kept)
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
