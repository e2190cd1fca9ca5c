"""A page's bases, pictures and visitors, small enough for tests; and a page that is up, for a browser."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tiny

from lvtune.demo.questions import Limits
from lvtune.demo.shared_bases import SharedBase
from lvtune.demo.visitor import Visitor
from lvtune.prediction.drawings import png

ONE, TWO = "one", "two"
LIMITS = Limits(pixels=1_000_000, megabytes=1, seconds=0.5)


def shared_base(seed: int = 0) -> SharedBase:
    """A tiny base with two adapters that change its answers: the first reads sentences, the second does not."""
    shared = SharedBase("vitpose-tiny", tiny.tiny_base(seed))
    shared.add(ONE, tiny.make_adapter("vlpose", shared.view, stirred=0.3, seed=1))
    shared.add(TWO, tiny.make_adapter("lora", shared.view, stirred=0.3, seed=2))
    return shared


def visitor(adapter: str | None = None, is_on: bool = True) -> Visitor:
    return Visitor("vitpose-tiny", adapter, is_on)


def pixels(seed: int = 0, size: tuple[int, int] = (96, 120)) -> np.ndarray:
    """(H, W, 3) uint8; smooth, so that a JPEG of it is nearly the same."""
    rough = np.random.default_rng(seed).integers(0, 255, (6, 5, 3)).astype(np.uint8)
    rows, columns = (np.linspace(0, n - 1, m).astype(int) for n, m in zip(rough.shape, size, strict=False))
    return np.ascontiguousarray(rough[rows][:, columns])


def picture(folder: Path, seed: int = 0, name: str = "photo.png") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(png(pixels(seed)))
    return str(folder / name)


def need_gradio() -> None:
    """Skips a test where Gradio is not installed."""
    if importlib.util.find_spec("gradio") is None:
        pytest.skip("gradio is not installed: pip install 'lvtune[demo]'")


@dataclass
class RunningPage:
    """A page that `lvtune demo` serves in a process of its own: Gradio leaves sockets open when it ends."""

    url: str
    folder: Path
    process: subprocess.Popen

    @property
    def said(self) -> str:
        """What it has printed so far."""
        return (self.folder / "said.txt").read_text()

    @property
    def reached(self) -> str:
        """Other machines that it asked anything of."""
        return (self.folder / "reached.txt").read_text()

    @property
    def kept(self) -> list[Path]:
        """Files that it keeps now."""
        return [path for path in (self.folder / "tmp").rglob("*") if path.is_file()]

    def stop(self) -> int:
        """Stops it as Ctrl-C does; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


_GUARDED = """
import signal, socket, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
file, own = open(sys.argv[1], "w", buffering=1), ("127.0.0.1", "::1", "localhost", None)
connect, look_up = socket.socket.connect, socket.getaddrinfo
def guarded_connect(self, address):
    if isinstance(address, tuple) and address[0] not in own:
        print(address, file=file)
        raise ConnectionRefusedError("only this machine")
    return connect(self, address)
def guarded_look_up(host, *args, **kwargs):
    if host not in own:
        print(host, file=file)
        raise socket.gaierror("only this machine")
    return look_up(host, *args, **kwargs)
socket.socket.connect, socket.getaddrinfo = guarded_connect, guarded_look_up
from lvtune.cli.main import main
raise SystemExit(main(sys.argv[2:]))
"""


def free_port() -> int:
    """Returns a port of this machine that nothing listens to."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextlib.contextmanager
def running_page(folder: Path, *argv: str) -> Iterator[RunningPage]:
    """Runs `lvtune demo`; what it asks of other machines fails and is written down."""
    need_gradio()
    (folder / "tmp").mkdir(parents=True)
    root = str(Path(__file__).parents[1])
    env = {**os.environ, "TMPDIR": str(folder / "tmp"), "OMP_NUM_THREADS": "1", "PYTHONPATH": root}
    env |= {"no_proxy": "127.0.0.1,localhost", "NO_PROXY": "127.0.0.1,localhost"}
    # a port of its own: two processes of the tests may start a page at the same moment
    port = () if "--port" in argv else ("--port", str(free_port()))
    command = [sys.executable, "-c", _GUARDED, str(folder / "reached.txt"), "demo", *argv, *port]
    with (folder / "said.txt").open("w") as said:
        process = subprocess.Popen(command, env=env, stdout=said, stderr=said, stdin=subprocess.DEVNULL)
    page = RunningPage("", folder, process)
    try:
        while (found := re.search(r"http://127\.0\.0\.1:\d+/", page.said)) is None:
            assert process.poll() is None, page.said
            time.sleep(0.1)
        page.url = found[0]
        yield page
    finally:
        if process.poll() is None:
            page.stop()


CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)


@contextlib.contextmanager
def a_browser() -> Iterator:
    """Headless Chromium, driven by Playwright, that reaches 127.0.0.1 alone; skips where it is missing."""
    need_gradio()
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("playwright is not installed: pip install 'lvtune[test]'")
    if not CHROMIUM:
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    home = tempfile.mkdtemp(prefix="lvtune-chromium-")
    flags = ["--no-sandbox", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    flags += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]  # a camera that shows a clock
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=flags, env={**os.environ, "HOME": home})
        try:
            yield browser
        finally:
            browser.close()
            shutil.rmtree(home, ignore_errors=True)
