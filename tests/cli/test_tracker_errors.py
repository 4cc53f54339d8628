"""Wrong trackers at the command line: one sentence and exit code 2, without torch, and nothing is written."""

import json
import os
import subprocess
import sys

import pytest

from embedded import EXAMPLE

BLOCKED = (
    "import contextlib, io, json, os, sys\n"
    "blocked, cases = json.loads(sys.argv[1])\n"
    "sys.modules.update(dict.fromkeys(['torch', 'transformers', *blocked]))\n"
    "from rekindle.cli import main\n"
    "for variables, settings in cases:\n"
    "    os.environ.update(variables)\n"
    "    output = io.StringIO()\n"
    "    with contextlib.redirect_stderr(output), contextlib.redirect_stdout(output):\n"
    "        code = main(['train', sys.argv[2], *[part for one in settings for part in ('--set', one)]])\n"
    "    for name in variables:\n"
    "        del os.environ[name]\n"
    "    print(json.dumps([code, output.getvalue()]))\n"
)


def answers(tmp_path, cases, blocked=(), **variables):
    """(Exit code, lines) of `rekindle train` for each ({variable: value}, settings)."""
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    for name in ("WANDB_API_KEY", "WANDB_MODE", "MLFLOW_TRACKING_URI", "WANDB_SERVICE"):
        if name not in variables:
            environment.pop(name, None)
    command = [sys.executable, "-c", BLOCKED, json.dumps([blocked, cases]), str(EXAMPLE)]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("blocked", [["tensorboard", "wandb", "mlflow", "trackio", "sqlalchemy"]])
def test_settings_that_cannot_work_are_one_sentence(blocked, tmp_path):
    cases = {
        "track=wandb": 'track = "wandb": a list is needed; write ["wandb"]',
        'track=["wandbb"]': '"wandbb" is unknown; did you mean "wandb"?',
        'track=["xyzzy"]': '"xyzzy" is unknown; choose one of "tensorboard", "wandb", "mlflow", "trackio"',
        'track=["wandb", "wandb"]': '"wandb" is there twice; remove one',
        'track=["mlflow", ""]': '"" is unknown; choose one of',
        "tracking.project=p": 'would not be read; set track = ["wandb"], or leave it at "rekindle"',
        "tracking.entity=p": "tracking.entity: unknown key",
        "train.report_to=wandb": "train.report_to: unknown key; did you mean track?",
        "wandb.project=p": 'wandb: unknown key; did you mean track = ["wandb"]?',
        "trainer.project_name=p": "trainer.project_name: did you mean tracking.project?",
        **{
            f'track=["{name}"]': f'track = ["{name}"] needs {name}, which is not installed; run: pip install '
            f'"rekindle[{name}]"'
            for name in ("tensorboard", "wandb", "mlflow", "trackio")
        },
    }
    pairs = [
        (["track=['wandb']", "tracking.project=a/b"], "wandb accepts no / in the name of a project"),
        (["track=['mlflow']", "tracking.project="], 'tracking.project = "" is no name; write printable characters'),
        (["track=['mlflow']", "tracking.name= "], 'tracking.name = "" is no name'),
    ]
    given = [([one], words) for one, words in cases.items()] + pairs
    found = answers(tmp_path, [({}, settings) for settings, _ in given], blocked)
    for (settings, words), (code, text) in zip(given, found, strict=True):
        assert (code, words in text) == (2, True), f"{settings}: {text}"
        assert len(text.splitlines()) == 1
        assert "Traceback" not in text
    assert list(tmp_path.iterdir()) == []


def test_addresses_of_mlflow_that_cannot_work(library, tmp_path):
    library("mlflow")
    cases = {
        "localhost:5000": 'MLflow knows no addresses that begin with "localhost:"; write e.g. http://127.0.0.1:5000',
        "ftp://host/runs": 'MLflow knows no addresses that begin with "ftp:"',
        "http://": 'MLFLOW_TRACKING_URI = "http://" names no host',
        "sqlite:///x.db": "MLflow needs sqlalchemy and alembic for sqlite:///x.db; run: pip install",
        "": "MLflow needs sqlalchemy and alembic for its database, where MLFLOW_TRACKING_URI is not set; run: pip",
    }
    given = [({"MLFLOW_TRACKING_URI": uri}, ['track=["mlflow"]']) for uri in cases]
    for words, (code, text) in zip(cases.values(), answers(tmp_path, given, ["sqlalchemy"]), strict=True):
        assert (code, words in text) == (2, True), text
        assert len(text.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_wandb_without_a_login_does_not_ask_for_one(library, tmp_path):
    library("wandb")
    wandb = ['track=["wandb"]']
    (found,) = answers(tmp_path, [({}, wandb)])
    assert found[0] == 2
    assert found[1] == (
        'rekindle: track = ["wandb"]: wandb has no API key; run `wandb login`, set WANDB_API_KEY, or set '
        "WANDB_MODE=offline\n"
    )
    (found,) = answers(tmp_path, [({}, wandb)], WANDB_API_KEY="short")
    assert found[0] == 2
    assert "WANDB_API_KEY invalid" in found[1]
    assert len(found[1].splitlines()) == 1
    assert not (tmp_path / "runs").exists()
