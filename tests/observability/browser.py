"""A real browser, driven through Chromium's debugging pipe: viewport, scripts, keys, console, requests, pictures."""

import base64
import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["CHROMIUM", "Browser", "opened"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-pipe",
)  # fmt: skip
SECONDS = 60.0


class Browser:
    """A page of a browser.

    Attributes:
        console: What the page logged, and its uncaught errors.
        requests: Addresses that the page asked for, itself left out.
    """

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers, self._rest, self._number = commands, answers, b"", 0
        self.console: list[str] = []
        self.requests: list[str] = []
        self._session = ""
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")

    def show(self, page: Path, width: int = 1200, height: int = 900, *, dark: bool = False, fragment: str = "") -> None:
        """Open a file at a width in CSS pixels, and wait until it is loaded."""
        phone = width < 600
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.prefer(**{"color-scheme": "dark" if dark else "light"})
        address = page.as_uri()
        # With the page in view only the fragment would change.
        self._ask("Page.navigate", url="about:blank")
        self._ask("Page.navigate", url=f"{address}#{fragment}" if fragment else address)
        until = time.monotonic() + SECONDS
        loaded = f"document.readyState == 'complete' && location.href.startsWith({json.dumps(address)})"
        while not self.value(loaded):
            assert time.monotonic() < until, "the page did not load"
            time.sleep(0.02)

    def prefer(self, media: str = "", **features: str) -> None:
        """Set the medium (``"print"``) and media features."""
        found = [{"name": f"prefers-{name}", "value": value} for name, value in features.items()]
        self._ask("Emulation.setEmulatedMedia", media=media, features=found)

    def value(self, expression: str) -> Any:
        """The value of an expression of JavaScript, which may be a promise."""
        answer = self._ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str, code: int = 0, modifiers: int = 0) -> None:
        """Press a key as a person does, e.g. ``press("Tab", 9)``."""
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        about: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        self._ask("Input.dispatchKeyEvent", type="keyDown", **about, **text)
        self._ask("Input.dispatchKeyEvent", type="keyUp", **about)

    def picture(self, path: Path, *, whole: bool = False, clip: dict[str, float] | None = None) -> Path:
        """Write the page as PNG: what is in view, the whole page, or a part (``x y width height``)."""
        options: dict[str, Any] = {"captureBeyondViewport": whole or clip is not None}
        if clip:
            options["clip"] = {**clip, "scale": 1}
        elif whole:
            size = self._ask("Page.getLayoutMetrics")["cssContentSize"]
            options["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        path.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot", **options)["data"]))
        return path

    def pdf(self, path: Path) -> Path:
        """Print the page."""
        path.write_bytes(base64.b64decode(self._ask("Page.printToPDF", printBackground=True)["data"]))
        return path

    def downloads(self, directory: Path) -> None:
        """Keep downloads in a directory."""
        self._ask("Page.setDownloadBehavior", behavior="allow", downloadPath=str(directory))

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._commands, data) :]
        for answer in self._messages():
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer.get("method", ""), answer.get("params", {}))
        raise AssertionError("the browser has ended")

    def _messages(self) -> Iterator[dict[str, Any]]:
        while True:
            while b"\0" not in self._rest:
                found = os.read(self._answers, 1 << 16)
                if not found:
                    return
                self._rest += found
            line, _, self._rest = self._rest.partition(b"\0")
            yield json.loads(line)

    def _note(self, method: str, about: dict[str, Any]) -> None:
        match method:
            case "Runtime.consoleAPICalled":
                self.console.append(" ".join(str(one.get("value", one.get("description"))) for one in about["args"]))
            case "Runtime.exceptionThrown":
                self.console.append(about["exceptionDetails"].get("exception", {}).get("description", "error"))
            case "Log.entryAdded":
                self.console.append(about["entry"]["text"])
            case "Network.requestWillBeSent" if about.get("type") != "Document":
                self.requests.append(about["request"]["url"])


@contextmanager
def opened(home: Path) -> Iterator[Browser]:
    """A browser with a profile directory, cut off from every host name; it ends with the block."""
    home.mkdir(parents=True, exist_ok=True)
    pipes = [*os.pipe(), *os.pipe()]
    # Chromium reads commands from descriptor 3 and answers on descriptor 4, which may be taken here.
    theirs, commands, answers, ours = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in pipes)
    for end in pipes:
        os.close(end)

    def connect() -> None:
        os.dup2(theirs, 3)
        os.dup2(ours, 4)

    process = subprocess.Popen(
        [str(CHROMIUM), *OPTIONS, f"--user-data-dir={home}", "about:blank"],
        preexec_fn=connect, pass_fds=(3, 4), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,  # noqa: PLW1509
        start_new_session=True, env=os.environ | {"HOME": str(home)},
    )  # fmt: skip
    os.close(theirs)
    os.close(ours)
    try:
        yield Browser(commands, answers)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(commands)
        os.close(answers)
