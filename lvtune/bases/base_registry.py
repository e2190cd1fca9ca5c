"""Registers bases by name, and loads them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from lvtune.bases.base import Base
from lvtune.bases.base_spec import BaseSpec
from lvtune.core.registry import Registry

BASES: Registry[Callable[..., Base]] = Registry("base", group="lvtune.bases")
"""Name to ``loader(weights, revision=None, seed=0) -> Base``. The loader of a family ``<family>:<name>`` takes the name
as its first argument."""


def register_base(name: str) -> Callable[[Callable[..., Base]], Callable[..., Base]]:
    """Returns a decorator that registers a loader for :func:`load_base` under ``name``."""
    return BASES.register(name)


def load_base(
    name: str,
    weights: str = "pretrained",
    *,
    revision: str | None = None,
    seed: int = 0,
    input_size: tuple[int, int] | None = None,
) -> Base:
    """Loads a frozen base, in evaluation mode and without gradients.

    Args:
        name: one of :func:`list_bases`, with ``<name>`` filled in (``timm:resnet50``). A variant, such as an expert,
            stands behind a slash (``vitpose-plus-b/ap10k``).
        weights: ``pretrained`` (shipped with the package, else the Hub), ``random``, a path, or a Hub id.
        revision: of the Hub repository.
        seed: of ``random`` weights.
        input_size: (H, W) in pixels of the pictures that it takes; None: its own. The position embeddings of a ViT
            (``vitpose-*``) are interpolated to it, and the weights stay as they are.

    Raises:
        LvtuneError: unknown name; weights that are not there or do not fit; a size that the base cannot take.
    """
    loader, variant = find_loader(name)
    base = loader(weights, revision=revision, seed=seed)
    base = base.variant(variant) if variant else base
    if input_size is not None:
        base.set_input_size(input_size)
    return base.freeze()


def find_loader(name: str) -> tuple[Callable[..., Base], str]:
    """Returns the loader for a name, and the variant that the name asks for ("" for none).

    Raises:
        LvtuneError: there is no such base.
    """
    family, colon, rest = name.partition(":")
    if colon and f"{family}:<name>" in BASES:
        return partial(BASES.get(f"{family}:<name>"), rest), ""
    whole, _, variant = name.partition("/")
    return BASES.get(whole if whole in BASES else name), variant if whole in BASES else ""


def known_spec(name: str) -> BaseSpec | None:
    """Returns the facts of a base without loading weights; None where they are known only once it is loaded."""
    loader, variant = find_loader(name)
    spec = next((value for value in getattr(loader, "args", ()) if isinstance(value, BaseSpec)), None)
    return None if variant else spec


def list_bases() -> list[str]:
    """Returns the names that :func:`load_base` takes."""
    return BASES.names()
