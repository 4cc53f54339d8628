"""Ray's workers as forks of a process that has the libraries: a run of verl's has ten, which would import them each.

Ray starts a worker with ``python SETUP_SCRIPT default_worker.py ARGUMENTS``. Here this file is that script: it sends
what it was started with, and its streams, to the process that forks, and lives as long as the fork. The fork runs
``default_worker.py``. Whoever of the two dies takes the other one along, so Ray may kill either.
"""

import array
import json
import os
import random
import runpy
import select
import signal
import socket
import sys
import threading
from pathlib import Path

ADDRESS = "FORKED_WORKERS"
"""Variable with the path of the socket."""


def start(address):
    """Fork a process that forks workers, as long as this one lives. Call it before there are threads or a cluster."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(address))
    listening.listen(64)
    alive, kept = os.pipe()
    if os.fork() == 0:
        os.close(kept)
        _serve(listening, alive)
    listening.close()
    os.close(alive)
    os.environ[ADDRESS] = str(address)
    import ray._private.ray_constants as constants

    constants.SETUP_WORKER_FILENAME = str(Path(__file__).resolve())
    return kept  # closed with this process


def _serve(listening, alive):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        ready, _, _ = select.select([listening, alive], [], [])
        if alive in ready:
            os._exit(0)
        connection, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            os.close(alive)
            _become_worker(connection)
        connection.close()


def _become_worker(connection):
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        asked, streams = _received(connection)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(asked["environment"])
        os.chdir(asked["folder"])
        threading.Thread(target=_die_with, args=(connection,), daemon=True).start()
        random.seed()
        sys.argv = asked["arguments"]
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as ended:
        os._exit(ended.code if isinstance(ended.code, int) else 1)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _received(connection):
    text, streams = b"", array.array("i")
    while not text.endswith(b"\n"):
        part, more, _, _ = socket.recv_fds(connection, 1 << 16, 3)
        text += part
        streams.extend(more)
    return json.loads(text), streams


def _die_with(connection):
    connection.recv(1)  # nothing is sent: it returns when the other end is gone
    os.kill(os.getpid(), signal.SIGKILL)


def _ask(arguments):
    """What Ray starts: have a fork made, and wait for its end."""
    for argument in list(arguments):
        name, _, value = argument.partition("=")
        if name in ("--serialized-runtime-env-context", "--language"):
            arguments.remove(argument)
            variables = json.loads(value).get("env_vars") if name.startswith("--ser") else None
            os.environ.update(variables or {})
    asked = {"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(os.environ[ADDRESS])
        text = json.dumps(asked).encode() + b"\n"
        sent = socket.send_fds(connection, [text], [0, 1, 2])
        connection.sendall(text[sent:])
        connection.recv(1)


if __name__ == "__main__":
    _ask(sys.argv[1:])
