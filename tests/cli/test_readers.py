"""Commands whose output nobody reads to its end."""

import os
import subprocess
import sys

import pytest

from rekindle.cli.readers import READER_GONE


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("arguments", [["recipes"], ["report", "nowhere"]])
def test_a_command_without_reader_ends_without_a_word(arguments, stream):
    read, write = os.pipe()
    os.close(read)
    other = "stderr" if stream == "stdout" else "stdout"
    try:
        streams = {stream: write, other: subprocess.PIPE}
        done = subprocess.run(
            [sys.executable, "-m", "rekindle", *arguments],
            check=False,
            stdout=streams["stdout"],
            stderr=streams["stderr"],
        )
    finally:
        os.close(write)
    writes_there = (stream == "stderr") == (arguments[0] == "report")
    assert done.returncode == (READER_GONE if writes_there else 2 if arguments[0] == "report" else 0)
    if writes_there:
        assert getattr(done, other) == b""
