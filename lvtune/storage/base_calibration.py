"""The calibrated confidence of a base alone: a small JSON file for one set of weights at one input size.

One lies beside the weights that ship. ``lvtune evaluate --save-calibration FILE`` writes one for another base.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune import bases
from lvtune.bases.fingerprint import PRECISIONS, fingerprint, fingerprints, precision_of
from lvtune.core.errors import DataError, UsageError
from lvtune.core.files import write_text
from lvtune.core.strict_json import canonical_json, read_json
from lvtune.core.text import shell_word, short
from lvtune.core.version import __version__
from lvtune.evaluation.calibration import Calibration, calibration_of, read_calibration

if TYPE_CHECKING:
    from lvtune.bases.base import Base

FOLDER = Path(bases.__file__).parent / "weights"
"""Where the calibrations that ship lie, beside the weights."""
SUFFIX = ".calibration.json"
FORMAT_VERSION = 1
AUTO, NONE = "auto", "none"
"""What a caller may say in place of a file: the one that ships with these weights, if there is one; none."""
_AGAIN = "write it again: lvtune evaluate --base NAME --save-calibration FILE"


def save_base_calibration(calibration: Calibration, base: Base, file: str | Path) -> Path:
    """Writes the calibration of a base without adapters, with the fingerprint by which it is known again.

    Raises:
        LvtuneError: the file cannot be written.
    """
    about = {"name": base.name, "fingerprint": fingerprints(base), "input_size": list(base.input_size)}
    values = {
        "format_version": FORMAT_VERSION, "lvtune_version": __version__, "base": about,
        "calibration": calibration.to_dict(),
    }  # fmt: skip
    return write_text(file, canonical_json(values, "the calibration", indent=1) + "\n")


def base_calibration(base: Base, wanted: str | Path = AUTO) -> Calibration | None:
    """Returns the calibration of a base without adapters.

    Args:
        base: as it is loaded; adapters that are attached do not count.
        wanted: ``auto``: the one that ships for these weights and this input size, or None; ``none``: None; a file of
            :func:`save_base_calibration`.

    Raises:
        LvtuneError: the file is missing or damaged, or is for other weights or another input size.
    """
    if str(wanted) == NONE or (str(wanted) == AUTO and base.task != "pose2d"):
        return None
    if str(wanted) != AUTO:
        calibration, about = _read(Path(wanted).expanduser())
        fault = _misfit(about, calibration, base)
        if fault:
            raise UsageError(
                f"the calibration {shell_word(wanted)}, which is for {fault}",
                f"one of {base.name} with these weights, {_size(base.input_size)}",
                f"{_AGAIN}, or leave --calibration out",
            )
        return calibration
    for file in sorted(FOLDER.glob(f"*{SUFFIX}")):
        calibration, about = _read(file)
        if not _misfit(about, calibration, base):
            return calibration
    return None


def calibration_for(base: Base, adapter: Any, wanted: str | Path = AUTO) -> Calibration | None:
    """Returns the calibration of an adapter, or that of the base where there is no adapter.

    Args:
        base: the base.
        adapter: that acts; None: the base alone.
        wanted: as for :func:`base_calibration`; for an adapter ``auto`` or ``none``.

    Raises:
        LvtuneError: a file for an adapter; as :func:`base_calibration`.
    """
    if adapter is None:
        return base_calibration(base, wanted)
    if str(wanted) not in (AUTO, NONE):
        raise UsageError(
            f"the calibration {shell_word(wanted)} with an adapter", "the adapter's own, which is in its file",
            "leave --calibration out; `lvtune adapt --calibrate keep-out` makes an adapter's",
        )  # fmt: skip
    return calibration_of(adapter) if str(wanted) == AUTO else None


def _read(file: Path) -> tuple[Calibration, dict[str, Any]]:
    """Returns the calibration of a file, and what the file says of its base."""
    values = read_json(file, error=DataError, fix=_AGAIN)
    try:
        if not isinstance(values, dict) or values.get("format_version") != FORMAT_VERSION:
            raise ValueError(f"no format version {FORMAT_VERSION}")
        about = values.get("base")
        if not isinstance(about, dict) or not isinstance(about.get("name"), str):
            raise ValueError("no base")
        prints, size = about.get("fingerprint"), about.get("input_size")
        if not isinstance(prints, dict) or not prints.keys() & PRECISIONS.keys():
            raise ValueError("no fingerprint of the base")
        if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int for side in size):
            raise ValueError("no input size")
        return read_calibration(values.get("calibration")), about
    except (ValueError, TypeError) as error:
        raise DataError(
            f"a calibration that cannot be read: {shell_word(file)} ({short(error, quote=False)})",
            "a file that `lvtune evaluate --save-calibration` wrote", _AGAIN,
        ) from None  # fmt: skip


def _misfit(about: dict[str, Any], calibration: Calibration, base: Base) -> str:
    """Returns in words what else the calibration is for; empty where it is for this base."""
    name = short(about["name"], quote=False)
    if calibration.keypoints != base.skeleton.keypoints:
        return f"{len(calibration.keypoints)} other key points ({name})"
    if tuple(about["input_size"]) != tuple(base.input_size):
        return f"{name}, {_size(about['input_size'])}"
    own = precision_of(base)
    # in which both are known; hashed last, since that takes longest
    known = [kind for kind in PRECISIONS if kind in about["fingerprint"] and own in ("float32", kind)]
    if not known:
        return f"{name} in another precision"
    is_same = fingerprint(base, PRECISIONS[known[0]]) == about["fingerprint"][known[0]]
    return "" if is_same else f"{name} with other weights"


def _size(size: Any) -> str:
    return f"at an input size of {size[0]}x{size[1]}"
