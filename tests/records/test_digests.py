"""Digests of a directory: what they find, and that ``sha256sum`` reads them."""

import shutil
import subprocess

import pytest

from rekindle.records.digests import SUMS, fault_of, has_digests, write_digests


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "weights").write_bytes(bytes(range(256)) * 400)
    (tmp_path / "state").write_text("1")
    write_digests(tmp_path)
    return tmp_path


def test_files_that_are_as_they_were_written_have_no_fault(directory):
    assert has_digests(directory)
    assert fault_of(directory, needs=("state",)) is None
    (directory / "notes of a user").write_text("a file without a digest is not looked at")
    assert fault_of(directory) is None


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["model/config.json", "model/weights", "state"])
def test_every_damage_of_every_file_is_found_and_the_file_is_named(directory, name):
    path = directory / name
    data = path.read_bytes()
    for damage in (flip, lambda one: one.write_bytes(data[:-1]), lambda one: one.write_bytes(data + b"x")):
        damage(path)
        assert fault_of(directory) == f"{name} has other contents than were written"
        path.write_bytes(data)
        assert fault_of(directory) is None
    path.unlink()
    assert fault_of(directory) == f"{name} is missing"


@pytest.mark.parametrize(
    "text", ["", "x", "0" * 64, f"{'0' * 64}  ../outside\n", f"{'0' * 64}  /etc/passwd\n", "\x00" * 80, "é" * 70]
)
def test_damaged_digests_are_a_fault_and_lead_nowhere_else(directory, text):
    (directory / SUMS).write_text(text)
    assert f"{SUMS} " in str(fault_of(directory, needs=("state",)))


def test_digests_that_were_cut_lack_the_last_files(directory):
    lines = (directory / SUMS).read_text().splitlines(keepends=True)
    (directory / SUMS).write_text("".join(lines[:-1]))
    assert fault_of(directory, needs=("state",)) == f"{SUMS} has no digest of state"


def test_a_part_of_the_files_is_checked_alone(directory):
    flip(directory / "state")
    assert fault_of(directory, below="model/") is None
    flip(directory / "model" / "weights")
    assert fault_of(directory, below="model/") == "model/weights has other contents than were written"


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="the tool is not installed")
def test_the_common_tool_reads_them(directory):
    done = subprocess.run(["sha256sum", "--check", "--quiet", SUMS], cwd=directory, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
