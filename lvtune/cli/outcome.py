"""The result of a command, and what several commands need to make one."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from lvtune.api.recipe import Recipe
from lvtune.config.options import DataOptions
from lvtune.core.errors import LvtuneError, UsageError
from lvtune.core.text import printable
from lvtune.core.work_progress import is_quiet


@dataclass(frozen=True)
class Outcome:
    """The result of a command, for programs and for people."""

    values: dict[str, Any]
    """Printed with ``--json``."""
    text: str
    """Printed without ``--json``."""
    failure: LvtuneError | None = None
    """A fault that was found although there is a result: it is printed after the result, and the exit code is 1."""


def say(text: str) -> None:
    """Prints a line about the progress on stderr; with ``--quiet``, nothing."""
    if is_quiet():
        return
    print(printable(text), file=sys.stderr, flush=True)


def choose_domain(given: str | None, data: DataOptions, found: dict[str, Any]) -> str:
    """Returns the domain to use.

    That is the domain that was typed; or ``custom`` if there are annotations; or the adapter's domain; or the default.
    The default domain ships with the package, so ``--data`` alone means own data there.

    Args:
        given: the domain that was typed.
        data: the data that were typed.
        found: what :func:`made_for` found.

    Raises:
        UsageError: nothing says where the pictures are.
    """
    from lvtune.domains.own_domain import CUSTOM, UNLABELLED  # it takes torch

    adapters = found.get("domain", Recipe.domain)
    if given is None and (data.annotations or (data.data and adapters == Recipe.domain)):
        return "custom"
    if given is None and data.data and not _is_known(adapters):
        return "custom"  # the adapter's domain is own data, such as a file of its maker
    if given is None and not data.data and not _is_known(adapters) and adapters not in (CUSTOM, UNLABELLED):
        raise UsageError(
            f"no data, and an adapter for '{adapters}', which is a domain file of its maker",
            "pictures with labels, or the domain file", "give MYPROJECT/, or --domain FILE.yaml",
        )  # fmt: skip
    return given or adapters


def _is_known(domain: str) -> bool:
    from lvtune.domains import list_domains

    return all(part.strip().partition("/")[0] in list_domains() for part in domain.split("+"))


def made_for(adapter: str | None) -> dict[str, Any]:
    """Returns ``base`` and ``domain`` that an adapter was made for.

    The dict is empty if there is no adapter, or if plain peft saved it.
    """
    if adapter is None:
        return {}
    from lvtune.hub.remote import locate
    from lvtune.storage import adapter_file, peft_folder

    folder = locate(adapter)
    # the header alone: whoever loads the adapter checks the whole of it
    config = None if peft_folder.is_peft_folder(folder) else adapter_file.read_config(folder)
    if config is None:
        return {}
    found = {"base": (config.get("base") or {}).get("name"), "domain": config.get("domain")}
    return {name: value for name, value in found.items() if value}
