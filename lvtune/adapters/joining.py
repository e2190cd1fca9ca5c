"""Joins the key points of several adapters in one prediction: :func:`lvtune.join`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from lvtune.adapters.adapter import Adapter
from lvtune.adapters.combining import common_base, finished
from lvtune.adapters.flip_test import takes_flip_test
from lvtune.adapters.joined import Joined, JoinedConfig
from lvtune.adapters.joined_sentences import common_bank
from lvtune.config.schema import plain
from lvtune.core.errors import UsageError
from lvtune.core.registry import suggest
from lvtune.core.text import counted
from lvtune.data.skeletons import Skeleton


def join(
    adapters: Sequence[Adapter | None],
    *,
    base: nn.Module | None = None,
    points: Mapping[str, int] | None = None,
) -> Adapter:
    """Makes one adapter that predicts the key points of several, each bit for bit as its own adapter does alone.

    The base runs once for each, so a prediction takes as long as theirs together. A key point that several predict is
    the first one's, unless ``points`` says another. The order is that of the first adapter, then what the second adds.

    Args:
        adapters: of any methods, for one base; None stands for the bare base. Those that read sentences may read
            different ones: of a category that only one has a sentence for, the others read their mean.
        base: the base that they were made for; needed if they no longer know it.
        points: name of a key point to the place (from 1) of the adapter that gives it.

    Raises:
        UsageError: bases differ; a key point or place that is not there; two mirror images that different adapters
            give; a base that predicts more than heatmaps.
    """
    loaded = [one for one in adapters if one is not None]
    if len(adapters) < 2 or not loaded:
        given = f"{counted(len(adapters), 'adapter')} to be joined"
        raise UsageError(given, "two or more, one of which may be the bare base",
                         "give a list of adapters")  # fmt: skip
    view = common_base(loaded, loaded, base, same_keypoints=False)
    if view.task != "pose2d":
        raise UsageError(f"adapters of {view.name} to be joined", "a base that predicts heatmaps alone",
                         "attach both, and predict with one after the other")  # fmt: skip
    skeletons = [view.skeleton if one is None else one.skeleton for one in adapters]
    given = _giver(skeletons, points or {})
    skeleton = _joined_skeleton(skeletons, given)
    view.check_skeleton(skeleton)
    bank, sentences = common_bank([None if one is None else one.bank for one in adapters])
    places = {str(place): one for place, one in enumerate(adapters, 1) if one is not None}
    config = JoinedConfig(
        tuple("" if one is None else one.method for one in adapters),
        {place: plain(one.config) for place, one in places.items()},
        {str(place): one.to_dict() for place, one in enumerate(skeletons, 1)}, sentences, tuple(given.values()),
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        made = Joined(config, view, bank=bank, skeleton=skeleton)
    made.load_tensors({f"{place}.{n}": v for place, one in places.items() for n, v in one.tensors().items()})
    made.to(view.device)
    result = finished(made, "join", loaded, [None] * len(loaded), view, skeleton)
    if not _all_mirrored(adapters, skeletons):
        training = dict(result.saved_with["training"])
        result.saved_with = {"training": {**training, "recipe": {"evaluate": {"flip_test": False}}}}
    return result


def _giver(skeletons: Sequence[Skeleton], points: Mapping[str, int]) -> dict[str, int]:
    """Key point, in order, to the place of the adapter that gives it."""
    names = list(dict.fromkeys(name for skeleton in skeletons for name in skeleton.keypoints))
    found = {}
    for name in names:
        have = [place for place, skeleton in enumerate(skeletons, 1) if name in skeleton.keypoints]
        found[name] = points.get(name, have[0])
        if found[name] not in have:
            raise UsageError(
                f"key point '{name}' of adapter {found[name]}, which does not predict it",
                f"one of {', '.join(map(str, have))}", "name the place of another adapter, from 1",
            )  # fmt: skip
    unknown = next((name for name in points if name not in found), None)
    if unknown is not None:
        raise UsageError(f"key point '{unknown}', which no adapter predicts", f"one of {', '.join(names[:12])}, ...",
                         suggest(unknown, names, "leave it out"))  # fmt: skip
    return found


def _joined_skeleton(skeletons: Sequence[Skeleton], given: Mapping[str, int]) -> Skeleton:
    """The key points with the sigmas, links and mirror images that they have in the skeletons that give them."""
    names = tuple(given)
    place = {name: i for i, name in enumerate(names)}
    sigmas, links, pairs = [], [], []
    for name, giver in given.items():
        skeleton = skeletons[giver - 1]
        sigmas.append(skeleton.sigmas[skeleton.keypoints.index(name)])
    for number, skeleton in enumerate(skeletons, 1):
        own = skeleton.keypoints
        links += [(place[own[a]], place[own[b]]) for a, b in skeleton.links if number in (given[own[a]], given[own[b]])]
        for left, right in skeleton.pairs if skeleton.mirrors else ():
            givers = [given[own[left]], given[own[right]]]
            if number in givers and givers[0] != givers[1]:
                other = own[left] if givers[0] != number else own[right]
                raise UsageError(
                    f"'{own[left]}' and '{own[right]}', which mirror each other, from different adapters",
                    "both from one: predictions are averaged with those of the mirrored picture",
                    f"add --points {number}:{other} (points={{'{other}': {number}}})",
                )  # fmt: skip
            pairs += [(place[own[left]], place[own[right]])] if givers == [number, number] else []
    title = "+".join(dict.fromkeys(skeleton.name for skeleton in skeletons))
    return Skeleton(title, names, tuple(sigmas), tuple(dict.fromkeys(links)), tuple(pairs))


def _all_mirrored(adapters: Sequence[Adapter | None], skeletons: Sequence[Skeleton]) -> bool:
    """True if each adapter's predictions alone are averaged with those of the mirrored picture."""
    pairs = zip(adapters, skeletons, strict=True)
    return all(skeleton.mirrors and (one is None or takes_flip_test(one)) for one, skeleton in pairs)
