"""Gives an adapter further key points: :func:`lvtune.grow` makes it, tuning teaches it the new ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from lvtune.adapters.adapter import Adapter
from lvtune.adapters.factory import adopt, base_of
from lvtune.adapters.grown import METHOD, Grown, GrownConfig
from lvtune.adapters.grown_skeleton import grown_skeleton
from lvtune.bases.base import Base, as_base
from lvtune.config.schema import plain
from lvtune.core.errors import UsageError
from lvtune.core.tensor_file import hash_tensors
from lvtune.data.skeletons import Skeleton
from lvtune.patcher.attaching import attach
from lvtune.patcher.merging import noise, twin_of
from lvtune.patcher.shapes import check_fit


def grow(
    adapter: Adapter | None,
    skeleton: Skeleton,
    *,
    base: nn.Module | None = None,
    categories: Sequence[str] = (),
) -> Adapter:
    """Makes an adapter that predicts further key points beside those of ``adapter``, which stay bit for bit.

    The new rows of the predictor begin as the mean of the others, and are all that tuning changes.
    ``lvtune.adapt(Recipe(grow="FOLDER", ...))`` makes it, tunes it and saves it.

    Args:
        adapter: loaded; it stays as it is and is no longer needed. None: the bare base is grown.
        skeleton: all key points of ``adapter``, by name and in any order, and at least one more.
        base: the base that it was made for; needed without an adapter, or where the adapter no longer knows it.
        categories: of the pictures to tune on; for those that the adapter has no sentence for, it reads the mean.

    Raises:
        UsageError: a key point of ``adapter`` is missing, none is new, or a mirror pair is another one; the base is
            not known, or does not fit.
    """
    if adapter is not None and not isinstance(adapter, Adapter):
        raise UsageError("a folder, or another thing that is no adapter, to be grown", "a loaded adapter",
                         "lvtune.load_adapter(folder, base) first")  # fmt: skip
    view = base_of(adapter) if base is None and adapter is not None else None
    if base is not None:
        view = as_base(base)
    if view is None:
        raise UsageError("an adapter whose base is gone", "the base it was made for", "add base=...")
    kept = view.skeleton if adapter is None else adapter.skeleton
    wanted = grown_skeleton(kept, skeleton)
    view.check_skeleton(wanted)
    if adapter is not None:
        check_fit(adapter, view)
    bank = None if adapter is None else adapter.bank
    unknown = () if bank is None else tuple(dict.fromkeys(c for c in categories if c and not _has(bank, c)))
    config = (
        GrownConfig(skeleton=kept.to_dict())
        if adapter is None
        else GrownConfig(adapter.method, plain(adapter.config), kept.to_dict(), unknown)
    )
    with torch.random.fork_rng(devices=[]):
        made = Grown(config, view, bank=bank, skeleton=wanted)
    if made.member is not None and adapter is not None:
        made.member.load_tensors({name: value.clone() for name, value in adapter.tensors().items()})
    made.start_rows(view)
    adopt(made, view, None if adapter is None else adapter.domain, wanted)
    _check_kept(made, adapter, view)
    grown_of = {} if adapter is None else {"of": hash_tensors(adapter.tensors().items())}
    made.saved_with = {"training": {"grown": {"method": made.config.member, "keypoints": list(kept.keypoints),
                                              **grown_of}}}  # fmt: skip
    return made.to(view.device).eval()


def _has(bank: object, category: str) -> bool:
    return category.strip().replace(" ", "_") in getattr(bank, "categories", ())


def check_grown(adapter: Adapter, before: dict[str, torch.Tensor]) -> None:
    """Checks that tuning has left all that was there before as it was.

    Args:
        adapter: a grown one; others are not looked at.
        before: its tensors before the tuning.

    Raises:
        UsageError: a tensor of the member is another one.
    """
    for name, value in adapter.tensors().items() if adapter.method == METHOD else ():
        if not name.startswith("rows.") and not torch.equal(value, before[name]):
            raise UsageError(f"a grown adapter whose {name} has changed", "its old tensors, bit for bit",
                             "please report this: it is a fault of lvtune")  # fmt: skip


@torch.no_grad()
def _check_kept(made: Grown, adapter: Adapter | None, view: Base) -> None:
    """Raises a UsageError if the old heatmaps are not those of the adapter, on a picture of noise."""
    base = type(view)(view.copy_model(), view.spec).freeze()
    pixels = noise(base, 1)

    def heatmaps(one: Adapter | None) -> torch.Tensor:
        if one is None:
            return base.heatmaps_of(base.model(pixels, **base.forward_kwargs(pixels)))
        with attach(base, twin_of(one), "grown"):
            return base.heatmaps_of(base.model(pixels, **base.forward_kwargs(pixels)))

    places = [made.skeleton.keypoints.index(name) for name in made.kept.keypoints]
    if not torch.equal(heatmaps(made)[:, places], heatmaps(adapter)):
        raise UsageError(
            f"an adapter of {made.config.member or 'no method'} whose heatmaps change when it is grown",
            "a method whose predictor is its last layer", "tune a new adapter for all key points",
        )  # fmt: skip
