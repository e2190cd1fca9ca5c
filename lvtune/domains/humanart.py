"""``humanart``: Human-Art, people in 19 kinds of natural and artificial pictures, in its published layout.

Ju et al., Human-Art: A Versatile Human-Centric Dataset Bridging Natural and Artificial Scenes, CVPR 2023,
arXiv:2303.02760. Validation serves as the test split: that is what published figures are on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lvtune.config.options import DataOptions
from lvtune.core.errors import UsageError
from lvtune.data.skeletons import COCO_17, HUMANART_21
from lvtune.data.table import read_coco
from lvtune.domains.domain import Domain, Split, missing, need_folder
from lvtune.domains.domain_registry import register_domain
from lvtune.language.sentences import sentences_of

GROUPS = {
    "real_human": ("acrobatics", "cosplay", "dance", "drama", "movie"),
    "2D_virtual_human": (
        "cartoon", "digital_art", "ink_painting", "kids_drawing", "mural", "oil_painting", "shadow_play",
        "sketch", "stained_glass", "ukiyoe", "watercolor",
    ),
    "3D_virtual_human": ("garage_kits", "relief", "sculpture"),
}  # fmt: skip
CATEGORIES = tuple(name for kinds in GROUPS.values() for name in kinds)
_FILE = {"train": "training", "val": "validation", "test": "validation"}


def category_of(image: dict[str, Any]) -> str:
    """Returns the annotated category of an image ("digital art"), never one from its path; "" for none of the 19."""
    named = str(image.get("category") or "").strip().replace(" ", "_")
    return named if named in CATEGORIES else ""


def _root(domain: Domain, data: DataOptions) -> Path:
    """Returns the folder that holds ``HumanArt/``; the user may name either folder."""
    folder = need_folder(domain, data)
    if (folder / "HumanArt").is_dir():
        return folder
    if folder.resolve().name == "HumanArt":
        return folder.resolve().parent
    if any(folder.glob("annotations/*humanart*.json")):
        raise missing(domain, f"Human-Art in a folder named {folder.name} (file names begin with HumanArt/)")
    raise missing(domain, f"no folder HumanArt in {folder}")


def _read(domain: Domain, split: str, data: DataOptions) -> Split:
    root = _root(domain, data)
    asked = data.test_annotations if split != "train" and data.test_annotations else data.annotations
    folder = root / "HumanArt" / "annotations"
    if asked and Path(asked).is_dir():
        folder, asked = Path(asked), None
    file = Path(asked) if asked else folder / f"{_FILE[split]}_humanart.json"
    if not file.is_file():
        raise missing(domain, f"no annotation file {file}")
    if data.skeleton not in (None, COCO_17.name, HUMANART_21.name):
        raise UsageError(f"skeleton '{data.skeleton}' of Human-Art", f"{COCO_17.name} or {HUMANART_21.name}",
                          "choose one of these")  # fmt: skip
    is_21 = data.skeleton == HUMANART_21.name
    table = read_coco(
        file, root, skeleton=HUMANART_21 if is_21 else COCO_17, category_of=category_of,
        keypoints_field="keypoints_21" if is_21 else "keypoints", published=True,
    )  # fmt: skip
    boxes = root / "HumanArt" / "person_detection_results" / "HumanArt_validation_detections_AP_H_56_person.json"
    # the file has corners; the released evaluation of VLPose, and MMPose's, read them as corner and size
    return Split(table, f"Human-Art {_FILE[split]}", published_boxes=boxes, published_box_format="xywh")


@register_domain("humanart")
def humanart() -> Domain:
    """Paintings, drawings, sculpture and performances."""
    return Domain(
        name="humanart",
        title="Human-Art: people in 19 kinds of natural and artificial pictures",
        skeleton=COCO_17.name,
        categories=CATEGORIES,
        groups=GROUPS,
        sentences=sentences_of("humanart"),
        reader=_read,
        method="vlpose",
        source="the Human-Art data set (IDEA-Research, CVPR 2023; request form at "
        "https://idea-research.github.io/HumanArt)",
        layout="FOLDER/HumanArt/annotations/{training,validation}_humanart.json and "
        "FOLDER/HumanArt/images/<group>/<category>/<12 digits>.jpg; detector boxes FOLDER/HumanArt/"
        "person_detection_results/HumanArt_validation_detections_AP_H_56_person.json",
    )
