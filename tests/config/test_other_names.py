"""Names of other trainers and earlier names of our own keys."""

import pytest

from rekindle.config import Config, ConfigError, parse_override, read_toml
from rekindle.config.keys import keys_of
from rekindle.config.other_names import ABSENT, EARLIER, ELSEWHERE
from rekindle.notices import RekindleWarning
from rekindle.recipes import RECIPES, resolve

KEYS = {key.path: key for key in keys_of(Config)}
OPTIONS = {"--out", "--resume"}


def refusal(tmp_path, text, name="run.toml", recipe=None):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        resolve(path, recipe)
    return str(caught.value).removeprefix(f"{path}: ")


def test_the_tables_lead_to_keys_and_no_name_is_a_key():
    targets = {target.partition(" = ")[0] for target in ELSEWHERE.values()} - OPTIONS
    assert targets <= KEYS.keys()
    assert set(EARLIER.values()) <= KEYS.keys()
    assert not set(EARLIER) & KEYS.keys()
    ours = {path.rpartition(".")[2] for path in KEYS} | set(Config.model_fields)
    assert ours & ELSEWHERE.keys() == {"epsilon"}, "a name of a key is suggested as such"
    assert not ours & ABSENT.keys()
    assert not ELSEWHERE.keys() & ABSENT.keys()
    assert all(name == name.lower() for name in (*ELSEWHERE, *ABSENT))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train]\nlr = 1e-6", "train.lr: unknown key; did you mean train.learning_rate?"),
        ("[warm_start]\nlr = 1e-6", "warm_start.lr: unknown key; did you mean warm_start.learning_rate?"),
        ("learning_rate = 1e-6", "learning_rate: unknown key; did you mean warm_start.learning_rate or train."),
        ("[train]\nnum_generations = 8", "train.num_generations: unknown key; did you mean train.group_size?"),
        ("[task]\ndataset_config = 'main'", "task.dataset_config: unknown key; did you mean task.subset?"),
        ("[data]\nprompt_key = 'q'", "data: unknown key; data.prompt_key: did you mean task.columns.prompt?"),
        (
            "[grpo]\nmax_completion_length = 8",
            "grpo: unknown key; grpo.max_completion_length: did you mean engine.max_new_tokens?",
        ),
        ("[loss]\nepsilon = 0.1", "loss.epsilon: unknown key; did you mean loss.clip_low or advantage.epsilon?"),
        ("[grpo]\nepsilon = 0.1", "grpo: unknown key; grpo.epsilon: did you mean loss.clip_low?"),
        ("beta = 0.04", "beta: unknown key; did you mean loss.kl_coefficient?"),
        ("[train]\nreport_to = 'wandb'", "train.report_to: unknown key; did you mean track?"),
        ("use_wandb = true", 'use_wandb: unknown key; did you mean track = ["wandb"]?'),
        ("[wandb]\nproject = 'x'", 'wandb: unknown key; did you mean track = ["wandb"]?'),
        (
            "[trainer]\nproject_name = 'x'\nexperiment_name = 'y'\nlogger = ['console', 'wandb']",
            "trainer: unknown key; trainer.project_name: did you mean tracking.project?; trainer.experiment_name: did "
            "you mean tracking.name?; trainer.logger: did you mean track?",
        ),
        ("[train]\nlogging_steps = 1", "train.logging_steps: unknown key; every step is written to metrics.jsonl and"),
        (
            "[train]\nlog_completions = true",
            "train.log_completions: unknown key; samples of what the policy writes are",
        ),
        ("wandb_entity = 'x'", "wandb_entity: unknown key; trackers take it from their own environment variables"),
        ("[train]\nswanlab = true", 'train.swanlab: unknown key; the trackers are track = ["tensorboard", "wandb"'),
        ("[model]\nlora_rank = 16", "model.lora_rank: unknown key; did you mean model.lora.rank?"),
        ("[peft]\nlora_alpha = 16", "peft: unknown key; peft.lora_alpha: did you mean model.lora.alpha?"),
        ("[train]\nbf16 = true", 'train.bf16: unknown key; did you mean model.dtype = "bfloat16"?'),
        ("[train]\nBF16 = true", 'train.BF16: unknown key; did you mean model.dtype = "bfloat16"?'),
        ("[engine]\nuse_vllm = true", "engine.use_vllm: unknown key; rollouts come from rekindle's own engine"),
        ("[engine]\ntop_k = 50", "engine.top_k: unknown key; sampling has engine.top_p and engine.min_p"),
        ("[train]\noutput_dir = 'x'", "train.output_dir: unknown key; did you mean --out?"),
        (
            "[data]\nmax_prompt_length = 512",
            "data: unknown key; data.max_prompt_length: did you mean task.overlong_prompts?",
        ),
        (
            "[actor_rollout_ref.actor.optim]\nlr = 1e-6\n[actor_rollout_ref.rollout]\nn = 8",
            "actor_rollout_ref: unknown key; actor_rollout_ref.actor.optim.lr: did you mean train.learning_rate?; "
            "actor_rollout_ref.rollout.n: did you mean train.group_size?",
        ),
        ("[whatever]\nxyzzy = 1", "whatever: unknown key; docs/configuration.md lists the keys and tables"),
    ],
)
def test_names_of_other_trainers(tmp_path, text, message):
    assert refusal(tmp_path, f"{text}\n").startswith(message)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("GRPO", "did you mean grpo?"),
        ("Dr-GRPO", "did you mean dr_grpo?"),
        ("dr.grpo", "did you mean dr_grpo?"),
        ("REINFORCE++", "did you mean reinforce_pp?"),
        ("reinforce_plus_plus_baseline", "did you mean reinforce_pp_baseline?"),
        ("ppo", "rekindle compares rollouts of a prompt and trains no critic; choose e.g. grpo or rloo"),
        ("xyzzy", "`rekindle recipes` lists them"),
    ],
)
def test_recipes_of_other_spelling(tmp_path, name, hint):
    message = refusal(tmp_path, "[train]\nsteps = 1\n", recipe=name)
    assert message.startswith(f"recipe {name!r} is unknown; {hint}")
    assert sum(recipe in message for recipe in RECIPES) < 8


def test_a_choice_of_many_is_not_listed_whole(tmp_path):
    message = refusal(tmp_path, "[advantage]\nestimator = 'xyzzy'\n")
    assert message.count(",") <= 13
    assert "did you mean" in refusal(tmp_path, "[optimizer]\nschedule = 'Cosine'\n")


@pytest.mark.parametrize(("earlier", "key"), EARLIER.items())
def test_an_earlier_name_is_read_with_a_warning(earlier, key, tmp_path):
    (table, name), (today, new) = earlier.split("."), key.split(".")
    path = tmp_path / "run.toml"
    path.write_text(f"[{table}]\n{name} = 7\nseed = 3\n")
    with pytest.warns(RekindleWarning, match=rf"run.toml: {earlier} is now {key} and is read as such; rename it"):
        values = read_toml(path)
    assert values[today][new] == 7
    assert values[table]["seed"] == 3
    assert name not in values[table]
    with pytest.warns(RekindleWarning, match=f"--set {earlier}: {earlier} is now {key}"):
        assert parse_override(f"{earlier}=7") == {today: {new: 7}}


def test_both_names_of_a_key_contradict_each_other(tmp_path):
    text = "[train]\nsteps = 1\nwarmup_steps = 0\n[optimizer]\nwarmup_steps = 5\n"
    assert "train.warmup_steps is the earlier name of optimizer.warmup_steps, which is set too" in refusal(
        tmp_path, text
    )


@pytest.mark.parametrize("name", ["run.yaml", "run.yml"])
def test_yaml_is_recognised(tmp_path, name):
    assert "is YAML, and a configuration is TOML" in refusal(tmp_path, "train:\n  steps: 3\n", name)
