"""What users of TRL do works with a recipe: PEFT, several rewards, tables, trackers, evaluation, a run's end."""

import json
import math
import warnings
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import TrainerCallback
from trl import GRPOTrainer

from rekindle import load_run
from rekindle.integrations.trl import RekindleTrainer
from rekindle.types import UserError

HOT = {"recipe": "erpo", "heating": {"delta": 0.3, "maximum": 1.6}}
"""ERPO whose temperatures rise at once."""


def odd(completions, **_):
    """1 where a completion has an odd number of digits."""
    return [float(sum(one.isdigit() for one in text) % 2) for text in completions]


def solved(prompts, **_):
    return [1.0] * len(prompts)


def solved_or_odd(prompts, completions, **_):
    """Prompts that begin with 0 are always solved."""
    return [1.0 if prompt[0] == "0" else odd([text])[0] for prompt, text in zip(prompts, completions, strict=True)]


@pytest.fixture
def made(tiny_model, tokenizer, args, dataset):
    """A function that makes a RekindleTrainer; keywords of the trainer are known by name, others change arguments."""
    own = ("peft_config", "eval_dataset", "callbacks", "optimizers")

    def make(reward=odd, recipe="grpo", *, model=None, data=None, **named):
        changes = {name: value for name, value in named.items() if name not in own}
        return RekindleTrainer(
            tiny_model if model is None else model,
            reward,
            args(**changes),
            dataset if data is None else data,
            processing_class=tokenizer,
            recipe=recipe,
            **{name: value for name, value in named.items() if name in own},
        )

    return make


@pytest.fixture
def few():
    """4 prompts, of which one is always solved by `solved_or_odd`."""
    return Dataset.from_list([{"prompt": f"{number}+1="} for number in range(4)])


def lines(trainer):
    path = Path(trainer.args.output_dir) / "rekindle" / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def groups(trainer):
    return [
        {name: value for name, value in one.items() if name != "seconds"}
        for one in load_run(Path(trainer.args.output_dir) / "rekindle").groups()
    ]


def facts(trainer):
    return json.loads((Path(trainer.args.output_dir) / "rekindle" / "run.json").read_text())


def weights(trainer):
    return {name: one.detach().clone() for name, one in trainer.model.named_parameters()}


def logged(trainer, key):
    return [line[key] for line in trainer.state.log_history if key in line]


# -- adapters and references ------------------------------------------------------------------------------------------


def test_with_peft_only_the_adapter_moves_and_the_model_without_it_is_the_reference(made, few, tmp_path):
    lora = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    trainer = made(
        solved_or_odd, HOT, data=few, peft_config=lora, beta=0.1, max_steps=3, learning_rate=0.05, save_steps=3,
        save_strategy="steps",
    )  # fmt: skip
    before = weights(trainer)
    trainer.train()
    moved = {name for name, one in weights(trainer).items() if not one.equal(before[name])}
    assert moved
    assert all("lora_" in name for name in moved)
    kl = logged(trainer, "kl")
    assert kl[0] == pytest.approx(0, abs=1e-5)
    assert kl[-1] > 1e-4
    assert all(line["policy_gap"] < 1e-5 for line in lines(trainer))
    assert {1.0, 1.3} <= set(temperatures(trainer))
    saved = {path.name for path in (tmp_path / "out" / "checkpoint-3").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "rekindle"} <= saved
    assert "model.safetensors" not in saved


def temperatures(trainer):
    return [one["temperature"] for one in groups(trainer)]


def test_a_run_with_peft_goes_on_from_its_checkpoint(made, tmp_path, tiny_model):
    lora = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    start = {name: one.clone() for name, one in tiny_model.state_dict().items()}
    found = {}
    for name in ("whole", "resumed"):
        for steps in (4,) if name == "whole" else (2, 4):
            tiny_model = fresh(tiny_model, start)
            trainer = made(
                odd, "recycle", model=tiny_model, peft_config=lora, max_steps=steps, save_strategy="steps",
                save_steps=2, output_dir=str(tmp_path / name),
            )  # fmt: skip
            trainer.train(resume_from_checkpoint=steps == 4 and name == "resumed")
        found[name] = (groups(trainer), weights(trainer))
    assert found["whole"][0] == found["resumed"][0]
    assert all(one.equal(found["resumed"][1][name]) for name, one in found["whole"][1].items())


def fresh(model, state):
    """The model as it was, without adapters."""
    made = type(model)(model.config).float()
    made.load_state_dict(state)
    return made


def test_the_reference_scores_only_rows_that_are_kept(made, tiny_model, tmp_path, monkeypatch):
    tiny_model.save_pretrained(tmp_path / "model")
    trainer = made(odd, "recycle", model=str(tmp_path / "model"), beta=0.1)
    scored = []
    theirs = GRPOTrainer._get_per_token_logps_and_entropies

    def noted(self, model, input_ids, *rest, **named):
        scored.append(len(input_ids) if model is trainer.ref_model else 0)
        return theirs(self, model, input_ids, *rest, **named)

    monkeypatch.setattr(GRPOTrainer, "_get_per_token_logps_and_entropies", noted)
    trainer.train()
    kept = sum(one["n"] for one in groups(trainer) if one["fate"] == "trained")
    assert kept < sum(one["n"] for one in groups(trainer))
    assert sum(scored) == kept


# -- rewards ----------------------------------------------------------------------------------------------------------


def digits(completions, log_extra, log_metric, trainer_state, **_):
    found = [sum(one.isdigit() for one in text) / 8 for text in completions]
    log_extra("digits", [f"{value:.3f}" for value in found])
    log_metric("at_step", float(trainer_state.global_step))
    return found


async def short(completions, **_):
    return [float(len(text) < 8) for text in completions]


def of_some(prompts, completions, **_):
    """Applies to prompts that begin with an even number."""
    return [None if int(prompt[0]) % 2 else 1.0 for prompt in prompts]


def test_several_reward_functions_are_weighed_and_named(made):
    trainer = made([odd, digits, short, of_some], reward_weights=[1.0, 0.5, 0.25, 2.0], log_completions=True)
    trainer.train()
    samples = [
        json.loads(line)
        for line in (Path(trainer.args.output_dir) / "rekindle" / "samples.jsonl").read_text().splitlines()
    ]
    assert samples
    for one in samples:
        parts = one["rewards"]
        assert set(parts) == {"odd", "digits", "short", "of_some"}
        assert (parts["of_some"] is None) == bool(int(one["prompt"][0]) % 2)
        total = parts["odd"] + 0.5 * parts["digits"] + 0.25 * parts["short"] + 2 * (parts["of_some"] or 0)
        assert one["reward"] == pytest.approx(total)
    assert logged(trainer, "at_step") == [0.0, 1.0]
    for name in ("odd", "digits", "short", "of_some"):
        assert logged(trainer, f"rewards/{name}/mean")[-1] == pytest.approx(lines(trainer)[-1][f"reward/{name}"])


def test_nothing_is_trained_where_every_reward_is_none(made):
    trainer = made([lambda completions, **_: [None] * len(completions)])
    before = weights(trainer)
    with pytest.raises(UserError, match="every reward function returned None for all 8 completions of step 1") as found:
        trainer.train()
    assert "\n" not in str(found.value)
    assert all(one.equal(before[name]) for name, one in weights(trainer).items())


def test_a_group_without_rewards_fails_and_is_counted(made, few):
    def not_of_the_second(prompts, completions, **_):
        rewards = odd(completions)
        return [None if prompt[0] == "1" else one for prompt, one in zip(prompts, rewards, strict=True)]

    trainer = made(not_of_the_second, data=few)
    trainer.train()
    fates = {one["task_id"]: one["fate"] for one in groups(trainer)}
    assert list(fates.values()).count("failed") == 1
    assert sum(line["groups/failed"] for line in lines(trainer)) == 1
    assert sum(line["verify/failures"] for line in lines(trainer)) == 4
    told = (Path(trainer.args.output_dir) / "rekindle" / "warnings.jsonl").read_text()
    assert "1 of 2 groups failed (no reward: every reward function returned None) and are not trained on" in told


class Flaky:
    """Raises in one of its calls."""

    __name__ = "flaky"

    def __init__(self, at):
        self.calls, self.at = 0, at

    def __call__(self, completions, **_):
        self.calls += 1
        if self.calls == self.at:
            raise OSError("the judge is down")
        return odd(completions)


def test_a_reward_function_that_raises_ends_the_run_which_goes_on_from_its_checkpoint(made, tmp_path, tiny_model):
    saving = {"save_strategy": "steps", "save_steps": 1, "max_steps": 4, "output_dir": str(tmp_path / "flaky")}
    start = {name: one.clone() for name, one in tiny_model.state_dict().items()}
    trainer = made(Flaky(3), **saving)
    with pytest.raises(OSError, match="the judge is down"):
        trainer.train()
    assert [line["step"] for line in lines(trainer)] == [1, 2]
    again = made(Flaky(0), model=fresh(tiny_model, start), **saving)
    again.train(resume_from_checkpoint=True)
    assert [line["step"] for line in lines(again)] == [1, 2, 3, 4]
    whole = made(Flaky(0), model=fresh(tiny_model, start), **saving | {"output_dir": str(tmp_path / "whole")})
    whole.train()
    assert groups(again) == groups(whole)
    assert all(one.equal(weights(whole)[name]) for name, one in weights(again).items())


# -- tables and trackers ----------------------------------------------------------------------------------------------


def test_the_table_of_completions_has_the_advantages_that_were_trained_on(made, few, tmp_path):
    trainer = made([solved_or_odd, digits], HOT, data=few, reward_weights=[1.0, 0.0], log_completions=True, max_steps=4)
    trained = []
    build = trainer._updates.build

    def noted(samples, *rest):
        trained.append([tuple(one.token_ids) for one in samples if any(one.advantages)])
        return build(samples, *rest)

    trainer._updates.build = noted
    trainer.train()
    for step, rows in enumerate(trained, 1):
        table = pandas.read_parquet(tmp_path / "out" / "completions" / f"completions_{step:05d}.parquet")
        assert len(table) == 8
        assert sum(table["advantage"] != 0) == len(rows)
        assert not table["digits"].isna().any()
    raised = [group for group in groups(trainer) if group["temperature"] > 1 and group["outcome"] == "all_correct"]
    assert raised  # a virtual failure gives it advantages, which TRL's own formula would not


def test_the_table_has_all_rollouts_of_a_step_with_refill(made, few, tmp_path):
    trainer = made([solved_or_odd, digits], "bounded_dapo", data=few, log_completions=True, reward_weights=[1.0, 0.0])
    trainer.train()
    for step, line in enumerate(lines(trainer), 1):
        table = pandas.read_parquet(tmp_path / "out" / "completions" / f"completions_{step:05d}.parquet")
        assert len(table) == line["rollouts"]
        assert sum(table["advantage"] != 0) == 4 * line["groups/trained"]
    assert max(line["rollouts"] for line in lines(trainer)) > 8


def test_the_share_of_silent_groups_is_that_of_groups(made, few):
    trainer = made(solved_or_odd, "grpo", data=few, max_steps=4)
    trainer.train()
    silent = [0.5 * (line["groups/all_correct"] + line["groups/all_wrong"]) for line in lines(trainer)]
    assert logged(trainer, "frac_reward_zero_std") == pytest.approx(silent)
    assert 0 < sum(silent) < 4


def test_a_pass_for_a_profile_is_not_in_the_first_log(made, few, tmp_path):
    calls = []

    def reward(prompts, completions, log_metric, log_extra, **_):
        of_pass = float(trainer.run._steps is None)
        calls.append(of_pass)
        log_metric("of_pass", of_pass)
        log_extra("of_pass", [of_pass] * len(prompts))
        return solved_or_odd(prompts, completions)

    trainer = made(reward, "sgpo", data=few, num_generations=8, log_completions=True, max_steps=1)
    trainer.train()
    assert {0.0, 1.0} == set(calls)
    assert logged(trainer, "of_pass") == [0.0]
    table = pandas.read_parquet(tmp_path / "out" / "completions" / "completions_00001.parquet")
    assert set(table["of_pass"]) == {0.0}


def test_tensorboard_and_callbacks_get_what_they_expect(made, tmp_path, monkeypatch):
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "board"))
    events: list[Any] = []

    class Listener(TrainerCallback):
        def on_train_begin(self, args, state, control, **named):
            events.append("begin")

        def on_step_end(self, args, state, control, **named):
            events.append(("step", state.global_step))

        def on_log(self, args, state, control, logs=None, **named):
            events.append(("log", state.global_step, "rekindle/groups/trained" in logs))

        def on_train_end(self, args, state, control, **named):
            events.append("end")

    made(odd, "recycle", report_to=["tensorboard"], callbacks=[Listener()], logging_steps=2, max_steps=4).train()
    assert events == [
        "begin", ("step", 1), ("step", 2), ("log", 2, True), ("step", 3), ("step", 4), ("log", 4, True),
        ("log", 4, False), "end",
    ]  # fmt: skip
    (file,) = tmp_path.rglob("events.out.tfevents*")
    board = EventAccumulator(str(file)).Reload()
    found = board.Tags()["scalars"]
    assert {"train/rekindle/groups/trained", "train/rekindle/groups/retired", "train/reward"} <= set(found)
    assert [one.step for one in board.Scalars("train/rekindle/policy_gap")] == [2, 4]


def test_every_step_has_its_line_where_only_some_are_logged(made):
    trainer = made(odd, "recycle", logging_steps=2, max_steps=4)
    trainer.train()
    assert [line["step"] for line in lines(trainer)] == [1, 2, 3, 4]
    assert all(math.isfinite(line["loss"]) for line in lines(trainer))
    assert (
        logged(trainer, "rekindle/groups/trained")[0] == sum(line["groups/trained"] for line in lines(trainer)[:2]) / 2
    )


# -- evaluation -------------------------------------------------------------------------------------------------------


def test_evaluation_is_that_of_stock_trl(made, tiny_model, tokenizer, args, dataset):
    held_out = Dataset.from_list([{"prompt": f"{number}+2="} for number in range(4)])
    settings = {"eval_strategy": "steps", "eval_steps": 2, "num_generations_eval": 2, "max_steps": 4}
    settings |= {"per_device_eval_batch_size": 4}
    trainer = made(odd, "recycle", eval_dataset=held_out, **settings)
    torch.manual_seed(11)
    before = trainer.evaluate()
    stock = GRPOTrainer(
        tiny_model, odd, args(**settings), dataset, eval_dataset=held_out, processing_class=tokenizer
    )  # fmt: skip
    torch.manual_seed(11)
    theirs = stock.evaluate()
    for key in ("eval_reward", "eval_loss", "eval_completions/mean_length"):
        assert before[key] == pytest.approx(theirs[key], abs=1e-6)
    trainer.train()
    found = {line["step"]: line["eval/accuracy"] for line in lines(trainer) if "eval/accuracy" in line}
    assert found == dict(zip((2, 4), logged(trainer, "eval_reward"), strict=True))


def test_an_evaluation_in_the_middle_of_a_generation_is_in_its_step(made, dataset):
    trainer = made(
        odd, eval_dataset=dataset.select(range(2)), eval_strategy="steps", eval_steps=3, steps_per_generation=4,
        num_generations_eval=2, per_device_eval_batch_size=2, max_steps=7,
    )  # fmt: skip
    trainer.train()
    found = {line["step"]: line["eval/accuracy"] for line in lines(trainer) if "eval/accuracy" in line}
    assert found == dict(zip((2, 3, 4)[: len(found)], logged(trainer, "eval_reward"), strict=True))
    assert len(lines(trainer)) == 4
    assert all(line["grad_norm"] is not None for line in lines(trainer))


def test_recipes_of_single_rollouts_evaluate_as_the_arguments_say(made, dataset):
    counted = []

    def counts(prompts, completions, **_):
        counted.append((len(prompts), len(set(prompts))))
        return odd(completions)

    trainer = made(
        counts, "c_rf_ntf", eval_dataset=dataset.select(range(2)), num_generations=8, per_device_train_batch_size=8,
        per_device_eval_batch_size=8,
    )  # fmt: skip
    assert trainer.num_generations == 1
    trainer.evaluate()
    assert counted == [(8, 1), (8, 1)]


# -- the end of a run -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accumulated", [1, 2])
@pytest.mark.parametrize("bound", ["nothing left", "no signal"])
def test_a_run_that_runs_out_ends_with_the_weights_of_its_last_update(accumulated, bound, made, tiny_model, few):
    """SGD with momentum and AdamW with weight decay would both move the weights in a step with gradients of zero."""
    updates = 2

    def reward(prompts, completions, trainer_state, **_):
        return solved(prompts) if trainer_state.global_step >= updates else odd(completions)

    stop = (
        {"pool": {"reset_below": 0, "on_empty": "stop"}}
        if bound == "nothing left"
        else {"train": {"max_steps_without_signal": 2}}
    )
    optimizer = torch.optim.SGD(tiny_model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    snapshots, made_steps = [], []
    optimizer.register_step_post_hook(lambda *_: made_steps.append(1))

    class Watch(TrainerCallback):
        def on_step_end(self, args, state, control, model=None, **named):
            snapshots.append([one.detach().clone() for one in model.parameters()])

    trainer = made(
        reward, {"recipe": "recycle" if bound == "nothing left" else "bounded_dapo", **stop}, data=few, max_steps=50,
        gradient_accumulation_steps=accumulated, per_device_train_batch_size=8 // accumulated,
        optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)), callbacks=[Watch()],
        log_completions=True,
    )  # fmt: skip
    with warnings.catch_warnings(record=True):
        trainer.train()
    assert trainer.state.global_step < 50
    assert all(value is not None for line in trainer.state.log_history for value in line.values())
    assert len(made_steps) == updates
    last = snapshots[updates - 1]
    assert all(now.equal(then) for now, then in zip(trainer.model.parameters(), last, strict=True))
    ending = facts(trainer)["ending"]
    assert ending["name"] == "bound"
    assert ending["why"]
    assert "the run is over" in (Path(trainer.args.output_dir) / "rekindle" / "warnings.jsonl").read_text()


@pytest.mark.parametrize("accumulated", [1, 2])
def test_a_run_with_nothing_to_learn_leaves_the_weights_alone(accumulated, made, few):
    trainer = made(
        solved, {"recipe": "recycle", "train": {"max_steps_without_signal": 3}}, data=few, max_steps=50,
        gradient_accumulation_steps=accumulated, per_device_train_batch_size=8 // accumulated, weight_decay=0.1,
    )  # fmt: skip
    before = weights(trainer)
    trainer.train()
    assert all(one.equal(before[name]) for name, one in weights(trainer).items())
    assert facts(trainer)["ending"]["name"] == "bound"
    assert [(line["version"], line["groups/recycled"]) for line in lines(trainer)] == [(0, 4)] * 3


def test_a_second_call_of_train_is_a_run_of_its_own(made):
    trainer = made(odd, "recycle", steps_per_generation=4, max_steps=3)  # ends in the middle of a generation
    trainer.train()
    first = lines(trainer)
    trainer.train()
    assert [(line["step"], line["version"]) for line in lines(trainer)] == [(1, 1), (2, 2)]
    assert [line["total_rollouts"] for line in lines(trainer)] == [line["total_rollouts"] for line in first]
    assert sum(one["n"] for one in groups(trainer)) == lines(trainer)[-1]["total_rollouts"]


# -- memory -----------------------------------------------------------------------------------------------------------


def test_gradient_checkpointing_and_bf16_train_at_raised_temperatures(made, few):
    trainer = made(solved_or_odd, HOT, data=few, gradient_checkpointing=True, bf16=True, max_steps=4)
    before = weights(trainer)
    trainer.train()
    assert max(temperatures(trainer)) > 1
    assert not all(one.equal(before[name]) for name, one in weights(trainer).items())
    assert all(line["policy_gap"] < 0.1 for line in lines(trainer))


def test_a_run_says_its_profile_its_steps_and_where_the_report_is(made, capsys):
    trainer = made(odd, recipe="sgpo", per_device_train_batch_size=8, num_generations=8)
    trainer.train()
    told = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(("{", "Writing"))]
    report = Path(trainer.args.output_dir) / "rekindle" / "report.html"
    assert told[0] == "profiling 24 prompts with 8 rollouts each, once ..."
    assert told[1].startswith("  profile: 24 of 24 prompts")
    steps = [line["step"] for line in lines(trainer)]
    assert [line.partition(":")[0] for line in told[2:-1]] == [f"step {step}" for step in steps]
    assert any(": 0 of " in line for line in told), "steps without signal, which TRL does not log"
    assert told[-1] == f"report: {report}"
    assert report.is_file()
