"""The fuzzing of readers: a few inputs of every target, and that it finds what it should."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FUZZING = Path(__file__).parent / "fuzzing"
SOURCES = {path.stem: path.read_text(encoding="utf-8") for path in FUZZING.glob("*_targets.py")}
NAMES = [name for text in SOURCES.values() for name in re.findall(r"@target\(.*\)\ndef (\w+)\(", text)]
HARNESS = """
import sys
sys.path[:0] = {paths}
from pathlib import Path
from judging import Findings, Watch, judge
from mutation import Inputs
from target import TARGETS
import {module}
folder = Path({folder!r})
watch = Watch(folder)
for name, target in TARGETS.items():
    files = folder / name
    files.mkdir()
    attempt, findings = target.prepare(files), Findings()
    for number in range({count}):
        where = judge(target, attempt, Inputs(f"0/{{name}}/{{number}}"), watch, findings)
        if where is not None:
            print(name, number, where)
    print(name, findings.inputs, "inputs")
"""


def run(code):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout


@pytest.mark.parametrize("module", SOURCES)
def test_no_reader_fails_on_random_inputs(module, tmp_path):
    pytest.importorskip("pyarrow")
    pytest.importorskip("gguf")
    paths = [str(FUZZING), str(FUZZING.parent), str(FUZZING.parent / "observability")]
    said = run(HARNESS.format(paths=paths, module=module, folder=str(tmp_path), count=15)).splitlines()
    targets = re.findall(r"@target\(.*\)\ndef (\w+)\(", SOURCES[module])
    assert said == [f"{name} 15 inputs" for name in targets]


BROKEN = """
import os, subprocess
from pathlib import Path
from rekindle.types import UserError
from target import Target
FAULTS = {
    "sound": lambda inputs: None,
    "refused": lambda inputs: (_ for _ in ()).throw(UserError("the file is damaged; restore it")),
    "silent": lambda inputs: (_ for _ in ()).throw(UserError(" ")),
    "traceback": lambda inputs: {}["x"],
    "outside": lambda inputs: Path("/tmp/outside-of-it").write_text("x"),
    "removes": lambda inputs: os.remove("/tmp/outside-of-it"),
    "process": lambda inputs: subprocess.run(["true"]),
    "inside": lambda inputs: (folder / "x").write_text("x"),
}
for name, attempt in FAULTS.items():
    found = judge(Target(name, lambda _: attempt), attempt, Inputs(1), watch, Findings())
    print(name, (found or "fine").split(":")[0].split(" at ")[0])
"""


def test_the_judge_sees_what_no_reader_may_do(tmp_path):
    head = HARNESS.split("import {module}", maxsplit=1)[0].format(paths=[str(FUZZING), str(FUZZING.parent)])
    said = run(f"{head}folder = Path({str(tmp_path)!r})\nwatch = Watch(folder)\n{BROKEN}").splitlines()
    assert said == [
        "sound fine", "refused fine", "silent no sentence", "traceback KeyError", "outside OutsideError",
        "removes OutsideError", "process OutsideError", "inside fine",
    ]  # fmt: skip
    assert not Path("/tmp/outside-of-it").exists()


def test_the_same_seed_gives_the_same_inputs():
    code = f"import sys; sys.path.insert(0, {str(FUZZING)!r})\nfrom mutation import Inputs\n"
    code += "one, other = Inputs('a'), Inputs('a')\nfor _ in range(200):\n"
    code += "    assert repr(one.value()) == repr(other.value())\n"
    code += "    assert one.mutated(b'abc' * 9) == other.mutated(b'abc' * 9)\nprint('same')"
    assert run(code) == "same\n"


def test_a_hanging_input_is_stopped_and_kept(tmp_path):
    targets = tmp_path / "text_targets.py"
    targets.write_text(
        "import time\nfrom target import target\n\n\n@target()\ndef hangs(folder):\n    def attempt(inputs):\n"
        "        (folder / 'input').write_text('x')\n        time.sleep(30 if attempt.count == 3 else 0)\n"
        "        attempt.count += 1\n    attempt.count = 0\n    return attempt\n"
    )
    for name in ("__main__.py", "judging.py", "mutation.py", "target.py"):
        text = (FUZZING / name).read_text(encoding="utf-8").replace("HANG_SECONDS = 10.0", "HANG_SECONDS = 1.0")
        text = text.replace('("text_targets", "task_targets", "run_targets")', '("text_targets",)')
        (tmp_path / name).write_text(text)
    command = [sys.executable, str(tmp_path), "--seed", "1", "--minutes", "0.02", "--inputs", "6"]
    done = subprocess.run([*command, "--keep", str(tmp_path / "kept")], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "takes more than 1 s" in done.stdout
    assert "--only hangs --input 3" in done.stdout
    assert (tmp_path / "kept" / "hangs-3" / "input").read_text() == "x"


def test_every_target_has_a_name_of_its_own():
    assert len(NAMES) == len(set(NAMES)) >= 30
