"""Which runs a comparison finds, how it groups them, and what it calls them."""

import pytest

from rekindle.comparison.arms import baseline_of, grouped_arms
from rekindle.comparison.directories import find_runs
from rekindle.comparison.runs import read_run
from rekindle.comparison.settings import differing, identity
from rekindle.comparison.task_lists import read_tasks
from rekindle.config import flat_settings
from rekindle.types import UserError
from synthetic_arms import PROMPTS, write_arm_run, write_lines, write_sweep


def test_a_sweep_is_a_tree_of_runs(tmp_path):
    write_sweep(tmp_path / "sweep", {"grpo": 0.4, "erpo": 0.4}, seeds=2)
    (tmp_path / "sweep" / "logs").mkdir()
    (tmp_path / "sweep" / ".hidden").mkdir()
    found = find_runs([tmp_path / "sweep"]).runs
    assert [str(run.relative_to(tmp_path / "sweep")) for run in found] == [
        "erpo/seed-0", "erpo/seed-1", "grpo/seed-0", "grpo/seed-1",
    ]  # fmt: skip


def test_runs_inside_other_trainers_are_found_in_their_output_directory(tmp_path):
    write_arm_run(tmp_path / "trl" / "rekindle")
    write_arm_run(tmp_path / "verl" / "checkpoints" / "rekindle")
    (tmp_path / "trl" / "checkpoint-4" / "rekindle").mkdir(parents=True)
    (tmp_path / "trl" / "checkpoint-4" / "rekindle" / "state.json").write_text("{}")
    found = find_runs([tmp_path / "trl", tmp_path / "verl" / "checkpoints"]).runs
    assert found == [tmp_path / "trl" / "rekindle", tmp_path / "verl" / "checkpoints" / "rekindle"]


def test_nothing_is_looked_for_inside_a_run(tmp_path):
    write_arm_run(tmp_path / "run")
    write_arm_run(tmp_path / "run" / "earlier")
    assert find_runs([tmp_path]).runs == [tmp_path / "run"]


def test_a_directory_given_twice_counts_once(tmp_path):
    write_arm_run(tmp_path / "a" / "run")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a")
    found = find_runs([tmp_path / "a", tmp_path / "link", tmp_path / "a" / "run"])
    assert found.runs == [tmp_path / "a" / "run"]
    assert found.repeated == [tmp_path / "link" / "run", tmp_path / "a" / "run"]


def test_directories_without_a_run_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty has no run in it \(no config\.toml beside metrics\.jsonl\)"):
        find_runs([tmp_path / "empty"])
    with pytest.raises(UserError, match="nowhere is no directory"):
        find_runs([tmp_path / "nowhere"])
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file is no directory"):
        find_runs([tmp_path / "file"])


# -- settings ---------------------------------------------------------------------------------------------------------


def test_settings_are_flat():
    nested = {"a": 1, "b": {"c": {"d": "x"}, "e": []}, "rewards": [{"function": "f"}, {"function": "g"}], "l": [1, 2]}
    assert flat_settings(nested) == {
        "a": 1, "b.c.d": "x", "rewards[0].function": "f", "rewards[1].function": "g", "l": [1, 2],
    }  # fmt: skip


def test_seed_places_and_bookkeeping_make_no_arm():
    one = {"train.seed": 0, "eval.every": 8, "checkpoint.keep": 1, "track": ["wandb"], "train.threads": 1}
    two = {"train.seed": 3, "eval.every": 4, "tracking.name": "x", "samples.per_step": 2, "retriever.url": "http://a"}
    assert identity(one) == identity(two) == {}
    assert identity({"task.seed": 1, "checkpoints": 2}) == {"task.seed": 1, "checkpoints": 2}


@pytest.mark.parametrize(
    "place", ["/data/a/model", "~/model", "../model", "./model", "C:\\models\\model", "/data/model/"]
)
def test_files_count_by_their_names(place):
    assert identity({"model.path": place}) == {"model.path": "model"}


def test_a_name_on_the_hub_counts_whole():
    assert identity({"model.path": "someone/model"}) == {"model.path": "someone/model"}


def test_the_length_is_a_setting_where_the_learning_rate_depends_on_it():
    assert identity({"train.steps": 10, "optimizer.schedule": "constant"}) == {"optimizer.schedule": "constant"}
    assert identity({"train.steps": 10, "optimizer.schedule": "cosine"})["train.steps"] == 10


def test_differing_keys_are_those_with_more_than_one_value():
    assert differing([{"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 0}]) == ["b", "c"]
    assert differing([{"a": True}, {"a": 1}]) == ["a"]


# -- arms -------------------------------------------------------------------------------------------------------------


def arms_of(*directories):
    return grouped_arms([read_run(directory) for directory in directories])


def test_runs_are_grouped_by_everything_but_the_seed(tmp_path):
    arms, repeated = arms_of(
        write_arm_run(tmp_path / "a", seed=1),
        write_arm_run(tmp_path / "b", recipe="erpo", seed=0),
        write_arm_run(tmp_path / "c", seed=0),
    )
    assert {arm.name: list(arm.runs) for arm in arms} == {"grpo": [0, 1], "erpo": [0]}
    assert repeated == []


def test_arms_of_one_recipe_are_told_apart_by_one_setting_where_one_is_enough(tmp_path):
    arms, _ = arms_of(
        write_arm_run(tmp_path / "a"), write_arm_run(tmp_path / "b", group_size=8, config="warmup_steps = 3\n")
    )
    assert [arm.name for arm in arms] == ["grpo, train.group_size = 4", "grpo, train.group_size = 8"]


def test_no_two_arms_have_one_name(tmp_path):
    configs = ["beta1 = 0.8\nwarmup_steps = 1\n", "beta1 = 0.8\nwarmup_steps = 2\n", "beta1 = 0.9\nwarmup_steps = 1\n",
               "beta1 = 0.9\nwarmup_steps = 2\n", "beta1 = 0.9\nwarmup_steps = 2\ngrad_clip = 2.0\n"]  # fmt: skip
    arms, _ = arms_of(*(write_arm_run(tmp_path / str(n), config=config) for n, config in enumerate(configs)))
    names = [arm.name for arm in arms]
    assert len(set(names)) == len(names) == 5
    assert names[0] == "grpo, optimizer.beta1 = 0.8, optimizer.warmup_steps = 1, ..."
    assert names[4].endswith("(2)")


def test_trainers_are_told_apart(tmp_path):
    arms, _ = arms_of(write_arm_run(tmp_path / "a"), write_arm_run(tmp_path / "b", info={"trainer": "trl 1.16.0"}))
    assert [arm.name for arm in arms] == ["grpo in rekindle", "grpo in trl"]


def test_a_second_run_of_a_seed_is_left_out(tmp_path):
    arms, ((kept, left),) = arms_of(write_arm_run(tmp_path / "a"), write_arm_run(tmp_path / "b"))
    assert list(arms[0].runs) == [0]
    assert (kept.directory.name, left.directory.name) == ("a", "b")


def test_keys_that_a_version_does_not_know_make_no_arm(tmp_path):
    arms, _ = arms_of(
        write_arm_run(tmp_path / "a", seed=0),
        write_arm_run(tmp_path / "b", seed=1, config="brand_new = 1\n", info={"rekindle": "0.2.0"}),
    )
    assert [list(arm.runs) for arm in arms] == [[0, 1]]


def test_the_baseline_is_grpo_or_the_first_or_the_chosen_one(tmp_path):
    arms, _ = arms_of(write_arm_run(tmp_path / "a", recipe="erpo"), write_arm_run(tmp_path / "b"))
    assert baseline_of(arms, None).name == "grpo"
    assert baseline_of(arms[:1], None).name == "erpo"
    assert baseline_of(arms, "erpo").name == "erpo"
    with pytest.raises(UserError, match="--baseline spo is no arm of this comparison; choose one of: erpo; grpo"):
        baseline_of(arms, "spo")


def test_a_recipe_of_several_arms_is_no_baseline(tmp_path):
    arms, _ = arms_of(write_arm_run(tmp_path / "a"), write_arm_run(tmp_path / "b", group_size=8))
    with pytest.raises(UserError, match="--baseline grpo is the recipe of several arms; choose one of: grpo, train"):
        baseline_of(arms, "grpo")
    assert baseline_of(arms, "grpo, train.group_size = 8") is arms[1]


# -- tasks ------------------------------------------------------------------------------------------------------------


def test_held_out_prompts_are_the_same_in_any_order(tmp_path):
    one, two = (
        read_run(write_arm_run(tmp_path / str(n), held_out=some)) for n, some in enumerate([PROMPTS, PROMPTS[::-1]])
    )
    assert one.tasks == two.tasks
    assert not one.tasks.differ(two.tasks)
    assert one.tasks.differ(read_run(write_arm_run(tmp_path / "c", held_out=PROMPTS[:2])).tasks)


def test_where_held_out_prompts_are_not_listed_pools_tell(tmp_path):
    unlisted = read_run(write_arm_run(tmp_path / "a", held_out=None)).tasks
    assert not unlisted.differ(read_run(write_arm_run(tmp_path / "b")).tasks)
    write_lines(tmp_path / "tasks.jsonl", [{"set": "pool", "id": "q", "prompt": "other", "answer": "a"}])
    assert unlisted.differ(read_tasks(tmp_path / "tasks.jsonl"))


@pytest.mark.parametrize("text", ["", "{", '{"set": "held_out"}\n', '["held_out"]\n', '{"set": "pool", "prompt": 3'])
def test_a_damaged_list_of_tasks_is_no_list(text, tmp_path):
    (tmp_path / "tasks.jsonl").write_text(text)
    assert not read_tasks(tmp_path / "tasks.jsonl").held_out


# -- costs ------------------------------------------------------------------------------------------------------------


def test_costs_are_counted_without_evaluation_and_with_a_profile(tmp_path):
    directory = write_arm_run(tmp_path / "run", steps=2)
    first, *others = (directory / "metrics.jsonl").read_text().splitlines()
    (directory / "metrics.jsonl").write_text("\n".join([first[:-1] + ', "profile/rollouts": 512}', *others]) + "\n")
    run = read_run(directory)
    assert run.spent == {"rollouts": 712, "tokens": 2000, "flops": 1e10, "flops_sgpo": 1.8e10, "seconds": 3}
    assert run.curves["eval/accuracy"]["rollouts"].x == [512, 612, 712]
    assert run.curves["eval/accuracy"]["seconds"].x == [1, 2, 3]


def test_a_cost_that_is_not_recorded_is_no_axis(tmp_path):
    directory = write_arm_run(tmp_path / "run", steps=2)
    text = (directory / "metrics.jsonl").read_text()
    (directory / "metrics.jsonl").write_text(text.replace("total_flops_sgpo", "another"))
    assert list(read_run(directory).spent) == ["rollouts", "tokens", "flops", "seconds"]
