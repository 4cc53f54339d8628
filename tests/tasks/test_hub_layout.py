"""Subsets and splits of data sets, as their cards and the names of their files tell them."""

import pytest

from rekindle.tasks.hub_layout import chosen_files, chosen_subset, layout_of
from rekindle.tasks.task_set import TaskError


def plain(layout):
    return {subset: {split: list(files) for split, files in splits.items()} for subset, splits in layout.items()}


GSM8K = {
    "configs": [
        {"config_name": "main", "data_files": [{"split": "train", "path": "main/train-*"},
                                               {"split": "test", "path": "main/test-*"}]},
        {"config_name": "socratic", "data_files": [{"split": "train", "path": "socratic/train-*"}]},
    ]
}  # fmt: skip
GSM8K_FILES = [f"{name}-00000-of-00001.parquet" for name in ("main/train", "main/test", "socratic/train")]


@pytest.mark.parametrize(
    ("files", "card", "expected"),
    [
        (GSM8K_FILES, GSM8K, {"main": {"train": [GSM8K_FILES[0]], "test": [GSM8K_FILES[1]]},
                              "socratic": {"train": [GSM8K_FILES[2]]}}),
        (GSM8K_FILES, {}, {"main": {"train": [GSM8K_FILES[0]], "test": [GSM8K_FILES[1]]},
                           "socratic": {"train": [GSM8K_FILES[2]]}}),
        # the forms of data_files
        (["a.jsonl", "b.jsonl"], {"configs": [{"config_name": "default", "data_files": "a.jsonl"}]},
         {"default": {"train": ["a.jsonl"]}}),
        (["a.jsonl", "x/b.jsonl"], {"configs": [{"data_files": ["./a.jsonl", "**/b.jsonl"]}]},
         {"default": {"train": ["a.jsonl", "x/b.jsonl"]}}),
        (["a.jsonl", "b.jsonl"], {"configs": [{"config_name": "c", "data_files": {"dev": "b.jsonl"}}]},
         {"c": {"dev": ["b.jsonl"]}}),
        (["d/a.csv", "d/e/b.csv", "d/c.txt"],
         {"configs": [{"config_name": "c", "data_dir": "./d",
                       "data_files": [{"split": "x", "path": ["*.csv", "a.csv"]}]}]},
         {"c": {"x": ["d/a.csv"]}}),
        (["d/train.csv", "e/train.csv"], {"configs": [{"config_name": "c", "data_dir": "d"}]},
         {"c": {"train": ["d/train.csv"]}}),
        (["train.jsonl"], {"configs": [{"config_name": "lost", "data_files": "gone/*"}]},
         {"default": {"train": ["train.jsonl"]}}),
        (["train.jsonl"], {"configs": "nonsense"}, {"default": {"train": ["train.jsonl"]}}),
        # by names
        (["train.jsonl", "test.jsonl", "notes.json", "README.md"], {},
         {"default": {"train": ["train.jsonl"], "test": ["test.jsonl"]}}),
        (["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/dev.parquet"], {},
         {"default": {"train": ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"],
                      "validation": ["data/dev.parquet"]}}),
        (["data/train_sft-00000-of-00001.parquet"], {},
         {"default": {"train_sft": ["data/train_sft-00000-of-00001.parquet"]}}),
        (["questions.json"], {}, {"default": {"train": ["questions.json"]}}),
        (["training/a.csv", "testing/b.csv"], {},
         {"default": {"train": ["training/a.csv"], "test": ["testing/b.csv"]}}),
        (["main/train/0000.parquet", "main/test/0000.parquet"], {},
         {"main": {"train": ["main/train/0000.parquet"], "test": ["main/test/0000.parquet"]}}),
        (["contest_2024.jsonl", "trained.jsonl"], {}, {"default": {"train": ["contest_2024.jsonl", "trained.jsonl"]}}),
        (["dataset_infos.json", ".hidden/train.json", "_x.csv", "run.py", "x.zip"], {}, {}),
    ],
)  # fmt: skip
def test_layouts(files, card, expected):
    assert plain(layout_of(files, card)[0]) == expected


def layout(**subsets):
    return {name: {split: ["f.jsonl"] for split in splits.split()} for name, splits in subsets.items()}


@pytest.mark.parametrize(
    ("subsets", "default", "asked", "found"),
    [
        (layout(main="train"), None, None, "main"),
        (layout(main="train", other="train"), None, "other", "other"),
        (layout(default="train", other="train"), None, None, "default"),
        (layout(main="train", other="train"), "other", None, "other"),
    ],
)
def test_the_subset_that_is_read(subsets, default, asked, found):
    assert chosen_subset("o/n", subsets, default, asked) == found


def test_the_default_of_a_card():
    card = {
        "configs": [{"config_name": "a", "data_files": "*"}, {"config_name": "b", "data_files": "*", "default": True}]
    }
    assert layout_of(["x.csv"], card)[1] == "b"


def test_subsets_and_splits_that_are_not_there_are_answered_with_those_that_are():
    subsets = layout(main="train test", socratic="train")
    with pytest.raises(TaskError, match=r"o/n has several subsets; set task.subset to one of main, socratic$"):
        chosen_subset("o/n", subsets, None, None)
    with pytest.raises(
        TaskError, match=r'has no subset "mian" \(did you mean "main"\?\); set task.subset to one of main, s'
    ):
        chosen_subset("o/n", subsets, None, "mian")
    with pytest.raises(TaskError, match=r'no split "dev" in its subset main; set task.eval_split to one of test'):
        chosen_files("o/n", subsets, "main", "dev", "task.eval_split")
    with pytest.raises(TaskError, match=r'no split "train"; set task.split to one of a, b'):
        chosen_files("o/n", layout(default="a b"), "default", "train", "task.split")


def test_synonyms_name_a_split_and_one_format_is_read():
    files = ["v.jsonl", "w.parquet", "x.parquet", "y.csv"]
    message = (
        "the split dev of the data set o/n has files of several formats; w.parquet, x.parquet are read, and v.jsonl"
    )
    with pytest.warns(UserWarning, match=message):
        assert chosen_files("o/n", {"default": {"validation": files}}, "default", "dev", "task.split") == files[1:3]
    with pytest.warns(UserWarning, match=r"; a.parquet is read, and a.csv is not"):
        assert chosen_files("o/n", {"default": {"test": ["a.csv", "a.parquet"]}}, "default", "test", "") == [
            "a.parquet"
        ]
