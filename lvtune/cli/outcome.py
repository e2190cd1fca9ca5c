"""What a command hands back to :func:`lvtune.cli.main.main`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from lvtune.api.recipe import Recipe
from lvtune.config.options import DataOptions
from lvtune.core.errors import LvtuneError
from lvtune.core.text import printable


@dataclass(frozen=True)
class Outcome:
    """An answer for programs and for people."""

    values: dict[str, Any]
    """What ``--json`` prints."""
    text: str
    """What is printed otherwise."""
    failure: LvtuneError | None = None
    """What was found wrong, if the answer is given all the same; exit code 1."""


def say(text: str) -> None:
    """A line about what is being done, on stderr."""
    print(printable(text), file=sys.stderr, flush=True)


def choose_domain(given: str | None, data: DataOptions, found: dict[str, Any]) -> str:
    """The domain typed; else own data where annotations are given; else the adapter's; else the default.

    The default domain ships with the package, so ``--data`` alone means own data there.
    """
    adapters = found.get("domain", Recipe.domain)
    if given is None and (data.annotations or (data.data and adapters == Recipe.domain)):
        return "custom"
    if given is None and data.data and not _is_known(adapters):
        return "custom"  # the adapter's domain is a file of its maker
    return given or adapters


def _is_known(domain: str) -> bool:
    from lvtune.domains import list_domains

    return all(part.strip().partition("/")[0] in list_domains() for part in domain.split("+"))


def made_for(adapter: str | None) -> dict[str, Any]:
    """``base`` and ``domain`` that an adapter was made for; {} for none and for one that plain peft saved."""
    if adapter is None:
        return {}
    from lvtune.hub.remote import locate
    from lvtune.storage import adapter_file, peft_folder

    folder = locate(adapter)
    if peft_folder.read(folder) is not None:
        return {}
    _, config = adapter_file.read(folder)
    found = {"base": (config.get("base") or {}).get("name"), "domain": config.get("domain")}
    return {name: value for name, value in found.items() if value}
