"""Finds a domain by name: a whole one, a part of one, or a mixture."""

from __future__ import annotations

from lvtune.core.errors import UsageError
from lvtune.domains.domain import Domain
from lvtune.domains.domain_registry import DOMAINS
from lvtune.domains.mixture import mixture


def get_domain(name: str) -> Domain:
    """Returns a domain by name.

    ``humanart/sketch`` or ``humanart/real_human,cartoon`` is a part of one, ``coco+humanart`` a mixture.

    Raises:
        LvtuneError: no such domain, category or group; domains that do not mix.
    """
    if "+" in name:
        names = [part.strip() for part in name.split("+")]
        parts = {one: get_domain(one) for one in names if one}
        if len(parts) < 2 or len(parts) != len(names):
            raise UsageError(f"mixture '{name}'", "two or more different domains", "such as --domain coco+humanart")
        return mixture(parts)
    whole, _, part = name.partition("/")
    domain = DOMAINS.get(whole)()
    return domain.subset(part) if part else domain
