"""``lvtune``: finds the command, runs it, and turns what goes wrong into one line and an exit code."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Sequence

import lvtune
from lvtune.cli.parser import CommandLineError
from lvtune.core.errors import LvtuneError
from lvtune.core.registry import suggest
from lvtune.core.threads import settle_threads

COMMANDS = {
    "adapt": "tune an adapter for a frozen base on a domain, and report before and after",
    "evaluate": "score a base, with or without an adapter",
    "predict": "key points of a picture or of a folder of pictures, drawn and as JSON",
    "compare": "methods, numbers of pictures and seeds on one base and domain, in one table",
    "inspect": "what an adapter is, what it was tuned on and how it scores",
    "list": "names of bases, methods, domains, text encoders, recipes and skeletons",
    "check-data": "what a data set holds and what is wrong with it",
    "select": "w and lambda 3 of text-contrast by cross-validation on the source alone",
    "figure": "what a joint encoder makes of source, target and sentences: a map, or pictures ranked",
    "reproduce": "a publication's table: its figures, ours where run, and what a run needs",
    "convert": "released VLPose and original ViTPose checkpoints in our form",
    "export": "a base, alone or with an adapter, as an ONNX file or a folder for transformers",
    "combine": "an adapter made of adapters: their average, their sum, or all at once",
    "push": "give an adapter away: to the Hub, with a model card",
    "pull": "get an adapter from the Hub into a folder",
}

_QUIET = {
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``lvtune argv``.

    Returns:
        0 done; 1 it failed; 2 bad usage; 130 interrupted.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in argv
    try:
        return _run(argv, debug)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader of our output has gone; nothing is left to flush to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            traceback.print_exc()
        told = _explain(error)
        line = " ".join(f"{told.given}; expected {told.expected}; {told.fix}".split())
        print(f"error: {line}", file=sys.stderr)
        return 2 if isinstance(told, CommandLineError) else 1


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
    module = importlib.import_module(f"lvtune.cli.{name.replace('-', '_')}")
    args = module.parser(argv, COMMANDS[name]).parse(argv)
    # whatever a library prints goes to stderr, so that stdout holds our answer alone
    with contextlib.redirect_stdout(sys.stderr):
        outcome = module.run(args)
    if os.environ.get("RANK", "0") == "0":
        from lvtune.cli.output import to_json

        print(to_json(outcome.values) if args.json else outcome.text, flush=True)
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
            "Tunes a small language-vision adapter on a frozen pose estimator, and takes it off again.",
            "",
            *rows,
            "",
            "`lvtune COMMAND --help` shows a command's options; `lvtune adapt` alone does the main job",
            "on what ships with the package.",
        ]
    )


def _explain(error: Exception) -> LvtuneError:
    """Any exception in three parts."""
    if isinstance(error, LvtuneError):
        return error
    reason = f"{type(error).__name__}: {error}".rstrip(": ")
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return LvtuneError(reason, "enough memory", "lower --train.batch-size or --evaluate.batch-size")
    if isinstance(error, OSError) and error.filename is not None:
        given = f"{error.filename}: {(error.strerror or str(error)).lower()}"
        return LvtuneError(given, "a file or folder that can be read or written", "choose another path")
    return LvtuneError(reason, "no such failure", "add --debug to see where it happened")
