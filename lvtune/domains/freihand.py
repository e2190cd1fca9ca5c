"""``freihand``: FreiHAND, right hands with 3D joints, in its published layout.

Zimmermann et al., FreiHAND: A Dataset for Markerless Capture of Hand Pose and Shape from Single RGB Images, ICCV 2019,
arXiv:1909.04349. Each of the 32,560 training hands is there four times: before its green screen, with the colours of
the whole blended, and coloured anew by two networks, with or without given samples; picture i + 32560·v has the labels
of hand i.
"""

from __future__ import annotations

import numpy as np

from lvtune.config.options import DataOptions
from lvtune.core.errors import DataError, UsageError
from lvtune.data.hand_table import RIGHT
from lvtune.data.skeletons import HAND_21
from lvtune.domains.domain import Domain, Split, missing, need_folder
from lvtune.domains.domain_registry import register_domain
from lvtune.domains.hand_splits import (
    check_metres,
    hand_split,
    hand_table,
    named_annotations,
    of_categories,
    read_array,
)
from lvtune.domains.hands_coco import read_coco_hands
from lvtune.language.sentences import sentences_of

VERSIONS = ("green_screen", "homogenized", "colored_by_samples", "colored_at_will")
"""Category of version v of the training pictures."""
EVALUATION = "photo"
SIZE = (224, 224)
TRAINING_HANDS = 32_560
_PART = {"train": "training", "test": "evaluation"}


def _read(domain: Domain, split: str, data: DataOptions) -> Split:
    asked = named_annotations(data, split)
    if asked is not None:
        table = read_coco_hands(asked, data, lambda i: VERSIONS[min(i // TRAINING_HANDS, len(VERSIONS) - 1)])
        return hand_split(table, f"FreiHAND in COCO's form ({asked.name})", data)
    folder, part = need_folder(domain, data), _PART[split]
    notes: list[str] = []
    scale: np.ndarray | None = None
    camera = read_array(folder / f"{part}_K.json", domain, (3, 3))
    file = folder / f"{part}_xyz.json"
    if file.is_file() or split == "train":
        xyz = read_array(file, domain, (21, 3))
        check_metres(xyz, file)
    else:
        # the first release kept the evaluation set's joints back
        xyz = np.full((len(camera), 21, 3), np.nan)
        notes.append(f"no {file.name}: pictures are whole and nothing is scored")
        lengths = folder / f"{part}_scale.json"
        scale = read_array(lengths, domain, ()) if lengths.is_file() else None
    if len(xyz) != len(camera):
        raise DataError(f"{file}: {len(xyz)} hands for {len(camera)} cameras", "as many of both",
                          "copy or download both files again")  # fmt: skip
    kinds = of_categories(domain, VERSIONS if split == "train" else (EVALUATION,))
    pictures = folder / part / "rgb"
    if not pictures.is_dir():
        raise missing(domain, f"no folder {pictures}")
    if not kinds:
        also = EVALUATION if split == "test" else VERSIONS[0]
        raise UsageError(f"the {split} part of {domain.name}", f"{', '.join(VERSIONS)} to train on and {EVALUATION} "
                          "to test on", f"choose --domain {domain.name},{also}")  # fmt: skip
    ids = np.concatenate([_ids(kind, len(xyz)) for kind in kinds])
    hand = ids % len(xyz)
    table = hand_table(
        folder,
        [f"{part}/rgb/{i:08d}.jpg" for i in ids],
        xyz=1000 * xyz[hand],
        camera=camera[hand],
        side=np.full(len(ids), RIGHT),
        size=SIZE,
        categories=np.repeat(kinds, len(xyz)),
        native="wrist",
        data=data,
        scale=None if scale is None else 1000 * scale[hand],
        image_ids=ids,
        notes=notes,
    )
    return hand_split(table, f"FreiHAND {part}", data)


def _ids(kind: str, count: int) -> np.ndarray:
    """Returns the numbers of the pictures of a version; each version has as many as there are labels."""
    return np.arange(count) + (count * VERSIONS.index(kind) if kind in VERSIONS else 0)


@register_domain("freihand")
def freihand() -> Domain:
    """Right hands before four kinds of background."""
    return Domain(
        name="freihand",
        title="FreiHAND: right hands with 3D joints, before a green screen and three made backgrounds",
        skeleton=HAND_21.name,
        categories=(*VERSIONS, EVALUATION),
        groups={"training": VERSIONS, "evaluation": (EVALUATION,)},
        sentences=sentences_of("freihand"),
        reader=_read,
        source="FreiHAND (University of Freiburg, ICCV 2019) from https://lmb.informatik.uni-freiburg.de/resources/datasets/"
        "FreihandDataset.en.html",
        layout="FOLDER/{training,evaluation}_{K,xyz}.json and FOLDER/{training,evaluation}/rgb/<8 digits>.jpg",
        splits=("train", "test"),
    )
