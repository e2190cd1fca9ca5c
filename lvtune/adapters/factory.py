"""Makes a new adapter of any method for a base."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lvtune.adapters.method_registry import METHODS, method_config
from lvtune.bases.base import as_base
from lvtune.core.errors import UsageError
from lvtune.core.text import counted
from lvtune.language.bank_cache import cached_bank
from lvtune.patcher.shapes import shapes_of

if TYPE_CHECKING:
    from lvtune.adapters.adapter import Adapter
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
) -> Adapter:
    """Makes a new adapter for ``base``; it acts once it is attached.

    Args:
        method: one of :func:`lvtune.list_methods`.
        base: a base or a plain ``transformers.VitPoseForPoseEstimation``.
        domain: name of the domain whose sentences the adapter reads, if its method reads any.
        skeleton: key points to predict, if they differ from the base's; the adapter then brings a new predictor.
        bank: embedded sentences in place of the domain's (a :class:`lvtune.language.bank.SentenceBank`).
        text_encoder: embeds the domain's sentences; the built-in domains ship embedded by ``minilm``.
        seed: of the adapter's initial weights; the global random state is kept.
        **options: fields of the method's config.

    Raises:
        UsageError: unknown method, domain or option; a new skeleton for a method without a predictor; a base that has
            nothing that the method tunes.
    """
    cls, view = METHODS.get(method), as_base(base)
    config = method_config(method, options)
    skeleton = skeleton or view.skeleton
    view.check_skeleton(skeleton)
    _check_predictor(method, view, skeleton)
    if bank is None and cls.reads_language and domain is not None:
        bank = _bank_of(domain, text_encoder)
    bank = cached_bank(bank) if bank is not None else None
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed GPUs too
        adapter = cls(config, view, bank=bank, skeleton=skeleton)
    if not any(parameter.requires_grad for parameter in adapter.parameters()):
        raise UsageError(
            f"method {method} on {view.name}, which has nothing that it tunes", "a method that fits the base",
            "choose --method head or full",
        )  # fmt: skip
    return adopt(adapter, view, domain, skeleton)


def _check_predictor(method: str, view: Base, skeleton: Skeleton) -> None:
    """Checks that a method can predict these key points."""
    if skeleton.keypoints == view.skeleton.keypoints or METHODS.get(method).trains_predictor:
        return
    able = [name for name in METHODS.names() if METHODS.get(name).trains_predictor]
    raise UsageError(
        f"method {method} for {counted(len(skeleton.keypoints), 'key point')} on a base that predicts "
        f"{len(view.skeleton.keypoints)} others",
        "a method that trains a predictor of its own", f"choose --method {' or '.join(able)}",
    )  # fmt: skip


def _bank_of(domain: str, text_encoder: str) -> SentenceBank:
    """Embeds the sentences of a domain."""
    from lvtune.domains import get_domain  # here: domains bring the readers of their data along
    from lvtune.language import get_bank

    return get_bank(get_domain(domain).sentences, text_encoder)


def adopt(adapter: Adapter, view: Base, domain: str | None, skeleton: Skeleton) -> Adapter:
    """Notes on a new adapter what it was made for, and returns it; the base is not kept alive."""
    adapter.domain, adapter.skeleton = domain, skeleton
    adapter.made_for = (weakref.ref(view.model), type(view), view.spec)
    adapter.base_shapes = shapes_of(view.model)
    return adapter


def base_of(adapter: Adapter) -> Base | None:
    """Returns the base that an adapter was made for, if it still exists."""
    reference, family, spec = adapter.made_for
    model = reference()
    return None if model is None else family(model, spec)
