import os
import subprocess
import sys

import pytest

from rekindle.evaluation.atomic_write import atomic_write
from rekindle.types import UserError


def ended_process():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    path = tmp_path / "page.html"
    kept = [f".page.html.{os.getppid()}", ".page.html.old", ".page.html.", ".other.html.1", "page.html.2"]
    for name in (*kept, f".page.html.{ended_process()}"):
        (tmp_path / name).write_text("half")
    with atomic_write(path, UserError, "choose another") as partial:
        partial.write_text("whole")
    assert path.read_text() == "whole"
    assert {one.name for one in tmp_path.iterdir()} == {*kept, "page.html"}


def write_half(path):
    with atomic_write(path, UserError, "choose another") as partial:
        partial.write_text("half")
        raise OSError(28, "No space left on device")


def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("old")
    with pytest.raises(UserError, match="cannot be written"):
        write_half(path)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("page.html", "old")]
