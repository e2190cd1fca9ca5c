"""Which domains are a user's own data."""

from __future__ import annotations

from lvtune.domains.domain_file import is_domain_file
from lvtune.domains.domain_registry import DOMAINS

CUSTOM = "custom"
"""Name of the domain of labels that are given themselves."""
UNLABELLED = "unlabelled"
"""Name of the domain of pictures without labels, where nothing else of the target is given."""


def is_own_data(domain: str) -> bool:
    """True for the user's own labels, given themselves (``custom``) or by a domain file.

    Args:
        domain: as for ``--domain``.
    """
    if is_domain_file(domain):
        return True
    parts = [part.strip().partition("/")[0] for part in domain.split("+")]
    return parts != [UNLABELLED] and any(part == CUSTOM or part not in DOMAINS for part in parts)
