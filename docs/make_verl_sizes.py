"""Write the tables of memory, tokens and signal in docs/howto/verl_launch.md, from the files of examples/verl.

Run it as: python docs/make_verl_sizes.py
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from rekindle.planning.cluster_memory import ClusterMemory, ClusterShape, memory_of
from rekindle.planning.shapes import SHAPES, ModelShape
from rekindle.planning.signal import StepSignal, beta_share, expected_step
from rekindle.planning.step_costs import RolloutLengths, StepCosts, costs_of
from rekindle.recipes import RECIPES

PAGE = Path(__file__).parent / "howto" / "verl_launch.md"
RUN = Path(__file__).parents[1] / "examples" / "verl" / "run.sh"
BEGIN, END = "<!-- begin {}: made by docs/make_verl_sizes.py -->", "<!-- end {} -->"

TASKS, SIZES = ("gsm8k", "math", "dapo_math", "search"), ("1.7b", "7b", "32b")
ENGINES, NODES = ("vllm", "sglang"), (1, 4)
COMPARED = ("grpo", "dapo", "recycle")

LENGTHS = {
    "gsm8k": RolloutLengths(prompt=120, sampled=250),
    "math": RolloutLengths(prompt=120, sampled=500),
    "dapo_math": RolloutLengths(prompt=150, sampled=3000),
    "search": RolloutLengths(prompt=250, sampled=400, read=1200),
}
"""Assumed mean tokens."""
ACCURACY = {
    "gsm8k": {"1.7b": 0.7, "7b": 0.9, "32b": 0.95},
    "math": {"1.7b": 0.6, "7b": 0.75, "32b": 0.8},
    "dapo_math": {"1.7b": 0.2, "7b": 0.25, "32b": 0.4},
    "search": {"1.7b": 0.2, "7b": 0.3, "32b": 0.4},
}
"""Assumed mean success rate of the start policy on the prompts of training."""
ROLLOUT, ACTOR = "actor_rollout_ref.rollout", "actor_rollout_ref.actor"


def overrides(task: str, size: str, engine: str = "vllm", nodes: int = 1) -> list[str]:
    """The overrides that the script gives to verl."""
    chosen = {"TASK": task, "SIZE": size, "ENGINE": engine, "NODES": str(nodes), "LAUNCH": r"printf %s\n"}
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | chosen
    command = ["bash", str(RUN)]
    made = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)  # noqa: S603
    return made.stdout.splitlines()


def settings_of(printed: list[str]) -> dict[str, str]:
    """Overrides by path."""
    return {path.lstrip("+"): value for path, _, value in (one.partition("=") for one in printed)}


def model_and_cluster(settings: dict[str, str]) -> tuple[ModelShape, ClusterShape]:
    """The model of a launch, and what decides on its memory."""
    cluster = ClusterShape(
        nodes=int(settings["trainer.nnodes"]),
        gpus_per_node=int(settings["trainer.n_gpus_per_node"]),
        tensor_parallel=int(settings[f"{ROLLOUT}.tensor_model_parallel_size"]),
        engine_share=float(settings[f"{ROLLOUT}.gpu_memory_utilization"]),
        tokens_per_gpu=int(settings[f"{ACTOR}.ppo_max_token_len_per_gpu"]),
        on_host=settings.get(f"{ACTOR}.fsdp_config.offload_policy") == "True",
    )
    return SHAPES[settings["actor_rollout_ref.model.path"]], cluster


def signal_of(recipe: str, groups: int, share: float) -> StepSignal:
    """Expected numbers of a recipe's step on prompts that come for the first time."""
    config = RECIPES[recipe]()
    rounds = config.refill.max_rounds if config.refill else 0
    return expected_step(groups, share, oversample=config.train.oversample, further_rounds=rounds)


def memory_table() -> str:
    """Memory of a GPU for each size and cluster."""
    lines = [
        "| model | nodes | weights, gradients, Adam | gathered weights | activations | **training** | **sampling**, "
        "vLLM / SGLang | engines x GPUs | KV cache of an engine, tokens, vLLM / SGLang | memory of a node's host |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(_memory_row(size, nodes) for size in SIZES for nodes in NODES)])


def _memory_row(size: str, nodes: int) -> str:
    found: list[ClusterMemory] = []
    for engine in ENGINES:
        model, cluster = model_and_cluster(settings_of(overrides("gsm8k", size, engine, nodes)))
        found.append(memory_of(model, cluster))
    first = found[0]
    cells = [
        size.upper(),
        f"{nodes}",
        *(_gb(one) for one in (first.states, first.gathered, first.activations, first.training)),
        " / ".join(_gb(one.sampling) for one in found),
        f"{cluster.engines} x {cluster.tensor_parallel}",
        " / ".join(f"{one.cache_tokens // 1000:,}k" for one in found),
        _gb(first.host),
    ]
    return f"| {' | '.join(cells)} |"


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f}" if size else "0"


def step_table() -> str:
    """Groups, tokens and FLOPs of a step for each task and size."""
    lines = [
        f"| task | model | assumed success rate | groups with signal | groups asked, {' / '.join(COMPARED)} | groups "
        "trained on | rollouts | sampled tokens, millions | tokens of the update, millions | PFLOP |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *_step_rows()])


def _step_rows() -> Iterator[str]:
    for task in TASKS:
        for size in SIZES:
            settings = settings_of(overrides(task, size))
            groups, n = int(settings["data.train_batch_size"]), int(settings[f"{ROLLOUT}.n"])
            mean = ACCURACY[task][size]
            share = beta_share(mean, 1 - mean, n)
            steps = [signal_of(recipe, groups, share) for recipe in COMPARED]
            model, _ = model_and_cluster(settings)
            costs = [costs_of(one, n, LENGTHS[task], model.parameters) for one in steps]
            cells = [f"`{task}`", size.upper(), f"{mean:.0%}", f"{share:.0%}", *_step_cells(steps, costs)]
            yield f"| {' | '.join(cells)} |"


def _step_cells(steps: list[StepSignal], costs: list[StepCosts]) -> list[str]:
    return [
        " / ".join(f"{one.asked:.0f}" for one in steps),
        " / ".join(f"{one.trained:.0f}" for one in steps),
        " / ".join(f"{one.rollouts:,.0f}" for one in costs),
        " / ".join(f"{one.sampled_tokens / 1e6:.1f}" for one in costs),
        " / ".join(f"{one.update_tokens / 1e6:.1f}" for one in costs),
        " / ".join(f"{one.flops / 1e15:,.0f}" for one in costs),
    ]


def page() -> str:
    """The whole page with the present tables."""
    text = PAGE.read_text(encoding="utf-8")
    for name, table in (("memory", memory_table()), ("steps", step_table())):
        before, begin, rest = text.partition(BEGIN.format(name))
        text = f"{before}{begin}\n{table}\n{END.format(name)}{rest.partition(END.format(name))[2]}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
