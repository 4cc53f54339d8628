"""Every option reaches the code that it names: with another value the run is another run."""

import json
import string
from typing import Any

import pytest
import torch
from reading import keys_read
from test_loop import finish, last_weights, ledger_rows, opened, without_clocks
from test_search_options import COVERED as OF_SEARCH_AGENTS
from test_self_play_options import COVERED as OF_SELF_PLAY

from fast import sample
from rekindle.config import Config, ConfigError
from rekindle.environments.single_turn import SingleTurn
from rekindle.notices import RekindleWarning
from rekindle.recipes import resolve
from rekindle.records.endings import Ending
from rekindle.training.checkpoint import Checkpoints
from rekindle.types import UserError
from rekindle.warm_starts.tiny_model import build_tiny

# Runs of the recipe "recycle" on its own.
CHANGES_THE_NUMBERS = {
    "train.group_size": 3,
    "train.groups_per_step": 5,
    "train.oversample": 3,
    "train.max_off_policy_steps": 1,
    "train.temperature": 1.3,
    "advantage.estimator": "dr_grpo",
    "advantage.negative_keep_ratio": 0.2,
    "advantage.negative_scale": 0.5,
    "advantage.deviation": "sample",
    "advantage.epsilon": 0.1,
    "loss.aggregation": "sequence_mean",
    "train.learning_rate": 1e-3,
    "optimizer.warmup_steps": 2,
    "optimizer.weight_decay": 0.5,
    "optimizer.beta1": 0.5,
    "optimizer.beta2": 0.9,
    "optimizer.grad_clip": 0.01,
    "optimizer.epochs": 2,
    "optimizer.minibatches": 2,
    "loss.kl_coefficient": 0.5,
    "engine.max_new_tokens": 3,
    "engine.top_p": 0.5,
    "engine.min_p": 0.3,
    "engine.stop": ["a"],
    "pool.alpha": 0.5,
    "pool.reset_below": 0.99,
    "task.pool_size": 30,
    "eval.prompts": 9,
    "eval.samples": 3,
    "eval.every": 1,
}
OFF_POLICY = ("optimizer.epochs=3", "train.learning_rate=0.003", "optimizer.warmup_steps=0")
FRESH = ("warm_start.steps=40", "train.steps=1")  # what needs another warm start gets a short one
OFTEN = ("task.pool_size=10", "train.steps=6")  # every prompt three times or more
SPREAD = ("train.temperature=1.5",)  # success rates of all kinds
SHORT_OF_SIGNAL = ("train.oversample=1", *SPREAD)  # as many prompts as a step needs, and some without signal
HOT = (*OFTEN, "train.temperature=0.4", "heating.delta=0.4")
REVIVED = (*HOT, "reactivation.kind=constant")
PATIENT = ("phases.max_epochs=9", "phases.patience=1", "phases.smoothing=1.0", "train.steps=8")
ONCE = ("phases.repeats=1",)
BY_SUCCESS = (*OFTEN, *SPREAD, "sizes.rule=inverse_success")
NEEDS_COMPANY: dict[str, Any] = {
    # key: (settings of both runs, value of the second, recipe if it is not "recycle")
    "loss.clip_low": (OFF_POLICY, 0.01),
    "loss.clip_high": (OFF_POLICY, 0.01),
    "loss.dual_clip": (OFF_POLICY, 1.01),
    "overlong.kind": (("engine.max_new_tokens=4",), "masked"),
    "overlong.buffer": (("overlong.kind=penalty",), 20),
    "overlong.factor": (("overlong.kind=penalty", "overlong.buffer=20"), 3.0),
    "loss.kl": (("loss.kl_coefficient=0.5",), "k3_corrected"),
    "loss.tis_cap": ((), 0.5),
    "advantage.count_over": (("optimizer.minibatches=3",), "batch", "c_rf_ntf"),
    "advantage.split": (("train.groups_per_step=2",), "batch_mean", "c_rf_ntf"),
    "optimizer.microbatch_tokens": ((), 64),
    "optimizer.schedule": (("optimizer.warmup_steps=0",), "cosine"),
    "loss.old_logprobs": (("optimizer.epochs=2",), "recompute"),
    "train.gate": ((), "everything", "grpo"),
    "loss.kind": (("optimizer.minibatches=3", "loss.clip_high=0.001", *OFF_POLICY[1:]), "cispo", "grpo"),
    "advantage.zero_variance_scale": ((), 0.5, "rl_zvp"),
    "advantage.baseline_strength": (OFTEN, 0.5, "prompt_baseline"),
    "loss.off_temperature": (HOT, "ignore", "erpo"),
    "loss.importance_cap": ((*HOT, "loss.off_temperature=importance"), 0.5, "erpo"),
    "task.params.seed": (FRESH, 3),
    "task.params.min_length": (FRESH, 3),
    "warm_start.steps": (FRESH, 39),
    "warm_start.batch_size": (FRESH, 32),
    "warm_start.learning_rate": (FRESH, 1e-3),
    "warm_start.seed": (FRESH, 1),
    "model.tiny.layers": (FRESH, 2),
    "model.tiny.initialization": (FRESH, "copying"),
    "model.tiny.hidden_size": (FRESH, 32),
    "model.tiny.intermediate_size": (FRESH, 64),
    "model.tiny.kv_heads": ((*FRESH, "model.tiny.heads=4"), 2),
    "model.tiny.heads": ((*FRESH, "model.tiny.kv_heads=2"), 2),
    "priority.score": ((*OFTEN, "priority.sharpness=1"), "uncertainty", "posterior_recycle"),
    "priority.estimate": (OFTEN, "sample", "posterior_recycle"),
    "priority.select": (OFTEN, "best", "posterior_recycle"),
    "priority.floor": (OFTEN, 0.9, "posterior_recycle"),
    "priority.sharpness": (OFTEN, 9.0, "posterior_recycle"),
    "priority.consume": (OFTEN, "drawn", "posterior_recycle"),
    "posterior.prior_successes": (OFTEN, 9.0, "posterior_recycle"),
    "posterior.prior_failures": (OFTEN, 9.0, "posterior_recycle"),
    "posterior.half_life": (OFTEN, 1e-4, "posterior_recycle"),
    "posterior.least_discount": ((*OFTEN, *SPREAD, "posterior.half_life=0.01"), 0.99, "prompt_baseline"),
    "optimizer.batch_exponent": (SHORT_OF_SIGNAL, 1.0),
    "refill.max_rounds": (SHORT_OF_SIGNAL, 3),
    "posterior.most_discount": (OFTEN, 0.1, "prompt_baseline"),
    "posterior.probe_rows": (OFTEN, 2, "posterior_recycle"),
    "skip.target": (OFTEN, 1.0, "greso"),
    "skip.easy_part": ((*OFTEN, "skip.target=1.0"), 1.0, "greso"),
    "skip.explore": (OFTEN, 1.0, "greso"),
    "profile.samples": ((), 4, "sgpo"),
    "profile.trivial_above": ((), 0.3, "sgpo"),
    "profile.unsolved_share": ((*SPREAD, "profile.samples=3"), 1.0, "sgpo"),
    "phases.max_epochs": ((), 2, "sgpo"),
    "phases.repeats": ((*ONCE, "train.steps=12"), 2, "sgpo"),
    "phases.constant": ((), "rollouts", "sgpo"),
    "phases.patience": (PATIENT, 9, "sgpo"),
    "phases.min_gain": (PATIENT, 0.9, "sgpo"),
    "phases.smoothing": ((), 1.0, "sgpo"),
    "phases.after_last": ((*ONCE, "train.steps=12"), "stop", "sgpo"),
    "phases.order": ((*SPREAD, "profile.samples=4"), "hard_first", "sgpo"),
    "phases.reprofile": ((*SPREAD, "profile.samples=4"), True, "sgpo"),
    "sizes.rule": (OFTEN, "inverse_success", "grpo"),
    "sizes.minimum": (BY_SUCCESS, 3, "grpo"),
    "sizes.maximum": (BY_SUCCESS, 3, "grpo"),
    "sizes.rounding": (BY_SUCCESS, "ceil", "grpo"),
    "heating.delta": (HOT, 0.3, "erpo"),
    "heating.maximum": (HOT, 0.5, "erpo"),
    "heating.on_signal": ((*HOT, "train.steps=9"), "hold", "erpo"),
    "reactivation.kind": (HOT, "constant", "erpo"),
    "reactivation.groups": (REVIVED, "all_correct", "erpo"),
    "reactivation.constant": (REVIVED, 0.9, "erpo"),
    "reactivation.decay": ((*REVIVED, "heating.maximum=0.5"), True, "erpo"),
    "top_up.kind": ((), "off", "speed"),
    "top_up.more": ((), 3, "speed"),
    "top_up.max_rounds": ((), 2, "reinforce_ada"),
    "subset.kind": (("train.group_size=6",), "off", "pods"),
    "subset.size": (("train.group_size=6",), 2, "pods"),
    "subset.baseline": (("train.group_size=6",), "all", "pods"),
}
SMALL = ("train.steps=5", "task.pool_size=40", "train.groups_per_step=6", "eval.every=99", "checkpoint.every=99")


@pytest.fixture(scope="module")
def run(quick_config, tmp_path_factory):
    """``run("recycle", "train.group_size=3")``: the metrics of a small run, made once."""
    made = {}

    def metrics(recipe, *overrides):
        if (recipe, *overrides) not in made:
            directory = tmp_path_factory.mktemp("options") / "run"
            reset = ("pool.reset_below=0.1",) if recipe == "recycle" else ()
            finish(quick_config(recipe, *SMALL, *reset, *overrides), directory)
            made[recipe, *overrides] = without_clocks(directory)
        return made[recipe, *overrides]

    return metrics


# Pairs of whole runs of each key are slow tests. That the keys are read at all is tested below, by fast runs too.


@pytest.mark.parametrize("key", sample(CHANGES_THE_NUMBERS))
def test_an_option_changes_the_run(key, run):
    assert run("recycle", f"{key}={json.dumps(CHANGES_THE_NUMBERS[key])}") != run("recycle")


@pytest.mark.parametrize("key", sample(NEEDS_COMPANY))
def test_an_option_changes_the_run_beside_others(key, run):
    company, value, *named = NEEDS_COMPANY[key]
    recipe = named[0] if named else "recycle"
    assert run(recipe, *company, f"{key}={json.dumps(value)}") != run(recipe, *company)


def features():
    """Recipe and settings -> the keys of the tables above that a run with them must read."""
    found = {("recycle",): list(CHANGES_THE_NUMBERS)}
    for key, (company, _, *named) in NEEDS_COMPANY.items():
        settings = FRESH if company[: len(FRESH)] == FRESH else company
        found.setdefault((named[0] if named else "recycle", *settings), []).append(key)
    return found


@pytest.mark.parametrize("feature", sample(features(), *list(features())[::36]), ids=" ".join)
def test_options_are_read_by_the_runs_that_they_change(feature, quick_config, tmp_path):
    recipe, *settings = feature
    config = quick_config(recipe, *SMALL, "train.steps=3", "eval.prompts=4", *settings)
    with keys_read() as read:
        finish(config, tmp_path / "run")
    known = {*leaves(Config)}
    expected = {key if key in known else key.rpartition(".")[0] for key in features()[feature]}
    assert not sorted(expected - read)


ELSEWHERE = {
    "recipe": "test_config",
    "base": "test_config",
    "model.path": "test_sources_and_models below",
    "model.dtype": "test_sources_and_models below",
    "model.float32_head": "tests/models/test_float32_head",
    "model.device": "tests/models/test_policy",
    "model.trust_remote_code": "tests/models/test_policy",
    "model.chat_template": "test_sources_and_models below",
    "model.system_prompt": "test_sources_and_models below",
    "model.template": "tests/assembly/test_prompt_rooms",
    "model.template_variables": "tests/assembly/test_prompt_rooms",
    "model.tiny.max_length": "test_the_tiny_model_must_hold_the_task below",
    "warm_start.sampled_accuracy": "test_warm_start",
    "task.source": "test_sources_and_models below",
    "task.name": "test_sources_and_models below",
    "task.path": "test_sources_and_models below",
    "task.eval_path": "tests/tasks/test_files",
    "task.columns.prompt": "tests/tasks/test_task_columns",
    "task.columns.answer": "tests/tasks/test_task_columns",
    "task.columns.id": "tests/tasks/test_task_columns",
    "task.subset": "tests/tasks/test_hub_sets",
    "task.split": "tests/tasks/test_hub_sets",
    "task.eval_split": "tests/tasks/test_hub_sets",
    "task.revision": "tests/tasks/test_hub_sets",
    "task.overlong_prompts": "tests/assembly/test_prompt_rooms",
    "task.params": "above, by its keys",
    "task.verifier": "tests/verifiers/test_verifier_rewards",
    "rewards": "test_reward_runs",
    "audits": "test_reward_runs",
    "task.audit": "tests/verifiers/test_audited",
    "task.verifier_weight": "tests/verifiers/test_reward_functions",
    "task.binary_rewards": "tests/verifiers/test_verifier_rewards",
    "task.success_threshold": "tests/verifiers/test_verifier_rewards",
    "profile.path": "test_a_profile_is_read_and_not_made_again below",
    "profile.force": "test_a_profile_is_read_and_not_made_again below",
    "verify.workers": "tests/verifiers/test_workers",
    "verify.timeout_seconds": "tests/verifiers/test_workers",
    "verify.powers": "tests/verifiers/test_literals",
    "verify.unconfined": "tests/verifiers/test_permission",
    "pool.kind": "test_loop, by the recipes",
    "pool.on_empty": "test_loop",
    "refill.on_exhausted": "test_loop",
    "train.steps": "test_loop",
    "train.rollouts": "test_loop",
    "train.tokens": "test_a_budget_of_tokens below",
    "train.seed": "test_the_seed below",
    "train.threads": "test_threads below",
    "train.max_steps_without_signal": "test_loop",
    "optimizer.max_skipped_steps": "test_loop",
    "engine.max_rows": "tests/engines/test_torch_engine",
    "checkpoint.every": "test_checkpoints below",
    "checkpoint.keep": "test_loop",
    "checkpoint.optimizer": "test_lora_runs",
    "model.revision": "tests/models/test_hub",
    "model.gradient_checkpointing": "test_lora_runs",
    "model.lora.rank": "test_lora_runs",
    "model.lora.alpha": "tests/models/test_lora",
    "model.lora.targets": "tests/models/test_lora",
    "samples.per_step": "test_rollout_samples",
    "samples.held_out": "test_rollout_samples",
    "dialogue.max_turns": "tests/environments/test_dialogue",
    "dialogue.turn_tokens": "tests/environments/test_dialogue",
    "dialogue.reply_tokens": "tests/environments/test_dialogue",
    "track": "tests/observability/trackers",
    "tracking.project": "tests/observability/trackers",
    "tracking.name": "tests/observability/trackers",
}


def leaves(model, prefix=""):
    for name, field in model.model_fields.items():
        kind = field.annotation
        if hasattr(kind, "model_fields"):
            yield from leaves(kind, f"{prefix}{name}.")
        else:
            yield prefix + name


def test_no_option_is_without_a_test():
    covered = {*CHANGES_THE_NUMBERS, *NEEDS_COMPANY, *ELSEWHERE, *OF_SEARCH_AGENTS, *OF_SELF_PLAY}
    assert not set(leaves(Config)) - covered


@pytest.mark.slow
def test_threads(quick_config, tmp_path):
    before = torch.get_num_threads()
    try:
        with opened(quick_config("grpo", "train.threads=2"), tmp_path / "run"):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_resumed_run_keeps_its_number_of_threads(quick_config, tmp_path):
    before = torch.get_num_threads()
    config, info = quick_config("grpo", "train.steps=1"), tmp_path / "run" / "run.json"
    finish(config, tmp_path / "run")
    described = json.loads(info.read_text())
    assert described["threads"] == 1, "a tiny model"
    info.write_text(json.dumps(described | {"threads": 2}))
    try:
        with opened(quick_config("grpo", "train.steps=2"), tmp_path / "run", resume=True):
            assert torch.get_num_threads() == 2
        assert json.loads(info.read_text())["threads"] == 2
    finally:
        torch.set_num_threads(before)


def test_checkpoints(quick_config, tmp_path):
    finish(quick_config("grpo", "train.steps=6", "checkpoint.every=3", "checkpoint.keep=9"), tmp_path / "run")
    assert Checkpoints(tmp_path / "run" / "checkpoints", keep=9).steps() == [3, 6]


def test_the_seed(run, quick_config, tmp_path):
    plain = run("recycle")
    finish(quick_config("recycle", *SMALL, "pool.reset_below=0.1", seed=1), tmp_path / "run")
    other = without_clocks(tmp_path / "run")
    assert other[0]["eval/accuracy"] == plain[0]["eval/accuracy"], "the start and the held-out prompts are the same"
    assert other != plain


def test_a_budget_of_tokens(quick_config, tmp_path):
    config = quick_config("grpo", "train.tokens=300")
    ending, loop = finish(config, tmp_path / "bound")
    assert (ending, loop.step < 4) == (Ending.BOUND, True)
    assert f"train.tokens = 300 were spent at step {loop.step} of 4" in loop.bound
    totals = [line["total_generated_tokens"] for line in without_clocks(tmp_path / "bound")]
    assert totals[-2] < 300 <= totals[-1]


@pytest.mark.slow
def test_a_profile_is_read_and_not_made_again(quick_config, tmp_path):
    pytest.importorskip("pyarrow")
    small = ("task.pool_size=40", "train.steps=2")
    finish(quick_config("sgpo", *small), tmp_path / "own")
    given = f"profile.path={json.dumps(str(tmp_path / 'own' / 'profile.parquet'))}"
    finish(quick_config("sgpo", *small, given), tmp_path / "given")
    assert ledger_rows(tmp_path / "given") == ledger_rows(tmp_path / "own")
    assert not (tmp_path / "given" / "profile.parquet").exists()
    warmer = quick_config("sgpo", *small, given, "train.temperature=1.1")
    with pytest.raises(UserError, match=r"profiled with another .*temperature.* or set profile.force = true"):
        finish(warmer, tmp_path / "warmer")
    forced = quick_config("sgpo", *small, given, "train.temperature=1.1", "profile.force=true")
    assert finish(forced, tmp_path / "forced")[0] is Ending.DONE


@pytest.mark.slow
def test_the_tiny_model_must_hold_the_task(quick_config, tmp_path):
    with pytest.raises(ConfigError, match=r"model.tiny.max_length = 16 is too short .* at least 30"):
        quick_config("grpo", "model.tiny.max_length=16", "task.params.max_length=14")
    finish(quick_config("grpo", "model.tiny.max_length=16", *FRESH), tmp_path / "run")


def test_kl_is_logged_and_its_reference_is_counted(run):
    lines = run("recycle", "loss.kl_coefficient=0.1")
    trained = [line for line in lines if line["loss"] is not None]
    assert trained[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert trained[-1]["kl"] > 0
    assert all(line["recomputed_tokens"] > 0 for line in trained)


# -- sources and models -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ascii_model(tmp_path_factory):
    directory = tmp_path_factory.mktemp("model") / "ascii"
    build_tiny(
        layers=1, hidden_size=32, heads=2, kv_heads=2, intermediate_size=32, max_length=700, characters=string.printable
    ).save(directory)
    return directory


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def source(kind, directory):
    if kind == "jsonl":
        rows: list[dict[str, Any]] = [{"prompt": f"Say {i}!", "answer": str(i)} for i in range(30)]
        return {"task.path": write_jsonl(directory / "data.jsonl", rows)}
    if kind == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")

        rows = [{"prompt": f"Say {i}!", "answer": [str(i), f"{i}."]} for i in range(30)]
        parquet.write_table(pyarrow.Table.from_pylist(rows), directory / "data.parquet")
        return {"task.path": directory / "data.parquet"}
    if kind == "gsm8k":
        pytest.importorskip("math_verify")
        rows = [{"question": f"What is {i} plus {i}?", "answer": f"Twice.\n#### {2 * i:,}"} for i in range(30)]
        return {"task.path": write_jsonl(directory / "data.jsonl", rows)}
    pytest.importorskip("reasoning_gym")
    return {"task.name": "spell_backward", "task.pool_size": 20}


@pytest.mark.parametrize("kind", sample(["jsonl", "parquet", "gsm8k", "reasoning_gym"], "jsonl", "parquet"))
def test_sources_and_models(kind, ascii_model, tmp_path):
    """Real loading, prompting, sampling, judging and training of every source, on a model that knows nothing."""
    settings = {
        "model.path": ascii_model,
        "model.dtype": "bfloat16",
        "task.source": kind,
        "train.steps": 2,
        "train.groups_per_step": 4,
        "train.group_size": 2,
        "engine.max_new_tokens": 8,
        "eval.prompts": 6,
        **source(kind, tmp_path),
    }
    path = tmp_path / "run.toml"
    path.write_text("")
    config = resolve(
        path, "reinforce_pp", [f"{key}={json.dumps(value, default=str)}" for key, value in settings.items()]
    )
    ending, loop = finish(config, tmp_path / "run")
    assert ending is Ending.DONE
    assert loop.version == 2
    assert sum(row["n"] for row in ledger_rows(tmp_path / "run")) == 16
    assert all(torch.isfinite(weight).all() for weight in last_weights(tmp_path / "run").values())
    assert next(iter(last_weights(tmp_path / "run").values())).dtype == torch.bfloat16


def test_chat_template_and_system_prompt_reach_the_prompt(ascii_model, tmp_path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(ascii_model)
    tokenizer.chat_template = (
        "{% for message in messages %}[{{ message.role }}]{{ message.content }}{% endfor %}<think>"
    )
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((ascii_model / name).read_bytes())
    tokenizer.save_pretrained(tmp_path)
    data = write_jsonl(tmp_path / "data.jsonl", [{"prompt": f"{i}?", "answer": "a"} for i in range(9)])
    toml = tmp_path / "run.toml"
    toml.write_text(
        f"[model]\npath = '{tmp_path}'\nsystem_prompt = 'Be brief.'\n[task]\nsource = 'jsonl'\npath = '{data}'\n"
        "[train]\nsteps = 1\ngroups_per_step = 1\n[eval]\nprompts = 2\n[engine]\nmax_new_tokens = 2\n"
    )
    from rekindle.warm_starts.stage import start_workbench

    texts, thoughts = {}, {}
    for name, overrides in {"chat": [], "plain": ["model.chat_template=false"]}.items():
        without_system = resolve(toml, "grpo", overrides)
        if name == "plain":
            table = without_system.model.model_copy(update={"system_prompt": None})
            without_system = without_system.model_copy(update={"model": table})
        with start_workbench(without_system) as bench:
            world = bench.environment(bench.tasks.pool)
            assert isinstance(world, SingleTurn)
            prompt = world._encode(bench.tasks.pool[0].prompt)
            texts[name], thoughts[name] = bench.policy.decode(prompt), world._thought(prompt)
    question = bench.tasks.pool[0].prompt
    assert texts == {"chat": f"[system]Be brief.[user]{question}<think>", "plain": question}
    assert thoughts == {"chat": "<think>", "plain": ""}


def test_a_verifier_that_pays_for_lists_is_warned_about(quick_config, tmp_path):
    config = quick_config("grpo", "train.steps=1", "task.verifier=cover_match")
    with pytest.warns(RekindleWarning, match="lists a few guesses"):
        finish(config, tmp_path / "run")
    assert (tmp_path / "run" / "warnings.jsonl").read_text().count("lists a few guesses") == 1
