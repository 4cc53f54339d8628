"""The scripts of examples/verl, with stand-ins for the commands of a cluster; verl itself checks them in tests/verl."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fast import has
from test_docs import script_of

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "examples" / "verl"
SIZES = script_of("make_verl_sizes")
LAUNCHES = [
    (task, size, engine, nodes)
    for task in SIZES.TASKS
    for size in SIZES.SIZES
    for engine in SIZES.ENGINES
    for nodes in SIZES.NODES
]
CALL = r"printf %s\n"


@pytest.mark.parametrize("script", sorted(SCRIPTS.rglob("*.sh")), ids=lambda one: str(one.relative_to(SCRIPTS)))
def test_a_script_is_valid_bash(script):
    subprocess.run(["bash", "-n", str(script)], check=True)


def bash(script, *arguments, **environment):
    clean = {"PATH": os.environ["PATH"], "HOME": "/home/me"}
    return subprocess.run(
        ["bash", str(SCRIPTS / script), *arguments],
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_files_are_those_of_the_tables():
    for folder, names in (("tasks", SIZES.TASKS), ("sizes", SIZES.SIZES), ("engines", SIZES.ENGINES)):
        assert {path.stem for path in (SCRIPTS / folder).glob("*.sh")} == set(names)


@pytest.mark.parametrize("launch", LAUNCHES, ids=lambda one: "-".join(map(str, one)))
def test_a_launch_sets_each_key_once_and_fits_into_gpus_of_80_gigabytes(launch):
    printed = SIZES.overrides(*launch)
    settings = SIZES.settings_of(printed)
    assert len(settings) == len(printed)
    model, cluster = SIZES.model_and_cluster(settings)
    memory = SIZES.memory_of(model, cluster)
    assert memory.fits(cluster.gpu_bytes), f"{memory}"
    longest = int(settings["data.max_prompt_length"]) + int(settings["data.max_response_length"])
    assert memory.cache_tokens >= 8 * longest


def test_choices_and_overrides_of_the_user_reach_verl():
    chosen = {
        "TASK": "search",
        "ENGINE": "sglang",
        "MODEL": "/m",
        "DATA": "/d",
        "OUT": "/o",
        "NAME": "first",
        "GPUS": "4",
    }
    chosen |= {"RECIPE": "mine/best.toml", "RETRIEVER": "http://h:1/retrieve"}
    result = bash("run.sh", "trainer.total_epochs=2", LAUNCH=CALL, **chosen)
    printed = result.stdout.splitlines()
    assert {
        "data.train_files=/d/nq_hotpotqa_train/train.parquet",
        "actor_rollout_ref.model.path=/m",
        "actor_rollout_ref.rollout.name=sglang",
        "+rekindle.recipe=mine/best.toml",
        "+rekindle.retriever.url=http://h:1/retrieve",
        "trainer.default_local_dir=/o/first",
        "trainer.n_gpus_per_node=4",
    } <= set(printed)
    assert printed[-1] == "trainer.total_epochs=2"
    assert "trainer.experiment_name=gsm8k-7b-vllm-best" in bash("run.sh", LAUNCH=CALL, RECIPE="a/best.toml").stdout


def test_a_recipe_can_size_its_groups():
    assert "actor_rollout_ref.rollout.n=8" in bash("run.sh", LAUNCH=CALL).stdout
    assert "actor_rollout_ref.rollout.n=4" in bash("run.sh", LAUNCH=CALL, GROUP="4").stdout
    assert "rollout.n=" not in bash("run.sh", LAUNCH=CALL, GROUP="", RECIPE="c_rf_ntf").stdout


def test_without_launch_it_is_the_entry_point_of_verl(tmp_path):
    fakes(tmp_path, "python")
    bash("run.sh", PATH=f"{tmp_path}:{os.environ['PATH']}", CALLS=str(tmp_path / "calls"))
    assert calls(tmp_path)[0].startswith("python -m verl.trainer.main_ppo data.train_files=/home/me/data/gsm8k/")


@pytest.mark.parametrize("name", ["TASK", "SIZE", "ENGINE"])
def test_an_unknown_choice_is_named(name):
    result = bash("run.sh", LAUNCH=CALL, **{name: "other"})
    assert (result.returncode, result.stdout) == (2, "")
    assert re.fullmatch(
        r"there is no \S+/other\.sh; set TASK, SIZE and ENGINE to the name of a file .*\n", result.stderr
    )


def fakes(folder, *names, **bodies):
    """Commands that write their arguments to a file of calls, and do no more."""
    for name in (*names, *bodies):
        path = folder / name
        body = bodies.get(name, "true")
        path.write_text(f'#!/usr/bin/env bash\necho "{name} $*" >>"$CALLS"\n{body}\n', encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)


def calls(folder):
    return (folder / "calls").read_text(encoding="utf-8").splitlines()


SRUN = """
while [[ $1 == --* ]]; do shift; done
if [[ $1 == hostname ]]; then echo "10.0.0.1 fe80::1"; else "$@"; fi
"""


@pytest.fixture
def cluster(tmp_path):
    """The environment of a job of two nodes, n1 and n2."""
    python = "if [[ $1 == -c ]]; then echo made-up; else cat >/dev/null; fi"
    ray = 'echo "asks for $RAY_AUTH_MODE $RAY_AUTH_TOKEN" >>"$CALLS"'
    fakes(tmp_path, "rekindle", "curl", python=python, ray=ray, scontrol="printf 'n1\\nn2\\n'", srun=SRUN)
    return {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "SLURM_SUBMIT_DIR": str(ROOT),
        "SLURM_JOB_NODELIST": "n[1-2]",
        "SLURM_GPUS_PER_NODE": "8",
        "LAUNCH": CALL,
    }


def test_the_slurm_job_makes_a_ray_cluster_and_runs_on_its_first_node(cluster, tmp_path):
    result = bash("slurm.sh", "trainer.total_epochs=2", SIZE="32b", **cluster)
    assert result.returncode == 0, result.stderr
    printed = result.stdout.splitlines()
    assert {
        "trainer.nnodes=2",
        "trainer.n_gpus_per_node=8",
        "actor_rollout_ref.model.path=Qwen/Qwen2.5-32B-Instruct",
    } <= {*printed}
    assert printed[-1] == "trainer.total_epochs=2"
    made = set(calls(tmp_path))
    assert "ray start --head --block --node-ip-address=10.0.0.1 --port=6379 --num-gpus=8" in made
    assert "ray start --block --address=10.0.0.1:6379 --num-gpus=8" in made
    assert calls(tmp_path).count("asks for token made-up") == 2
    assert "python - 2" in made
    at = "srun --overlap --nodes=1 --ntasks=1 --nodelist="
    assert sum(one.startswith(f"{at}n2 ") for one in made) == 1
    assert any(one.startswith(f"{at}n1 bash {SCRIPTS}/run.sh") for one in made)
    assert not any(one.startswith("rekindle") for one in made)


def test_each_node_has_a_search_server_where_there_is_a_corpus(cluster, tmp_path):
    result = bash("slurm.sh", TASK="search", CORPUS="/wiki.jsonl", RETRIEVER_OPTIONS="--top-k 5", **cluster)
    assert result.returncode == 0, result.stderr
    made = calls(tmp_path)
    assert made.count("rekindle serve-retriever --corpus /wiki.jsonl --port 8000 --top-k 5") == 2
    assert any(one.startswith("curl ") for one in made)
    assert "+rekindle.retriever.url=http://127.0.0.1:8000/retrieve" in result.stdout


def test_a_search_server_that_ends_ends_the_job(cluster, tmp_path):
    fakes(tmp_path, curl="exit 7")
    result = bash("slurm.sh", TASK="search", CORPUS="/nothing.jsonl", **cluster)
    assert result.returncode == 1
    assert "the search server on n2 has ended" in result.stderr
    assert not any("run.sh" in one for one in calls(tmp_path))


def test_slurm_alone_can_run_it():
    result = bash("slurm.sh")
    assert result.returncode != 0
    assert "run this with sbatch" in result.stderr


def test_the_ray_job_sends_the_folder_and_the_choices(tmp_path):
    fakes(tmp_path, "ray")
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls")}
    result = bash(
        "ray_job.sh", "a=1", TASK="search", GROUP="", NODES="4", RAY_API_SERVER_ADDRESS="http://h:8265", **environment
    )
    assert result.returncode == 0, result.stderr
    [call] = calls(tmp_path)
    assert call == f"ray job submit --no-wait --working-dir {SCRIPTS} -- env TASK=search NODES=4 GROUP= bash run.sh a=1"
    assert "set it to the address" in bash("ray_job.sh", **environment).stderr


@pytest.mark.skipif(not has("pyarrow"), reason="pyarrow")
def test_repeated_prompts_are_left_out(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    def row(number, content):
        return {
            "data_source": "math_dapo",
            "prompt": [{"role": "user", "content": content}],
            "reward_model": {"ground_truth": str(number), "style": "rule"},
            "extra_info": {"index": f"id-{number}"},
        }

    rows = [row(number, content) for number, content in enumerate(["a", "b", "a", "c", "b"])]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet", row_group_size=2)
    target = tmp_path / "new" / "out.parquet"
    command = [sys.executable, str(SCRIPTS / "distinct_prompts.py"), str(tmp_path / "in.parquet"), str(target)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert result.stdout == f"{target}: 3 of 5 rows\n"
    assert pq.read_table(target).to_pylist() == [rows[0], rows[1], rows[3]]
    pq.write_table(pa.table({"prompt": ["a"]}), tmp_path / "other.parquet")
    command[2] = str(tmp_path / "other.parquet")
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "has no column data_source, reward_model" in result.stderr
