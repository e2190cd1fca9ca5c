"""``lvtune doctor``: checks the installation.

It imports no torch itself, so that it also helps where torch is broken.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from lvtune.cli.outcome import Outcome
from lvtune.cli.output import outline, table
from lvtune.cli.parser import Parser
from lvtune.core.errors import LvtuneError


def parser(argv: Sequence[str], summary: str) -> Parser:
    """Adds the option that leaves the slow part out."""
    result = Parser("doctor", summary)
    result.add_argument("--no-device", action="store_true", help="do not start torch to look for devices; about 1 s")
    return result


def run(args: argparse.Namespace) -> Outcome:
    """Collects the facts, and fails if something that every command needs is missing or does not match."""
    from lvtune.core.installation import examine

    values = examine(devices=not args.no_device)
    problems = values["problems"]
    failure = None
    if problems:
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        failure = LvtuneError(first["given"] + more, first["expected"], first["fix"])
    return Outcome(values, _text(values), failure)


def _text(values: Mapping[str, Any]) -> str:
    packages = [[p["name"], p["version"], p["needs"], p["state"]] for p in values["packages"]]
    extras = [[e["extra"], e["for"], "ready" if e["ready"] else f"missing: {', '.join(e['missing'])}", e["fix"]]
              for e in values["extras"]]  # fmt: skip
    found = [f"{p['given']}; expected {p['expected']}; {p['fix']}" for p in values["problems"]]
    return "\n\n".join(
        [
            outline(values["system"]),
            table(["package", "version", "needed", ""], packages, left=(0, 1, 2, 3)),
            outline({"device": values["device"], "threads": values["threads"], "caches": values["caches"]}),
            table(["extra", "what it is for", "", "to install"], extras, left=(0, 1, 2, 3)),
            "\n".join(["problems:", *(f"- {line}" for line in found)]) if found else "no problem found",
        ]
    )
