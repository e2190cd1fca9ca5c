"""Serves the page: no request leaves this machine, and no file stays behind."""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from lvtune.core.errors import UsageError
from lvtune.demo.answer_files import VisitorFolders
from lvtune.demo.demo_events import Events
from lvtune.demo.demo_page import CSS, lay_out
from lvtune.demo.questions import Limits
from lvtune.demo.shared_bases import SharedBase

LOOPBACK = ("127.0.0.1", "localhost")
FIRST_PORT, PORTS = 7860, 100
_FONTS = ["ui-sans-serif", "system-ui", "sans-serif"]
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
"""Content-Security-Policy: whatever a later Gradio puts into the page, the browser asks this server alone."""
_WAITING = 32
"""Requests that may wait."""


@dataclass(frozen=True)
class Served:
    """A page that is up."""

    url: str
    page: Any
    """The Gradio blocks."""
    folder: Path
    """Holds all uploads and results; it is deleted when the page ends."""


def load_gradio() -> ModuleType:
    """Imports Gradio with its telemetry off.

    Raises:
        UsageError: it is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        return importlib.import_module("gradio")
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("gradio", ""):
            given = f"gradio without the package {error.name}"
        else:
            given = "lvtune demo without gradio"
        raise UsageError(given, "the package gradio", "type `pip install 'lvtune[demo]'`") from error


@contextlib.contextmanager
def serving(
    bases: Mapping[str, SharedBase], limits: Limits, *, host: str = "127.0.0.1", port: int | None = None
) -> Iterator[Served]:
    """Serves the page inside the block.

    Args:
        bases: see :func:`lvtune.demo.shared_bases.open_bases`.
        limits: what one visitor may ask for.
        host: address to bind to; one other than 127.0.0.1 lets other computers in.
        port: None: the first free one from 7860.

    Raises:
        UsageError: Gradio is not installed; the port is taken; no such address.
    """
    gr = load_gradio()
    number = free_port(host, port)
    with _own_folder() as folder:
        results = folder / "results"
        results.mkdir()
        folders = VisitorFolders(results, 60 * limits.minutes)
        page = build(gr, bases, limits, folders)
        page.queue(max_size=_WAITING, default_concurrency_limit=1)
        _launch(gr, page, host, number, limits, results)
        over = threading.Event()
        threading.Thread(target=_sweep, args=(folders, over, limits), daemon=True, name="lvtune-demo-sweep").start()
        try:
            yield Served(f"http://{_in_url(host)}:{number}/", page, folder)
        finally:
            over.set()
            page.close(verbose=False)


def _sweep(folders: VisitorFolders, over: threading.Event, limits: Limits) -> None:
    """Deletes old results now and then; Gradio does so with uploads."""
    while not over.wait(10 * limits.minutes):
        folders.sweep()


def build(gr: Any, bases: Mapping[str, SharedBase], limits: Limits, folders: VisitorFolders) -> Any:
    """Returns the Gradio blocks of the page."""
    kept = max(1, round(60 * limits.minutes))
    with gr.Blocks(title="lvtune demo", analytics_enabled=False, delete_cache=(max(1, kept // 6), kept)) as page:
        parts = lay_out(gr, bases, limits)
        for upload in (parts.picture.upload, parts.video.upload):
            # lvtune reads the file itself, with its own limits and messages
            upload.preprocess = lambda payload: None if payload is None else payload.path
        Events(gr, parts, bases, limits, folders).connect()

        def leave(request: Any) -> None:
            folders.forget(str(request.session_hash))

        leave.__annotations__["request"] = gr.Request
        page.unload(leave)
    return page


def _launch(gr: Any, page: Any, host: str, port: int, limits: Limits, results: Path) -> None:
    middleware = importlib.import_module("starlette.middleware").Middleware  # comes with Gradio
    guards = [middleware(_PageHeaders)]
    if host in LOOPBACK:  # a web site whose name leads to 127.0.0.1 is no name of ours
        trusted = importlib.import_module("starlette.middleware.trustedhost").TrustedHostMiddleware
        guards.append(middleware(trusted, allowed_hosts=list(LOOPBACK)))
    theme = gr.themes.Default(font=_FONTS, font_mono=["monospace"]).set(
        block_info_text_color="*neutral_600", block_info_text_color_dark="*neutral_300"
    )
    try:
        page.launch(
            server_name=host, server_port=port, share=False, inbrowser=False, prevent_thread_lock=True, quiet=True,
            show_error=False, footer_links=[], run_history=False, enable_monitoring=False, ssr_mode=False, pwa=False,
            mcp_server=False, max_file_size=limits.megabytes * 2**20, allowed_paths=[str(results)],
            state_session_capacity=1000, css=CSS, theme=theme,
            app_kwargs={"middleware": guards, "docs_url": None, "redoc_url": None, "openapi_url": None},
        )  # fmt: skip
    except OSError as error:
        raise UsageError(f"port {port} of {host}: {error}", "a free port", f"give --port {port + 1}") from error


def free_port(host: str, port: int | None) -> int:
    """Returns a port that can be bound.

    Raises:
        UsageError: the port is taken; all are; no such address.
    """
    wanted = range(FIRST_PORT, FIRST_PORT + PORTS) if port is None else [port]
    reason: OSError | None = None
    for number in wanted:
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                if sys.platform != "win32":  # there it would let a port be taken twice
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, number))
                return number
        except OSError as error:
            reason = error
            if isinstance(error, socket.gaierror) or "assign" in str(error):
                given = f"--host {host}: {(error.strerror or str(error)).lower()}"
                raise UsageError(given, "an address of this computer", "leave --host out") from error
    where = f"port {port}" if port is not None else f"ports {FIRST_PORT} to {FIRST_PORT + PORTS - 1}"
    given = f"{where} of {host}: {((reason and reason.strerror) or str(reason)).lower()}"
    raise UsageError(given, "a free port", f"give --port {(port or FIRST_PORT + PORTS) + 1}")


def _in_url(host: str) -> str:
    """The address as a browser on this computer takes it."""
    if host in ("0.0.0.0", "", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


@contextlib.contextmanager
def _own_folder() -> Iterator[Path]:
    """Makes a folder for this page alone, in which Gradio puts uploads too, and deletes it at the end."""
    before = os.environ.get("GRADIO_TEMP_DIR")
    with tempfile.TemporaryDirectory(prefix="lvtune-demo-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        os.environ["GRADIO_TEMP_DIR"] = str(folder / "uploads")
        try:
            yield folder
        finally:
            if before is None:
                del os.environ["GRADIO_TEMP_DIR"]
            else:
                os.environ["GRADIO_TEMP_DIR"] = before


class _PageHeaders:
    """Adds the headers that keep the browser's requests on this server."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-security-policy", _POLICY.encode()), (b"referrer-policy", b"no-referrer"),
                   (b"x-content-type-options", b"nosniff")]  # fmt: skip

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *headers]}
            await send(message)

        await self._app(scope, receive, with_headers)
