"""What the page "From your TRL script" says, as far as it can be checked without TRL."""

import ast

import tomli_w

from rekindle.recipes import resolve
from trl_page import BEFORE, after, block, changed_lines


def test_the_diff_has_at_most_ten_lines_and_changes_nothing_but_the_trainer():
    assert 0 < len(changed_lines()) <= 10
    before, now = (ast.parse(text).body for text in (BEFORE, after()))
    imports = [ast.unparse(line) for line in now if isinstance(line, ast.ImportFrom)]
    assert "from rekindle.integrations.trl import RekindleTrainer" in imports
    rest = [[ast.unparse(line) for line in body if not isinstance(line, ast.ImportFrom)] for body in (before, now)]
    same = [line.replace("RekindleTrainer(recipe='recycle', ", "GRPOTrainer(") for line in rest[1]]
    assert same == rest[0]
    assert rest[1] != rest[0]


def test_the_tables_of_the_page_are_a_configuration(tmp_path):
    names: dict = {}
    exec(block("python"), names)
    recipe = names["recipe"]
    (tmp_path / "page.toml").write_text(tomli_w.dumps(recipe))
    config = resolve(tmp_path / "page.toml", None, ["train.steps=2"])
    assert (config.recipe, config.pool.reset_below) == ("recycle", recipe["pool"]["reset_below"])
    assert config.loss.clip_high == recipe["loss"]["clip_high"]
