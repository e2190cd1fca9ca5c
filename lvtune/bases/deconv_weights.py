"""Loads the weights of an encoder with the classic head: random ones, ImageNet's, from the Hub or from a file."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from lvtune.bases.base import Base
from lvtune.bases.weights_file import load_strict, read_safetensors
from lvtune.core.errors import LvtuneError
from lvtune.core.hub_limits import hub_limits
from lvtune.core.network import why_unreachable

B = TypeVar("B", bound=Base)
Fetch = Callable[[str | None], dict[str, Tensor]]
"""Maps a revision to the state of the encoder that ``pretrained`` means, ready for ``base.encoder``."""
Adopt = Callable[[dict[str, Tensor]], dict[str, Tensor]]
"""Maps the tensors of a published file to the state of an encoder, ready for ``base.encoder``."""

_FILES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")  # names of repositories may hold a dot

_log = logging.getLogger(__name__)


def fill(base: B, weights: str, revision: str | None, fetch: Fetch, adopt: Adopt) -> B:
    """Puts weights into a base that was made with random ones, and returns it.

    Args:
        base: a new one.
        weights: ``random`` keeps what is there; ``pretrained`` takes the encoder's ImageNet weights; a
            ``.safetensors`` file, or a folder or a Hub repository with ``model.safetensors``, takes the whole model
            (as ``base.model.state_dict()`` has it) or an encoder.
        revision: of the Hub repository.
        fetch: loads the ImageNet weights.
        adopt: turns an encoder's file into this base's names and sizes.

    Raises:
        LvtuneError: weights that are not there or do not fit.
    """
    if weights == "random":
        return base
    path = Path(weights).expanduser()
    path = path / "model.safetensors" if path.is_dir() else path
    if path.is_file():
        return _from_file(base, path, adopt)
    if weights == "pretrained":
        load_strict(base.encoder, fetch(revision), weights)
        _tell_new_head(base, "pretrained weights")
        return base
    if path.suffix in _FILES or weights.count("/") != 1 or weights.startswith((".", "~", "/")):
        raise LvtuneError(
            f"weights '{weights}'", "an existing file or folder, a Hub id (user/repo), 'pretrained' or 'random'",
            "check the path",
        )  # fmt: skip
    return _from_file(base, _downloaded(base.name, weights, revision), adopt)


def _downloaded(name: str, hub_id: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download

    why = why_unreachable(hub_id)
    try:
        with hub_limits(hub_id):
            file = hf_hub_download(hub_id, "model.safetensors", revision=revision, local_files_only=why is not None)
        return Path(file)
    except (OSError, ValueError) as error:
        raise not_loaded(name, hub_id, why or error) from error


def _from_file(base: B, path: Path, adopt: Adopt) -> B:
    if path.suffix != ".safetensors":
        raise LvtuneError(
            f"weights file {path.name}", "a .safetensors file (pickled checkpoints are not read here)",
            "re-save its tensors with safetensors.torch.save_file",
        )  # fmt: skip
    state = read_safetensors(path)
    state = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    if "head.predictor.weight" in state:
        load_strict(base.model, state, path)
    else:
        load_strict(base.encoder, adopt(state), path)
        _tell_new_head(base, str(path))
    return base


def _tell_new_head(base: Base, source: str) -> None:
    _log.warning(
        "%s: %s hold an encoder only, and the head is new: it predicts no key points before it is tuned "
        "(lvtune adapt --method full), or before a whole model is given (--weights FILE)", base.name, source,
    )  # fmt: skip


def not_loaded(name: str, source: str, error: Exception | str) -> LvtuneError:
    """Returns the error for weights that could not be loaded."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return LvtuneError(
        f"weights of {source} for {name} could not be loaded ({lines[0][:160]})",
        "network access to the Hugging Face Hub, or the repository in the local Hub cache",
        f"connect and try again, or pass --weights FILE with a downloaded copy of its model.safetensors, or "
        f"--weights random to try {name} without",
    )


def not_adopted(name: str, source: str, error: Exception) -> LvtuneError:
    """Returns the error for a file that is neither a whole model nor an encoder of this base."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return LvtuneError(
        f"a weights file whose tensors do not fit ({' '.join(lines[:2])[:200]})",
        f"a whole {name} (base.model.state_dict()), or an encoder with the names of {source}",
        "check --base and --weights",
    )
