"""`rekindle profile` as a user types it, with the embedded policy and with a real HTTP endpoint."""

import json
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from safetensors.torch import load_file, save_file

from dying import JOURNAL_LINE, signalled
from embedded import EXAMPLE, QUICK
from rekindle.cli import main
from rekindle.evaluation.profile_file import load_profile, save_profile
from rekindle.observability.metrics import read_metrics

SETTINGS = [part for key in QUICK for part in ("--set", key)]


def profile(out, *more):
    return main(["profile", str(EXAMPLE), *SETTINGS, "--samples", "4", "--out", str(out), *more])


def train(out, *more, recipe="sgpo"):
    return main(["train", str(EXAMPLE), "--recipe", recipe, "--out", str(out), *SETTINGS, *more])


def same(one, two):
    columns = ("successes", "samples", "generated_tokens", "prompt_tokens")
    assert list(one.task_ids) == list(two.task_ids)
    assert all((getattr(one, name) == getattr(two, name)).all() for name in columns)
    assert (one.key, one.flops) == (two.key, two.flops)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("profile") / "profile.parquet"
    assert profile(out) == 0
    return out


def test_a_profile_of_the_start_policy(made, tmp_path, capsys):
    found = load_profile(made)
    assert (len(found), found.total_samples) == (96, 384)
    assert 0 < found.success_rates.mean() < 1
    assert found.flops == 2 * 215488 * found.total_tokens
    assert not made.with_name("profile.parquet.partial").exists()
    assert profile(tmp_path / "again.parquet") == 0
    same(found, load_profile(tmp_path / "again.parquet"))
    output = capsys.readouterr()
    assert "96 prompts, 384 rollouts" in output.out
    assert "never solved" in output.out
    assert "96 of 96 prompts" in output.err


@pytest.mark.slow
def test_a_killed_profile_goes_on_and_is_the_same(made, tmp_path):
    out = tmp_path / "killed.parquet"
    signalled(["profile", str(EXAMPLE), *SETTINGS, "--out", str(out), "--samples", "4"], JOURNAL_LINE, 90)
    kept = out.with_name("killed.parquet.partial").read_bytes().count(b"\n")
    assert 1 < kept < 97, "some prompts were played, and not all"
    assert not out.exists()
    assert profile(out) == 0
    same(load_profile(made), load_profile(out))


@pytest.mark.slow
def test_a_run_uses_a_given_profile_and_counts_its_cost(made, tmp_path):
    run = tmp_path / "run"
    assert train(run, "--set", f"profile.path={made}") == 0
    found, lines = load_profile(made), read_metrics(run / "metrics.jsonl")
    assert lines[0]["profile/rollouts"] == found.total_samples
    assert lines[0]["total_generated_tokens"] == found.generated_tokens.sum()
    assert lines[0]["total_flops"] == lines[0]["total_flops_sgpo"] == found.flops
    assert lines[-1]["total_flops"] == sum(line["flops"] for line in lines)
    assert lines[-1]["pool/phase"] >= 1
    assert not (run / "profile.parquet").exists()
    assert train(run, "--set", f"profile.path={made}", "--resume") == 0


def test_a_run_without_one_makes_its_own(tmp_path):
    run = tmp_path / "run"
    assert train(run, "--set", "profile.samples=4") == 0
    assert len(load_profile(run / "profile.parquet")) == 96
    assert read_metrics(run / "metrics.jsonl")[0]["profile/rollouts"] == 384


def other_model(directory, tmp_path):
    weights = load_file(directory / "model.safetensors")
    name = sorted(weights)[0]
    weights[name] = weights[name] + 0.001
    copy = tmp_path / "other"
    copy.mkdir()
    for path in directory.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    return copy


@pytest.mark.slow
def test_a_profile_of_something_else_is_refused_unless_forced(made, tmp_path, capsys):
    assert train(tmp_path / "hot", "--set", f"profile.path={made}", "--set", "train.temperature=0.9") == 2
    assert "temperature" in capsys.readouterr().err
    assert main(["train", str(EXAMPLE), *SETTINGS, "--out", str(tmp_path / "start"), "--set", "train.steps=1"]) == 0
    start = next((tmp_path / "start" / "checkpoints").iterdir()) / "model"
    other = tmp_path / "other.parquet"
    assert profile(other, "--checkpoint", str(other_model(start, tmp_path))) == 0
    assert train(tmp_path / "run", "--set", f"profile.path={other}") == 2
    output = capsys.readouterr().err
    assert "model" in output
    assert "profile.force = true" in output
    assert not (tmp_path / "run").exists(), "a run that cannot start leaves nothing behind"
    assert train(tmp_path / "run2", "--set", f"profile.path={other}", "--set", "profile.force=true") == 0


@pytest.mark.parametrize(("solved", "message"), [(0, "unsolved_share does not help"), (1, "raise trivial_above")])
def test_a_profile_that_leaves_nothing_is_one_sentence(solved, message, made, tmp_path, capsys):
    from dataclasses import replace

    found = load_profile(made)
    path = tmp_path / "nothing.parquet"
    save_profile(path, replace(found, successes=solved * found.samples))
    assert train(tmp_path / "run", "--set", f"profile.path={path}") == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "run").exists()


class Server(ThreadingHTTPServer):
    """Remembers the keys it was asked with."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Reverser)
        self.keys = []


class Reverser(BaseHTTPRequestHandler):
    """Solves short words always and long ones never, in the OpenAI chat schema."""

    def do_POST(self):
        payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        word = "".join(c for c in payload["messages"][-1]["content"] if c.isalpha())
        text = word[::-1] if len(word) <= 3 else word
        choices = [{"message": {"content": text}, "finish_reason": "stop"}] * payload["n"]
        usage = {"prompt_tokens": 7, "completion_tokens": len(text) * payload["n"]}
        body = json.dumps({"choices": choices, "usage": usage}).encode()
        assert isinstance(self.server, Server)
        self.server.keys.append(self.headers.get("Authorization"))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def endpoint():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server, f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_profile_of_an_endpoint(endpoint, tmp_path, monkeypatch):
    server, url = endpoint
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    out = tmp_path / "profile.parquet"
    assert profile(out, "--endpoint", url, "--endpoint-model", "reverser") == 0
    found = load_profile(out)
    assert found.key.model == "reverser"
    assert set(server.keys) == {"Bearer sk-test"}
    words = [name.split("/")[-1] for name in found.task_ids]
    solved = [len(word) <= 3 or word == word[::-1] for word in words]
    assert found.successes.tolist() == [4 * one for one in solved]
    assert found.generated_tokens.tolist() == [4 * len(word) for word in words]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--samples", "0"], "--samples 0"),
        (["--endpoint", "http://127.0.0.1:9/v1"], "belong together"),
        (["--endpoint", "http://x/v1", "--endpoint-model", "m", "--checkpoint", "d"], "give one of them"),
        (["--endpoint", "ftp://x", "--endpoint-model", "m"], "ftp://x"),
    ],
)
def test_bad_use_is_one_sentence(more, message, tmp_path, capsys):
    assert profile(tmp_path / "p.parquet", *more) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_an_existing_file_is_kept(made, capsys):
    before = made.read_bytes()
    assert profile(made) == 2
    assert "exists already" in capsys.readouterr().err
    assert made.read_bytes() == before


@pytest.mark.slow
def test_interrupting_keeps_what_was_profiled(tmp_path):
    out = tmp_path / "p.parquet"
    command = ["profile", str(EXAMPLE), *SETTINGS, "--out", out, "--samples", "2", "--set", "task.pool_size=600"]
    done = signalled(command, JOURNAL_LINE, 5, signal.SIGINT)
    assert done.returncode == 130
    assert "repeat the command" in done.stderr
    assert out.with_name("p.parquet.partial").read_bytes().count(b"\n") > 1
    assert not out.exists()
