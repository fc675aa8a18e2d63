"""A real browser without a window: Chromium, asked through the pipe of its DevTools, so that nothing else is needed."""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

# Debian calls it so, other systems otherwise.
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

_FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
)

# Seconds that a browser on a busy machine may take for one answer.
_PATIENCE = 60


def find_browser() -> str | None:
    """The path of a Chromium, or None where none is installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@dataclass
class Looked:
    """What a browser saw of a page.

    Attributes:
        problems: script errors, lines on the console, and what was asked of the network.
        broken: the alternative texts of pictures that are not drawn.
        overflow: pixels by which the page is wider than the window.
        screenshot: uint8 (height, width, 3), the whole page, red, green, blue.
    """

    problems: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    overflow: int = 0
    screenshot: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 3), np.uint8))


class Browser:
    """A running Chromium, one page at a time."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write
        self._buffer = b""
        self._number = 0
        self._events: list[dict] = []

    def look(self, page: Path, *, width: int = 1200, dark: bool = False, script: str = "") -> Looked:
        """Opens a page in a window of a width, in light or dark, and looks for what is wrong with it.

        Args:
            page: the file.
            width: of the window, in pixels.
            dark: whether the user prefers dark pages.
            script: what is done on the page before it is looked at.
        """
        self._events.clear()
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable", session)
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        self.ask("Emulation.setDeviceMetricsOverride", session, **size)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.ask("Emulation.setEmulatedMedia", session, features=scheme)
        address = page.resolve().as_uri()
        self.ask("Page.navigate", session, url=address)
        self._wait_for("Page.loadEventFired", session)
        if script:
            self.evaluate(script, session)
        looked = Looked()
        looked.broken = self.evaluate(
            "[...document.images].filter(i => !i.complete || !i.naturalWidth || !i.getBoundingClientRect().width)"
            ".map(i => i.alt || i.src.slice(0, 60))",
            session,
        )
        looked.overflow = self.evaluate(f"document.documentElement.scrollWidth - {width}", session)
        picture = self.ask("Page.captureScreenshot", session, captureBeyondViewport=True, clip=self._whole(session))
        pixels = cv2.imdecode(np.frombuffer(base64.b64decode(picture["data"]), np.uint8), cv2.IMREAD_COLOR)
        looked.screenshot = pixels[..., ::-1]
        looked.problems = [*filter(None, (_problem(event, session, address) for event in self._events))]
        self.ask("Target.closeTarget", targetId=target)
        return looked

    def _whole(self, session: str) -> dict:
        size = self.ask("Page.getLayoutMetrics", session)["cssContentSize"]
        return {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}

    def evaluate(self, expression: str, session: str) -> object:
        """The value of an expression of JavaScript on the page; promises are waited for."""
        found = self.ask("Runtime.evaluate", session, expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def ask(self, method: str, session: str | None = None, **arguments: object) -> dict:
        """What a method of the DevTools protocol gives."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": arguments}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._events.append(answer)

    def _wait_for(self, event: str, session: str) -> None:
        while not any(seen.get("method") == event and seen.get("sessionId") == session for seen in self._events):
            self._events.append(self._next())

    def _next(self) -> dict:
        """The next message of the browser."""
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], _PATIENCE)
            assert ready, "the browser does not answer"
            data = os.read(self._read, 1 << 20)
            assert data, "the browser ended"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)


def _problem(event: dict, session: str, address: str) -> str | None:
    """What is wrong with the page by an event, or None."""
    if event.get("sessionId") != session:
        return None
    method, given = event["method"], event["params"]
    if method == "Runtime.exceptionThrown":
        return f"script error: {given['exceptionDetails'].get('exception', given['exceptionDetails'])}"
    if method == "Runtime.consoleAPICalled":
        return f"console: {given['args']}"
    if method == "Log.entryAdded":
        return f"log: {given['entry']['text']}"
    if method == "Network.requestWillBeSent":
        asked = given["request"]["url"]
        return None if asked == address or asked.startswith("data:") else f"network: {asked}"
    return None


def check_page(browser: "Browser", page: Path, pictures: Path) -> None:
    """Fails when a page is not as it should be on a desk or on a phone, in light or dark; leaves screenshots.

    Args:
        browser: looks at the page.
        page: the file.
        pictures: the folder for the screenshots, PNG files by the page's name; THAWLINE_SCREENSHOTS names another one.
    """
    folder = Path(os.environ.get("THAWLINE_SCREENSHOTS", pictures))
    folder.mkdir(parents=True, exist_ok=True)
    brightness = {}
    for width in (1200, 375):
        for dark in (False, True):
            looked = browser.look(page, width=width, dark=dark)
            assert looked.problems == []
            assert looked.broken == []
            assert looked.overflow <= 0, f"{looked.overflow} px wider than a window of {width} px"
            pixels = looked.screenshot
            assert pixels.shape[1] == width and pixels.shape[0] >= 400
            # Paper and ink: a page that is blank has but one of them.
            assert np.ptp(pixels.astype(int)) > 150 and pixels.std() > 5
            brightness[width, dark] = float(np.median(pixels))
            name = f"{page.stem}-{width}-{'dark' if dark else 'light'}.png"
            assert cv2.imwrite(str(folder / name), pixels[..., ::-1])
    for width in (1200, 375):
        assert brightness[width, True] < 60 < 200 < brightness[width, False]


@contextlib.contextmanager
def open_browser() -> Iterator[Browser]:
    """A browser with an empty profile, which is ended and forgotten afterwards."""
    program = find_browser()
    assert program is not None
    # The browser reads from its descriptor 3 and writes to 4; ours must not lie there.
    (its_read, our_write), (our_read, its_write) = _pipe(), _pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = os.posix_spawn(
            program,
            [program, *_FLAGS, f"--user-data-dir={profile}"],
            {**os.environ, "HOME": profile},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, its_read, 3),
                (os.POSIX_SPAWN_DUP2, its_write, 4),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
            setsid=True,
        )
        os.close(its_read)
        os.close(its_write)
        try:
            yield Browser(our_read, our_write)
        finally:
            # Without its pipe the browser ends by itself.
            os.close(our_write)
            os.close(our_read)
            _wait(process)


def _pipe() -> tuple[int, int]:
    """The two ends of a pipe, to read from and to write to, numbered from 10 on."""
    low = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in low]
    for end in low:
        os.close(end)
    return high[0], high[1]


def _wait(process: int) -> None:
    """Waits for the end of a process, and makes it end where it does not."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if os.waitpid(process, os.WNOHANG)[0]:
            return
        time.sleep(0.05)
    os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
