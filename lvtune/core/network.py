"""Whether the Hugging Face Hub can be reached, asked once, so that a missing network is told in seconds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

_PATIENCE = 10.0  # seconds; who answers later than that is slow, not absent


def unreachable() -> str | None:
    """Why no connection to the Hub can be made at all; None where one can, or where it is merely slow."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return "offline mode is on (HF_HUB_OFFLINE)"
    try:
        get_session().head(constants.ENDPOINT, timeout=_PATIENCE)
    except Exception as error:
        # The client's own error classes differ between huggingface_hub's versions (httpx, httpx2); their names do not.
        names = {kind.__name__ for kind in type(error).__mro__}
        return f"no connection to {constants.ENDPOINT}: {error}" if "ConnectError" in names else None
    return None


@contextlib.contextmanager
def quick_failure(source: str | Path) -> Iterator[str | None]:
    """Inside, an unreachable Hub is not asked again and again (retries last 45 s): only the local Hub cache is read.

    Args:
        source: what is to be loaded; nobody is asked about a folder.

    Yields:
        Why the Hub is out of reach, for an error's words; None where it is not.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    reason = None if Path(source).is_dir() else unreachable()
    constants.HF_HUB_OFFLINE = before or reason is not None
    try:
        yield reason
    finally:
        constants.HF_HUB_OFFLINE = before
