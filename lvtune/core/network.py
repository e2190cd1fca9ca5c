"""Asks once whether the Hugging Face Hub can be reached, so that a missing network fails in seconds.

A loader that retries an unreachable Hub takes about 45 s to fail. Callers therefore ask :func:`why_unreachable` first
and give the loader ``local_files_only=True`` where there is a reason. Nothing global is changed, so threads that load
at the same time do not disturb each other.
"""

from __future__ import annotations

from pathlib import Path

_TIMEOUT = 10.0
"""Seconds. A server that answers later than this is slow, not absent."""


def why_unreachable(source: str | Path) -> str | None:
    """Returns why ``source`` cannot be fetched from the Hub, or None if it can.

    A folder on this machine needs no network: the answer is None, and no request is made. The answer is None for a
    slow server too, because the loaders' own retries deal with that.

    Args:
        source: a folder, or a Hub id such as ``owner/name``.
    """
    from huggingface_hub import constants, get_session

    if Path(source).is_dir():
        return None
    if constants.HF_HUB_OFFLINE:
        return "offline mode is on (HF_HUB_OFFLINE)"
    try:
        get_session().head(constants.ENDPOINT, timeout=_TIMEOUT)
    except Exception as error:
        # The classes of the client's errors differ between versions of huggingface_hub; their names do not.
        names = {kind.__name__ for kind in type(error).__mro__}
        return f"no connection to {constants.ENDPOINT}: {error}" if "ConnectError" in names else None
    return None
