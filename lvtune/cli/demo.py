"""``lvtune demo``: serves a page in the browser."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from lvtune.cli.outcome import Outcome, say
from lvtune.cli.parser import Parser, add_options, from_args


@dataclass(frozen=True)
class DemoCommand:
    """Options of ``lvtune demo``."""

    base: tuple[str, ...] = field(default=(), metadata={"repeats": True})
    """A base to offer; repeat --base for several. Without it: the bases that the adapters were made for, or
    vitpose-ti."""
    weights: str = "pretrained"
    """Weights of the bases: pretrained, random, a path or a Hub id."""
    device: str = "auto"
    """Device to compute on: auto, cpu, cuda, cuda:1, mps."""
    host: str = "127.0.0.1"
    """Address to bind to. With 0.0.0.0 other computers can open the page, without a password."""
    port: int | None = field(default=None, metadata={"at_least": 1, "at_most": 65535})
    """Port to bind to. None: the first free one from 7860."""
    max_pixels: int = field(default=50_000_000, metadata={"at_least": 1})
    """Pictures with more pixels, and videos with more pixels a frame, are refused."""
    max_megabytes: int = field(default=100, metadata={"at_least": 1})
    """Larger files are not taken."""
    seconds: float = field(default=10.0, metadata={"above": 0})
    """Seconds of a video that are predicted, from its beginning."""
    keep_minutes: float = field(default=30.0, metadata={"above": 0})
    """Uploads and results are deleted after this time, and when the page is stopped."""


def parser(argv: Sequence[str], summary: str) -> Parser:
    """Adds the adapters and the options of :class:`DemoCommand`."""
    result = Parser("demo", summary)
    words = "folder or Hub id of an adapter that can be attached on the page. Without any: one that ships with lvtune"
    result.add_argument("adapters", nargs="*", metavar="ADAPTER", help=words)
    add_options(result, DemoCommand)
    return result


def run(args: argparse.Namespace) -> Outcome:
    """Serves the page until Ctrl-C."""
    command: DemoCommand = from_args(args, DemoCommand)
    from lvtune.demo.questions import Limits
    from lvtune.demo.serving import free_port, load_gradio, serving
    from lvtune.demo.shared_bases import open_bases

    load_gradio()  # what is missing or taken is told before models are loaded
    port = free_port(command.host, command.port)
    bases = open_bases(args.adapters, command.base, weights=command.weights, device=command.device)
    limits = Limits(command.max_pixels, command.max_megabytes, command.seconds, command.keep_minutes)
    offered = [f"{base.title}: {', '.join(base.adapters) or 'no adapter'}" for base in bases.values()]
    try:
        with serving(bases, limits, host=command.host, port=port) as served:
            say("\n".join(offered))
            # with --quiet too: it is what the command is for
            print(f"open {served.url} in a browser; Ctrl-C stops the page", file=sys.stderr, flush=True)
            wait()
    finally:
        for base in bases.values():
            base.close()
    values = {"url": served.url, "bases": {base: list(shared.adapters) for base, shared in bases.items()}}
    return Outcome(values, "stopped; uploads and results are deleted")


def wait() -> None:
    """Returns at Ctrl-C, which is how the page is stopped."""
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return
