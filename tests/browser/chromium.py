"""Drives a headless Chromium by its DevTools protocol over a pipe: https://chromedevtools.github.io/devtools-protocol.

A message is a JSON object that ends in a NUL; Chromium reads its file descriptor 3 and writes to 4.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from harness import deadline

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
SECONDS = 60.0
"""Seconds that an answer may take on a busy machine."""


class BrowserError(Exception):
    """Chromium ended, or a call failed; its words."""


class Tab:
    """One page in a browser. Evaluated expressions must have a JSON value."""

    def __init__(self, browser: "Browser", session: str) -> None:
        self._browser = browser
        self._session = session
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **parameters)

    def open(self, path: Path, anchor: str = "") -> None:
        """Load a file, to its end."""
        self.call("Page.navigate", url="about:blank")  # else a change of the anchor alone would load nothing
        self._browser.wait("Page.loadEventFired")
        self.call("Page.navigate", url=f"{path.as_uri()}#{anchor}".rstrip("#"))
        self._browser.wait("Page.loadEventFired")

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited if it is a promise. Raises BrowserError if it throws."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(str(answer["exceptionDetails"].get("exception", {}).get("description", answer)))
        return answer["result"].get("value")

    def size(self, width: int, height: int) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def theme(self, name: str, media: str = "") -> None:
        """"light" or "dark", on a screen or on paper (media="print")."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)

    def picture(self, *, whole: bool = False) -> bytes:
        """A PNG of what the window shows, or of the whole page."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])

    def pdf(self) -> bytes:
        answer = self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True, paperWidth=8.27,
                           paperHeight=11.69)  # fmt: skip
        return base64.b64decode(answer["data"])

    @property
    def complaints(self) -> list[str]:
        """What the page has thrown, logged or asked of the network, so far."""
        return self._browser.complaints


class Browser:
    """A Chromium of this process alone, with an empty profile; ends with its context."""

    def __init__(self, profile: Path) -> None:
        ours, theirs = os.pipe(), os.pipe()
        ends = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (ours[0], theirs[1])]

        def wire() -> None:
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        options = ["--headless=new", "--remote-debugging-pipe", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
                   f"--user-data-dir={profile}", *["--no-sandbox"] * (os.geteuid() == 0)]  # fmt: skip
        self._process = subprocess.Popen(
            [PROGRAM, *options], pass_fds=(3, 4), preexec_fn=wire, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for fd in (ours[0], theirs[1], *ends):
            os.close(fd)
        self._out, self._in = ours[1], theirs[0]
        self._rest = b""
        self._number = 0
        self._events: list[str] = []
        self.complaints: list[str] = []

    def tab(self) -> Tab:
        """A new page."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        return Tab(self, self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """The answer to one call. Raises BrowserError."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": session} if session else {}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._message()).get("id") != self._number:
            self._note(answer)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']}")
        return dict(answer["result"])

    def wait(self, event: str) -> None:
        """Wait until this has happened since the last wait."""
        while event not in self._events:
            self._note(self._message())
        self._events.clear()

    def _note(self, message: dict[str, Any]) -> None:
        name, told = message.get("method", ""), message.get("params", {})
        self._events.append(name)
        if name == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(told["exceptionDetails"])[:400])
        elif name == "Log.entryAdded":
            self.complaints.append(told["entry"]["text"])
        elif name == "Network.requestWillBeSent" and not told["request"]["url"].startswith(("file:", "data:")):
            self.complaints.append(f"asked for {told['request']['url'][:200]}")

    def _message(self) -> dict[str, Any]:
        end = deadline.now() + SECONDS
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], max(0.0, end - deadline.now()))
            data = os.read(self._in, 1 << 20) if ready else b""
            if not data:
                raise BrowserError(f"{PROGRAM} {'ended' if ready else 'does not answer'}")
            self._rest += data
        one, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(one))

    def close(self) -> None:
        """End the browser."""
        for fd in (self._out, self._in):
            os.close(fd)
        self._process.terminate()
        try:
            self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def browser(profile: Path) -> Iterator[Tab]:
    """One page in a new browser."""
    with Browser(profile) as one:
        yield one.tab()
