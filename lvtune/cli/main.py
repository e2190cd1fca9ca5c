"""``lvtune``: finds the command, runs it, and turns every failure into one line and an exit code."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import NoReturn

import lvtune
from lvtune.cli.colour import RED, in_colour
from lvtune.cli.parser import CommandLineError
from lvtune.core.errors import LvtuneError
from lvtune.core.registry import suggest
from lvtune.core.text import one_line, printable
from lvtune.core.threads import settle_threads
from lvtune.core.work_progress import quiet

COMMANDS = {
    "adapt": "tune an adapter for a frozen base on a domain, and report the scores before and after",
    "evaluate": "score a base, with or without an adapter",
    "predict": "find the key points in a picture or a folder of pictures; draw them and write them as JSON",
    "next": "choose the pictures of a pool to label next, and predict them for a person to correct",
    "compare": "run several methods, numbers of pictures and seeds on one base and domain; one table of all",
    "inspect": "show what an adapter file holds: method, base, training, scores",
    "list": "list the names of bases, methods, domains, text encoders, recipes, skeletons and more",
    "check-data": "show what a data set holds, and what is wrong with it",
    "select": "choose the options w and weight of text-contrast by cross-validation on the source domain",
    "figure": "draw how a joint encoder sees source, target and sentences: as a map, or as ranked pictures",
    "reproduce": "show the figures of a publication's table beside ours; run the rows that have no figures of ours yet",
    "init-domain": "write a YAML file that describes your own pictures as a domain, for you to check and change",
    "convert": "convert checkpoints of other projects to lvtune's format, or labels of other tools to COCO's",
    "export": "write a base, alone or with an adapter, as an ONNX file or as a folder for transformers",
    "combine": "make one adapter of several: their average, their sum, or a stack",
    "push": "upload an adapter to the Hugging Face Hub, with a model card",
    "pull": "download an adapter from the Hugging Face Hub into a folder",
    "demo": "show a page in the browser that finds key points with and without an adapter",
    "doctor": "check the installation: versions, device, threads, caches, and what is missing for what",
    "completion": "print the script that makes a shell complete commands and options on the Tab key",
}

_QUIET = {
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
}


class Terminated(BaseException):
    """The process got SIGTERM; like KeyboardInterrupt, it is no error that code on the way may catch."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``lvtune argv``.

    Returns:
        The exit code: 0 done; 1 it failed; 2 bad usage; 130 interrupted (Ctrl-C); 143 terminated (SIGTERM).
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    _settle_streams()
    debug = "--debug" in argv
    if "_ARGCOMPLETE" in os.environ:  # a shell asks what may come next
        from lvtune.cli.completion import complete

        complete(COMMANDS)
    try:
        with _sigterm_raises(), _log_on_stderr():
            return _run(argv, debug)
    except KeyboardInterrupt:
        more = "; the same command with --resume goes on from the last checkpoint, if one was written"
        print(f"interrupted{more if argv[:1] == ['adapt'] else ''}", file=sys.stderr)
        return 130
    except Terminated:
        print("terminated", file=sys.stderr)
        return 143
    except BrokenPipeError:
        # the reader of our output has gone; nothing is left to flush to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            traceback.print_exc()
        print(f"{in_colour('error:', RED, sys.stderr)} {_explain(error, debug)}", file=sys.stderr)
        return 2 if isinstance(error, CommandLineError) else 1


def _settle_streams() -> None:
    """Lets every character be printed: a code page of Windows, or LANG=C, has no sign for many of them."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower().replace("-", "") != "utf8":
            stream.reconfigure(errors="backslashreplace")


def _run(argv: list[str], debug: bool) -> int:
    words = [token for token in argv if token != "--debug"]
    if not words:
        raise CommandLineError("no command", f"one of {', '.join(COMMANDS)}", "type `lvtune --help`")
    if words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"lvtune {lvtune.__version__}")
        return 0
    if words[0] not in COMMANDS:
        fix = suggest(words[0], list(COMMANDS), "type `lvtune --help`")
        raise CommandLineError(f"unknown command '{words[0]}'", f"one of {', '.join(COMMANDS)}", fix)
    settle_threads()
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    with warnings.catch_warnings():
        if not debug:
            warnings.simplefilter("ignore")
        return _command(words[0], words[1:])


def _command(name: str, argv: list[str]) -> int:
    from lvtune.cli.user_code import import_files

    import_files(argv)
    module = importlib.import_module(f"lvtune.cli.{name.replace('-', '_')}")
    args = module.parser(argv, COMMANDS[name]).parse(argv)
    # whatever a library prints goes to stderr, so that stdout holds our answer alone
    with contextlib.redirect_stdout(sys.stderr), quiet(args.quiet):
        outcome = module.run(args)
    if os.environ.get("RANK", "0") == "0":
        from lvtune.cli.output import to_json

        print(to_json(outcome.values) if args.json else printable(outcome.text), flush=True)
    if outcome.failure is not None:
        raise outcome.failure
    return 0


def _help() -> str:
    width = max(map(len, COMMANDS)) + 2
    rows = [f"  {name:<{width}}{summary}" for name, summary in COMMANDS.items()]
    return "\n".join(
        [
            "usage: lvtune COMMAND [options]",
            "",
            "Tunes a small language-vision adapter for a frozen pose estimator. The estimator itself never changes.",
            "",
            *rows,
            "",
            "`lvtune COMMAND -h` shows the options of a command that matter most, `lvtune COMMAND --help` all of them.",
            "`lvtune adapt` without options runs the whole job on the data that ship with the package. Every command",
            "takes --json (print one JSON object), --quiet (show no progress), --import FILE (run a Python file of",
            "your own first, such as one that registers a method) and --debug (show tracebacks).",
        ]
    )


def _explain(error: Exception, debug: bool) -> str:
    """Returns what to say about any exception, in one line."""
    if isinstance(error, LvtuneError):
        return one_line(f"{error.given}; expected {error.expected}; {error.fix}")
    reason = f"{type(error).__name__}: {error}".rstrip(": ")
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return one_line(f"{reason}; expected enough memory; lower --train.batch-size or --evaluate.batch-size")
    if isinstance(error, OSError) and error.filename is not None:
        given = f"{error.filename}: {(error.strerror or str(error)).lower()}"
        return one_line(f"{given}; expected a file or folder that can be read or written; choose another path")
    report = "the traceback above" if debug else "the traceback that --debug prints"
    return one_line(f"internal error ({reason}); please report it with the command and {report}")


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Inside, SIGTERM ends the process like Ctrl-C: files are closed, temporary ones removed, one line is printed."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    process = os.getpid()

    def stop(number: int, frame: object) -> NoReturn:
        if os.getpid() != process:
            os._exit(128 + number)  # a child that reads pictures, ended by its parent
        signal.signal(number, signal.SIG_DFL)  # a second SIGTERM ends at once
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)


@contextlib.contextmanager
def _log_on_stderr() -> Iterator[None]:
    """Inside, what lvtune logs stands on stderr, one line for each message, without control characters."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine())
    log = logging.getLogger("lvtune")
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Returns the message as one line."""
        return one_line(record.getMessage())
