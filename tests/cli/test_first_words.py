"""First lines of the commands and the time until them, in separate processes with torch blocked or a real wait."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys

import pytest

from embedded import EXAMPLE, QUICK
from rekindle.cli import main
from rekindle.cli.messages import Messages
from rekindle.interrupts import Interrupts
from rekindle.models.directory import saved_parameters
from rekindle.notices import Notice
from rekindle.preflight import policy_files, start_parameters

SETTINGS = [part for key in QUICK for part in ("--set", key)]
WITHOUT_TORCH = (
    "import contextlib, io, json, os, sys, time\n"
    "sys.modules.update(dict.fromkeys(['torch', 'transformers', 'tokenizers', 'safetensors']))\n"
    "from rekindle.cli import main\n"
    "for arguments in json.loads(sys.argv[1]):\n"
    "    output = io.StringIO()\n"
    "    with contextlib.redirect_stderr(output), contextlib.redirect_stdout(output):\n"
    "        try:\n"
    "            code = main(arguments)\n"
    "        except SystemExit as ending:\n"
    "            code = ending.code\n"
    "    print(json.dumps([code, output.getvalue()]))\n"
)
CONFIG = (
    "[model]\npath = 'model'\ndtype = 'float32'\n[task]\nsource = 'jsonl'\npath = '{}'\n"
    "[train]\nsteps = 1\n[eval]\nprompts = 1\n"
)
SEARCH = ["--set", "task.environment=search", "--set", "search.answer_tokens=4"]
ROW = '{"prompt": "a>", "answer": "a"}\n'


def tiny(directory):
    from rekindle.warm_starts.tiny_model import build_tiny

    policy = build_tiny(layers=1, hidden_size=16, heads=2, kv_heads=2, intermediate_size=16)
    policy.save(directory)
    return policy


@pytest.fixture
def place(tmp_path):
    """Files with one thing wrong each."""
    tiny(tmp_path / "model")
    files = {
        "malformed.jsonl": f"{ROW}nonsense\n", "empty.jsonl": "", "good.jsonl": ROW + ROW.replace("a>", "b>"),
        "full/some": "", "bare/notes": "", "cut/config.json": "{}", "cut/model.safetensors": "cut",
        "good.yaml": "train:\n  steps: 1\n",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    for name in ("missing", "malformed", "empty", "good"):
        (tmp_path / f"{name}.toml").write_text(CONFIG.format(f"{name}.jsonl"))
    return tmp_path


def test_what_needs_no_torch_is_answered_without_it(place):
    example = str(EXAMPLE)
    cases = [
        (["--help"], 0, "usage: rekindle"),
        (["train", "--help"], 0, "CONFIG.toml"),
        (["--version"], 0, "rekindle 0."),
        (["recipes"], 0, "posterior_recycle"),
        (["train", example, "--nonsense"], 2, "unrecognized arguments: --nonsense"),
        (["train", "nowhere.toml"], 2, "nowhere.toml does not exist"),
        (["train", example, "--recipe", "recycel"], 2, "did you mean recycle?"),
        (["train", example, "--set", "train.group_sise=4"], 2, "did you mean train.group_size?"),
        (["train", example, "--set", "train.group_size=0"], 2, "train.group_size = 0"),
        (["train", example, "--out", "full"], 2, "full is not empty; add --resume"),
        (["train", "good.toml", "--set", "model.path=nowhere"], 2, "there is no model directory at nowhere"),
        (["train", "good.toml", "--set", "model.path=bare"], 2, "bare has no config.json"),
        (["train", "missing.toml"], 2, "there is no file missing.jsonl"),
        (["train", "malformed.toml"], 2, "malformed.jsonl:2: not valid JSON"),
        (["train", "empty.toml"], 2, "empty.jsonl has no rows"),
        (["eval", "malformed.toml"], 2, "malformed.jsonl:2: not valid JSON"),
        (["eval", example, "--questions", "a=empty.jsonl"], 2, "empty.jsonl has no rows"),
        (["eval", example, "--checkpoint", "bare"], 2, "bare has no config.json"),
        (["eval", "good.toml", "--sampling", "model"], 2, "generation_config.json says nothing of sampling"),
        (["profile", "empty.toml", "--out", "p.parquet"], 2, "empty.jsonl has no rows"),
        (["profile", "good.toml", "--checkpoint", "bare", "--out", "p.parquet"], 2, "bare has no config.json"),
        (["train", "good.toml", *SEARCH, "--set", "retriever.corpus=no.jsonl"], 2, "there is no corpus no.jsonl"),
        (["train", "good.toml", "--recipe", "sgpo", "--set", "profile.path=p.pq"], 2, "there is no file p.pq"),
        (["train", "good.toml", "--set", "model.path=cut"], 2, "model.safetensors has no readable header; download it"),
        (["train", "good.toml", "--set", "train.lr=1e-6"], 2, "did you mean train.learning_rate?"),
        (["train", "good.toml", "--recipe", "GRPO"], 2, "did you mean grpo?"),
        (["train", "good.yaml"], 2, "is YAML, and a configuration is TOML"),
        (["train", "good.toml"], 2, "loading model (0.0 M, float32, "),
    ]  # fmt: skip
    arguments = json.dumps([case[0] for case in cases])
    command = [sys.executable, "-c", WITHOUT_TORCH, arguments]
    before = sorted(place.rglob("*"))
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=place)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    for (given, code, words), (found, text) in zip(cases, answers, strict=True):
        assert (found, words in text) == (code, True), f"{given}: {text}"
        assert "Traceback" not in text
    assert "torch is not installed" in answers[-1][1], "everything was looked at, and torch is needed now"
    assert sorted(place.rglob("*")) == before


def test_the_first_line_says_what_is_loaded(tmp_path, quick_config):
    directory = tmp_path / "model"
    policy = tiny(directory)
    assert saved_parameters(directory) == policy.parameter_count
    assert policy_files(quick_config(), None, print).loading.startswith("loading the start policy (0.2 M, float32, ")
    header = json.dumps({"w": {"dtype": "F32", "shape": [1350, 100_000], "data_offsets": [0, 540_000_000]}}).encode()
    (directory / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    os.truncate(directory / "model.safetensors", 8 + len(header) + 540_000_000)  # takes no space
    config = quick_config("recycle", "model.device=cpu")
    assert policy_files(config, directory, print).loading == f"loading {directory} (135 M, float32, cpu)"
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")  # says nothing of its weights
    assert policy_files(config, directory, print).loading == f"loading {directory} (float32, cpu)"


@pytest.mark.parametrize("example", ["spell_backward", "search_agent", "self_play"])
def test_the_size_of_a_start_policy_is_known_before_it_is_made(example):
    from rekindle.recipes import resolve
    from rekindle.warm_starts.embedded_tasks import embedded_task

    config = resolve(EXAMPLE.with_name(f"{example}.toml"))
    assert start_parameters(config) == embedded_task(config).model().parameter_count


@pytest.mark.slow
def test_a_run_keeps_its_warnings_and_a_report_lists_them(tmp_path, capsys):
    run = tmp_path / "run"
    own = ("task.pool_size=5000", "task.params.max_length=3", "train.steps=1", "optimizer.warmup_steps=0")
    more = [part for key in own for part in ("--set", key)]
    assert main(["train", str(EXAMPLE), "--recipe", "grpo", "--out", str(run), *SETTINGS, *more]) == 0
    shown = capsys.readouterr().err.splitlines()
    warnings = [line for line in shown if line.startswith("rekindle: warning: task.pool_size = 5000, but only")]
    assert len(warnings) == 1
    assert shown.index(warnings[0]) < shown.index(next(line for line in shown if line.startswith("loading the start")))
    assert any(line.startswith("evaluating 16 prompts") for line in shown)
    kept = [json.loads(line) for line in (run / "warnings.jsonl").read_text().splitlines()]
    assert [(line["step"], line["source"]) for line in kept] == [(0, "rekindle")]
    assert kept[0]["text"] in warnings[0]
    assert "task.pool_size = 5000" in (run / "report.html").read_text()
    for _ in range(2):  # what a resumed run says while it loads belongs to the step it goes on from
        assert main(["train", str(EXAMPLE), "--recipe", "grpo", "--out", str(run), "--resume", *SETTINGS, *more]) == 0
    kept = [json.loads(line) for line in (run / "warnings.jsonl").read_text().splitlines()]
    assert [(line["step"], line["count"]) for line in kept] == [(0, 1), (1, 1), (1, 1)]


def test_ctrl_c_before_the_first_step_is_one_line_and_130(tmp_path):
    command = [sys.executable, "-m", "rekindle", "train", str(EXAMPLE), "--out", str(tmp_path / "run"), *SETTINGS]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("loading the start policy")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == "rekindle: interrupted before the first step"
    assert "Traceback" not in err


def test_the_exit_code_is_130_wherever_the_interrupt_came_through(tmp_path):
    (tmp_path / "interrupted.py").write_text(
        "import sys\n"
        "from rekindle import cli\n"
        "cli._doctor = lambda _: exec('raise KeyboardInterrupt')\n"
        "sys.exit(cli.main(['doctor']))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "interrupted"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (130, "rekindle: interrupted\n")


@pytest.mark.parametrize("find", [Interrupts.check, Interrupts.begin])
def test_an_early_interrupt_that_a_library_swallowed_is_found_again(find):
    with Interrupts(print) as interrupts:
        with contextlib.suppress(BaseException):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt, match="before the first step"):
            find(interrupts)


def test_the_bar_of_a_terminal_is_not_torn():
    program = (
        "import time, warnings\n"
        "from rekindle.cli.messages import messages\n"
        "from rekindle.observability.progress import Progress\n"
        "with messages.collected(), Progress(2) as progress:\n"
        "    for step in range(3):\n"
        "        progress.step({'step': step})\n"
        "        progress.warn('the pool is starving')\n"
        "        warnings.warn_explicit('old', FutureWarning, '/site-packages/torch/x.py', 1)\n"
    )
    main_end, child_end = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen([sys.executable, "-c", program], stderr=child_end, env=environment)
    os.close(child_end)
    text = b""
    while chunk := _read(main_end):
        text += chunk
    os.close(main_end)
    assert process.wait() == 0
    shown_text = text.decode()
    for warning in ("the pool is starving", "old [torch]"):
        assert shown_text.count(f"rekindle: warning: {warning}\r\n") == 1, shown_text
        assert shown_text.count(f"rekindle: warning: repeated 3 times: {warning}\r\n") == 1


def _read(end):
    try:
        return os.read(end, 4096)
    except OSError:  # the other end is closed
        return b""


def test_a_status_is_one_line_of_a_terminal_and_few_lines_of_a_log(capsys, monkeypatch):
    now = [100.0]
    messages = Messages(clock=lambda: now[0])
    for done in range(5):
        messages.status(f"{done} of 4", last=done == 4)
        now[0] += 4
    assert capsys.readouterr().err.splitlines() == ["0 of 4", "3 of 4", "4 of 4"]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    messages.status("a long status")
    messages.status("short")
    messages.warn(Notice("look out", "torch"), 1)
    messages.status("done", last=True)
    assert capsys.readouterr().err == (
        "\ra long status\rshort        \r     \rrekindle: warning: look out [torch]\n\rdone\n"
    )
