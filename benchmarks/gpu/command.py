"""Measures on a GPU: update and decoding against the bounds of the device, agreement, and the claims at a larger size.

    python benchmarks/gpu --out gpu.json                        # everything; days, most of them the claims'
    python benchmarks/gpu speed --out gpu.json                  # minutes
    python benchmarks/gpu claims --claims recycling,erpo --seeds 3 --out gpu.json
    python benchmarks/gpu --dry-run --out dry.json              # the same on a CPU in miniature
    python benchmarks/gpu speed --model models/SmolLM2-135M-Instruct --device cpu --dtype float32

Speed is that of a model of the shape of Qwen2.5-0.5B with random weights, or of the one in ``--model``: rollouts of
random prompts, all of one length. Targets are 40 % of the peak for the update, where the peak is what matrix products
of the model's own shapes reach here, and 50 % for decoding, of the bytes that a copy moves in the same time. On a CPU
seconds are CPU seconds of the process.

The claims are those of ``benchmarks/claims`` with their arms and seeds, on ``benchmarks/gpu/arithmetic.toml``. Finished
runs are kept in ``--runs``, stopped ones are resumed. The numbers go to ``--out`` after each part, with date, revision
and machine.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import arms
from claims.claim import Claim
from claims.command import collect
from claims.page import block
from gpu.larger import LARGER
from gpu.models import DRY_SHAPE, SHAPE, random_policy
from gpu.speed import HIGH, LOW, Workload, measured_speed
from rekindle.models.policy import Policy
from rekindle.planning.shapes import ModelShape, shape_of
from rekindle.types import UserError

__all__ = ["TARGETS", "main"]

PARTS = ("speed", "claims")
KINDS = ("qwen2", "qwen3", "llama")
TARGETS = {("update", "share_of_peak"): 0.4, ("decoding", "share_of_bandwidth"): 0.5}
DRY_WORK = {"prompts": 2, "prompt_tokens": 4, "group_size": 2, "new_tokens": 4, "rows": 4, "steps": 1}
DRY_CLAIM = {"claims": "recycling", "arms": 2, "seeds": 1}
DRY_RUN = ("train.steps=4", "eval.every=2", "eval.prompts=4", "eval.samples=1", "task.pool_size=64")
"""Settings of the runs of a dry run."""


def main(words: Sequence[str] | None = None) -> int:
    """Measure what is asked for; 2 where it cannot be."""
    options = _options(words)
    try:
        return _measure(options)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}; none: all")
    parser.add_argument("--out", type=Path, help="JSON file of the numbers; absent: they are only printed")
    parser.add_argument("--dry-run", action="store_true", help="in miniature on the CPU: no number means anything")
    parser.add_argument("--model", help="directory of a model; absent: random weights of the shape of Qwen2.5-0.5B")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="bfloat16", choices=("float32", "bfloat16"))
    parser.add_argument("--float32-head", action="store_true", help="logits in float32")
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--group-size", type=int, default=8)
    parser.add_argument("--new-tokens", type=int, default=384)
    parser.add_argument("--rows", type=int, default=256, help="most rollouts decoded at the same time")
    parser.add_argument("--microbatch-tokens", type=int, default=32_768)
    parser.add_argument("--steps", type=int, default=5, help="measured steps, after one that warms up")
    parser.add_argument("--claims", default=",".join(LARGER), help="names, separated by commas")
    parser.add_argument("--arms", type=int, help="most arms of a claim, the baseline first; absent: all")
    parser.add_argument("--seeds", type=int, help="absent: those of the claim")
    parser.add_argument("--runs", type=Path, default=Path("runs/gpu"))
    options = parser.parse_args(words)
    if options.dry_run:
        changed = {**DRY_WORK, **DRY_CLAIM, "device": "cpu", "dtype": "float32", "microbatch_tokens": 64}
        parser.set_defaults(**changed)
        options = parser.parse_args(words)
    for name, known, given in (("part", PARTS, options.parts), ("claim", LARGER, options.claims.split(","))):
        if unknown := [one for one in given if one not in known]:
            parser.error(f"unknown {name}s: {', '.join(unknown)}; there are {', '.join(known)}")
    return options


def _measure(options: argparse.Namespace) -> int:
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "there is no GPU that torch can use; run this on a machine with one, in miniature with --dry-run, or with "
            "--device cpu"
        )
    results: dict[str, Any] = {
        **arms.made_now(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "dry_run": options.dry_run,
    }
    for part in options.parts or PARTS:
        if part == "speed":
            results["speed"] = _speed(options)
            print(speed_words(results["speed"]))
            _write(options.out, results)
        else:
            for name in options.claims.split(","):
                results.setdefault("claims", {})[name] = _claim(LARGER[name], options)
                _write(options.out, results)
    return 0


def _write(out: Path | None, results: Mapping[str, Any]) -> None:
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _speed(options: argparse.Namespace) -> dict[str, Any]:
    policy, shape = _policy(options)
    work = Workload(
        prompts=options.prompts,
        prompt_tokens=options.prompt_tokens,
        group_size=options.group_size,
        new_tokens=options.new_tokens,
        rows=options.rows,
        microbatch_tokens=options.microbatch_tokens,
        steps=options.steps,
    )
    model = {
        "model": options.model,
        "weights": policy.parameter_count,
        "dtype": options.dtype,
        "float32_head": policy.float32_head,
    }
    workload = {name: getattr(work, name) for name in Workload.__slots__}
    return {**model, "workload": workload, **measured_speed(policy, shape, work)}


def _policy(options: argparse.Namespace) -> tuple[Policy, ModelShape]:
    if options.model is None:
        shape = DRY_SHAPE if options.dry_run else SHAPE
        head = options.float32_head
        return random_policy(shape, device=options.device, dtype=options.dtype, float32_head=head), shape
    policy = Policy.load(options.model, device=options.device, dtype=options.dtype, float32_head=options.float32_head)
    kind = policy.model.config.model_type
    if kind not in KINDS:
        raise UserError(
            f"{options.model} is a {kind}, whose operations are not counted; give one of {', '.join(KINDS)}"
        )
    return policy, shape_of(policy.model.config.to_dict())


def speed_words(found: Mapping[str, Any]) -> str:
    """The numbers as lines, beside their targets."""
    lines = [
        f"{found['weights'] / 1e6:,.1f} M weights, {found['dtype']}; matrix products {found['matrix_peak'] / 1e9:,.0f} "
        f"GFLOP/s, copies {found['copy_bandwidth'] / 1e9:,.1f} GB/s"
    ]
    for part in ("generation", "decoding", "update"):
        numbers = found[part]
        share = next(
            (f"{numbers[key]:.0%} (target {TARGETS[part, key]:.0%})" for key in numbers if (part, key) in TARGETS), ""
        )
        lines.append(f"{part:11s} {numbers['seconds']:9.3f} s  {numbers['tokens_per_second']:12,.0f} tokens/s  {share}")
    gaps = found["agreement"]
    lines.append(f"memory      {found['memory'] / 1e6:,.0f} MB")
    lines.append(
        f"agreement   mean {gaps['mean']:.1e}, largest {gaps['largest']:.1e} nats; "
        f"{gaps['outside']:.2%} of the ratios outside of {LOW} to {HIGH}"
    )
    return "\n".join(lines)


def _claim(claim: Claim, options: argparse.Namespace) -> dict[str, Any]:
    """Make the runs of a claim and return their numbers; its tables are printed."""
    made = _chosen(claim, options)
    [(name, setting)] = made.settings.items()
    arms.run_all([(run.arguments, options.runs / run.place) for run in setting.runs(name)], jobs=1)
    found = {"settings": {name: collect((made, name), options.runs, fast=False)}}
    print(f"\n{claim.title}\n\n{block(made, found)}")
    return found


def _chosen(claim: Claim, options: argparse.Namespace) -> Claim:
    """The claim with the arms, seeds and settings of the options."""
    [(name, setting)] = claim.settings.items()
    kept = dict(list(setting.arms.items())[: options.arms])
    settings = setting.settings
    if options.dry_run:
        model = options.runs.resolve() / "model"
        random_policy(DRY_SHAPE, device="cpu", dtype="float32").save(model)
        settings = (*settings, *DRY_RUN, f"model.path={model}", "model.device=cpu", "model.dtype=float32")
    elif options.model:
        settings = (*settings, f"model.path={options.model}")
    seeds = options.seeds or setting.seeds
    findings = tuple(one for one in claim.findings if {one.ours.arm, one.theirs.arm} <= set(kept))
    made = replace(setting, arms=kept, settings=settings, seeds=seeds)
    return replace(claim, settings={name: made}, findings=findings)
