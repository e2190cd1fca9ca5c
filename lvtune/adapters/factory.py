"""Makes a fresh adapter of any method for a base."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from lvtune.adapters.method_registry import METHODS
from lvtune.core.errors import LvtuneError

if TYPE_CHECKING:
    from torch import nn

    from lvtune.bases.base import Base
    from lvtune.data.skeletons import Skeleton
    from lvtune.language.bank import SentenceBank


def create_adapter(
    method: str,
    base: nn.Module,
    domain: str | None = None,
    *,
    skeleton: Skeleton | None = None,
    bank: SentenceBank | None = None,
    text_encoder: str = "minilm",
    seed: int = 0,
    **options: Any,
) -> Any:
    """A fresh adapter for ``base``; it changes nothing until it is attached.

    Args:
        method: one of :func:`list_methods`.
        base: a base or a plain ``transformers.VitPoseForPoseEstimation``.
        domain: whose sentences the adapter reads, where its method reads any.
        skeleton: key points to predict where they differ from the base's; the new predictor is the adapter's.
        bank: embedded sentences in place of the domain's (a :class:`lvtune.language.bank.SentenceBank`).
        text_encoder: of the domain's sentences; the built-in ones ship embedded by ``minilm``.
        seed: of the adapter's initial weights; the global random state is kept.
        **options: fields of the method's config.

    Raises:
        LvtuneError: unknown method, domain or option; a new skeleton for a method without a predictor; a base without
            anything that the method tunes.
    """
    import torch

    from lvtune.adapters.method_registry import method_config
    from lvtune.bases.base import as_base
    from lvtune.language.bank_cache import cached_bank

    cls, view = METHODS.get(method), as_base(base)
    config = method_config(method, options)
    skeleton = skeleton or view.skeleton
    view.check_skeleton(skeleton)
    if skeleton.keypoints != view.skeleton.keypoints and not cls.trains_predictor:
        able = [name for name in METHODS.names() if METHODS.get(name).trains_predictor]
        raise LvtuneError(
            f"method {method} for {len(skeleton.keypoints)} key points on a base that predicts "
            f"{len(view.skeleton.keypoints)} others",
            "a method that trains a predictor of its own", f"choose --method {' or '.join(able)}",
        )  # fmt: skip
    if bank is None and cls.reads_language and domain is not None:
        from lvtune.domains import get_domain
        from lvtune.language import get_bank

        bank = get_bank(get_domain(domain).sentences, text_encoder)
    bank = cached_bank(bank) if bank is not None else None
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed GPUs too
        adapter = cls(config, view, bank=bank, skeleton=skeleton)
    if not any(parameter.requires_grad for parameter in adapter.parameters()):
        raise LvtuneError(
            f"method {method} on {view.name}, which has nothing that it tunes", "a method that fits the base",
            "choose --method head or full",
        )  # fmt: skip
    return adopt(adapter, view, domain, skeleton)


def adopt(adapter: Any, view: Base, domain: str | None, skeleton: Skeleton) -> Any:
    """Notes on a fresh adapter what it was made for; the base itself is not kept alive."""
    from lvtune.patcher.shapes import shapes_of

    adapter.domain, adapter.skeleton = domain, skeleton
    adapter.made_for = (weakref.ref(view.model), type(view), view.spec)
    adapter.base_shapes = shapes_of(view.model)
    return adapter


def base_of(adapter: Any) -> Base | None:
    """The base that an adapter was made for, if it still exists."""
    reference, family, spec = adapter.made_for
    model = reference()
    return None if model is None else family(model, spec)
