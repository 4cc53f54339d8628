"""What confined processes cannot do on this system, and the filter of system calls."""

import os
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import children, descendants
from unguarded import job_of, unguarded_pool

from rekindle.doctor import confinement_table
from rekindle.verifiers import seccomp
from rekindle.verifiers.confinement import LAYERS, available, confine, memory_of_each, missing
from rekindle.verifiers.confinement_check import ATTEMPTS, COLUMNS
from rekindle.verifiers.verifier import Verdict

PAGE = Path(__file__).parents[2] / "docs/howto/confinement.md"
confined = pytest.mark.skipif(available() != LAYERS, reason="this system cannot confine scorers")
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
HEADERS = {
    0: Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    1: Path("/usr/include/asm-generic/unistd.h"),
}


def rows(text):
    """{attempt: cells} of a table in Markdown."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return {name: cells for name, *cells in lines if name in ATTEMPTS}


@confined
def test_the_page_has_the_table_that_the_command_finds():
    found, written = rows(confinement_table()), rows(PAGE.read_text())
    assert {name: cells[0] for name, cells in found.items()} == dict.fromkeys(ATTEMPTS, "yes")
    assert set(written) == set(ATTEMPTS)
    if os.getuid() == 0:
        assert found == written


@pytest.mark.parametrize("column", HEADERS)
def test_numbers_of_system_calls_are_those_of_the_kernel(column):
    if not HEADERS[column].exists():
        pytest.skip("the kernel's headers are not installed")
    pattern = r"#define __NR(?:3264)?_(\w+)\s+(\d+)"
    known = {name: int(number) for name, number in re.findall(pattern, HEADERS[column].read_text())}
    known.setdefault("newfstatat", known.get("fstatat", 0))
    ours = {name: numbers[column] for name, numbers in seccomp.NUMBERS.items() if numbers[column] is not None}
    assert {name: known.get(name) for name in ours} == ours


def verdict_of(machine, number, arguments=()):
    """What the filter returns for a call: the program is run by an interpreter of the instructions that it uses."""
    architecture = seccomp.ARCHITECTURES[machine][1]
    data = struct.pack("=IIQ6Q", number, architecture, 0, *arguments, *[0] * (6 - len(arguments)))
    code = [struct.unpack("=HBBI", part) for part in _parts(seccomp.program(machine))]
    place = accumulator = 0
    while True:
        operation, true, false, operand = code[place]
        if operation == seccomp.RETURN:
            return operand
        if operation == seccomp.LOAD:
            accumulator = struct.unpack_from("=I", data, operand)[0]
            place += 1
            continue
        holds = {
            seccomp.EQUAL: accumulator == operand,
            seccomp.AT_LEAST: accumulator >= operand,
            seccomp.ANY_BIT: bool(accumulator & operand),
        }[operation]
        place += 1 + (true if holds else false)


def _parts(program):
    return [program[start : start + 8] for start in range(0, len(program), 8)]


@pytest.mark.parametrize("machine", seccomp.ARCHITECTURES)
def test_the_filter_allows_what_it_lists_and_nothing_else(machine):
    column = seccomp.ARCHITECTURES[machine][0]
    allowed = {numbers[column] for numbers in seccomp.NUMBERS.values()}
    arguments = ((0, 0), (0, seccomp.CONTROLS["ioctl"][0]))
    found = {
        number for number in range(600) if seccomp.ALLOW in [verdict_of(machine, number, one) for one in arguments]
    }
    assert found == allowed - {None}
    assert verdict_of(machine, seccomp.X32 + 1) == seccomp.ERROR | 1
    assert verdict_of(machine, 435) == seccomp.ERROR | 38


@pytest.mark.parametrize(
    ("name", "arguments", "allowed"),
    [
        ("openat", (0, 0, 0), True),
        ("openat", (0, 0, os.O_CLOEXEC | os.O_DIRECTORY), True),
        ("openat", (0, 0, os.O_WRONLY), False),
        ("openat", (0, 0, os.O_RDWR), False),
        ("openat", (0, 0, os.O_CREAT), False),
        ("openat", (0, 0, os.O_TRUNC), False),
        ("openat", (0, 0, os.O_APPEND), False),
        ("open", (0, os.O_WRONLY), False),
        ("prlimit64", (0, 7, 0), True),
        ("prlimit64", (0, 7, 1), False),
        ("prlimit64", (0, 7, 1 << 40), False),
        ("prlimit64", (9, 7, 0), False),
        ("fcntl", (0, 1), True),
        ("fcntl", (0, 8), False),
        ("ioctl", (0, 0x5401), True),
        ("ioctl", (0, 0x5412), False),
    ],
)
def test_the_filter_looks_at_arguments(name, arguments, allowed):
    found = verdict_of("x86_64", seccomp.NUMBERS[name][0], arguments)
    assert found == (seccomp.ALLOW if allowed else seccomp.ERROR | 1)


@confined
def test_a_call_of_another_architecture_kills(monkeypatch):
    foreign = seccomp.program("aarch64" if os.uname().machine == "x86_64" else "x86_64")
    pid = os.fork()
    if pid == 0:
        confine(5, layers=())
        seccomp.install(foreign)
        os.getppid()
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGSYS


def test_memory_is_shared_by_the_workers():
    assert [memory_of_each(workers) >> 30 for workers in (1, 2, 4, 16)] == [4, 2, 1, 1]


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setattr("rekindle.verifiers.confinement.landlock_version", lambda: 0)
    monkeypatch.setattr(seccomp, "is_available", lambda: True)
    assert missing().endswith(" has no Landlock (Linux 5.13 and newer)")
    monkeypatch.setattr(seccomp, "is_available", lambda: False)
    assert missing().endswith(" has no filter of system calls (seccomp) and no Landlock (Linux 5.13 and newer)")
    assert available() == COLUMNS["macOS and other systems"]


FAMILY = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            time.sleep(300)
        os._exit(0)
for _ in range(3):
    os.wait()
"""


@pytest.mark.slow
@linux
@pytest.mark.skipif(os.getuid() != 0, reason="the limit of processes holds for all but root")
def test_no_grandchild_outlives_its_job_where_nothing_keeps_a_scorer_from_making_one():
    before = children(os.getpid())
    pool = unguarded_pool(("limits",))
    try:
        assert pool.judge([job_of(FAMILY)]) == [Verdict(0.01)]
        (server,) = children(os.getpid()) - before
        assert descendants(server) == set()
    finally:
        pool.close()


@pytest.mark.slow
@linux
@pytest.mark.skipif(os.getuid() != 0, reason="the limit of processes holds for all but root")
def test_no_grandchild_outlives_a_killed_trainer_whose_children_hold_its_files(tmp_path):
    script = (
        "import os, time\nfrom unguarded import job_of, unguarded_pool\n"
        "pool = unguarded_pool(('limits',))\npool._pool.start()\n"
        "if os.fork() == 0: time.sleep(300)\n"
        f"pool.judge([job_of({FAMILY + 'time.sleep(300)'!r})])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}
    trainer = subprocess.Popen([sys.executable, "-c", script], env=environment, start_new_session=True)
    try:
        family = settled(trainer.pid, 6)  # a fork, the server, a scorer, and three orphans
        trainer.kill()
        trainer.wait()
        while len([pid for pid in family if Path(f"/proc/{pid}").exists()]) > 1:  # the fork
            time.sleep(0.05)
    finally:
        os.killpg(trainer.pid, signal.SIGKILL)
    assert list(tmp_path.iterdir()) == []


def settled(pid, count):
    """The descendants of a process as soon as there are so many for a while."""
    before = set()
    while len(before) != count or descendants(pid) != before:
        before = descendants(pid)
        time.sleep(0.2)
    return before
