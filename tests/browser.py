"""A page in headless Chromium, by its own protocol over a pipe: what it shows, asks for and complains of."""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

needs_browser = pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium here (.ci/browser installs it)")

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"),
    *("--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-component-update"),
    *("--mute-audio", "--disable-sync", "--remote-debugging-pipe"),
)
BY_3_AND_4 = """
import fcntl, os, sys
given = [fcntl.fcntl(int(pipe), fcntl.F_DUPFD, 10) for pipe in sys.argv[1:3]]
for pipe, number in zip(given, (3, 4)):
    os.dup2(pipe, number)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Becomes the browser, which takes commands by 3 and answers by 4."""


class Browser:
    """One page. asked: the addresses that it asked for, but for its own data; complaints: of its console and log."""

    def __init__(self, process: "subprocess.Popen[bytes]", into: int, out: int) -> None:
        self._process, self._into, self._out = process, into, out
        self._buffer, self._count, self._session = b"", 0, ""
        self.asked: list[str] = []
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask the browser, and wait for its answer."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._into, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._count:
            self._hear(answer)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def open(self, address: str, *, width: int = 1200, height: int = 900, mobile: bool = False) -> None:
        """Show a page in a window of this size, and wait until all of it is there."""
        self.resize(width, height, mobile=mobile)
        self.call("Page.navigate", url=address)
        while self.value("document.readyState") != "complete" or self.value("location.href") == "about:blank":
            time.sleep(0.05)

    def resize(self, width: int, height: int = 900, *, mobile: bool = False) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def show_as(self, **media: str) -> None:
        """E.g. prefers_color_scheme="dark", or media="print"."""
        features = [{"name": key.replace("_", "-"), "value": value} for key, value in media.items() if key != "media"]
        self.call("Emulation.setEmulatedMedia", media=media.get("media", ""), features=features)

    def value(self, expression: str) -> Any:
        """What a piece of JavaScript comes to."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait_for(self, expression: str, *, within_s: float = 120) -> Any:
        """What a piece of JavaScript comes to, once that is something: pages that fetch what they show take a while."""
        deadline = time.monotonic() + within_s
        while not (found := self.value(expression)):
            shown = self.value("document.body.innerText")
            assert time.monotonic() < deadline, f"{expression} came to nothing within {within_s} s; seen is: {shown}"
            time.sleep(0.05)
        return found

    def wait_for_text(self, *texts: str) -> None:
        """Until all of these are to be read on the page."""
        for text in texts:
            self.wait_for(f"document.body.innerText.includes({json.dumps(text)})")

    def click(self, selector: str) -> None:
        """Click with the mouse on the first element that a CSS selector finds, once it is there."""
        box = f"JSON.stringify(document.querySelector({json.dumps(selector)})?.getBoundingClientRect())"
        place = json.loads(self.wait_for(box))
        at = {"x": place["x"] + place["width"] / 2, "y": place["y"] + place["height"] / 2}
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)

    def screenshot(self, path: Path, *, whole: bool = True) -> Path:
        taken = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(taken["data"]))
        return path

    def close(self) -> None:
        self._session = ""
        with suppress(OSError, AssertionError, EOFError):
            self.call("Browser.close")
        for pipe in (self._into, self._out):
            os.close(pipe)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._out, 1 << 20)
            if not part:
                raise EOFError("the browser has ended")
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def _hear(self, event: Mapping[str, Any]) -> None:
        about = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                address = about["request"]["url"]
                self.asked += [] if address.startswith("data:") else [address]
            case "Runtime.consoleAPICalled":
                said = " ".join(str(one.get("value", one.get("description"))) for one in about["args"])
                self.complaints.append(f"{about['type']}: {said}")
            case "Runtime.exceptionThrown":
                self.complaints.append(str(about["exceptionDetails"].get("text")))
            case "Log.entryAdded":
                entry = about["entry"]
                said = f"{entry['level']}: {entry['text']} {entry.get('url', '')}"
                self.complaints.append(said.strip())


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium with a profile of its own, that ends with it."""
    assert PROGRAM is not None
    to_it, into = os.pipe()
    out, from_it = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [sys.executable, "-c", BY_3_AND_4, str(to_it), str(from_it), PROGRAM, *FLAGS, f"--user-data-dir={profile}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(to_it, from_it),
        )
        for pipe in (to_it, from_it):
            os.close(pipe)
        shown = Browser(process, into, out)
        try:
            yield shown
        finally:
            shown.close()
