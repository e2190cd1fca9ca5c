"""``coco``: COCO key points, what most bases were trained on.

Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014.
"""

from __future__ import annotations

from pathlib import Path

from lvtune.config.options import DataOptions
from lvtune.data.skeletons import COCO_17
from lvtune.data.table import read_coco
from lvtune.domains.domain import Domain, Split, missing, need_folder
from lvtune.domains.domain_registry import register_domain
from lvtune.language.sentences import sentences_of

_YEAR = {"train": "train2017", "val": "val2017", "test": "val2017"}  # the test set's labels are not public


def _read(domain: Domain, split: str, data: DataOptions) -> Split:
    root, year = need_folder(domain, data), _YEAR[split]
    asked = data.test_annotations if split == "test" and data.test_annotations else data.annotations
    file = Path(asked) if asked else root / "annotations" / f"person_keypoints_{year}.json"
    if not file.is_file():
        raise missing(domain, f"no annotation file {file}")
    folders = [folder for folder in (root / year, root / "images" / year) if folder.is_dir()]
    if not folders:
        raise missing(domain, f"no folder of pictures {root / year}")
    table = read_coco(file, folders[0], skeleton=COCO_17, category_of=lambda image: "photo", published=True)
    boxes = root / "person_detection_results" / "COCO_val2017_detections_AP_H_56_person.json"
    return Split(table, f"COCO {year}", published_boxes=boxes)


def _lies_in(folder: Path) -> bool:
    year = _YEAR["test"]
    has_pictures = (folder / year).is_dir() or (folder / "images" / year).is_dir()
    return has_pictures and (folder / "annotations" / f"person_keypoints_{year}.json").is_file()


@register_domain("coco")
def coco() -> Domain:
    """Photographs of people in context."""
    sentences = sentences_of("coco")
    return Domain(
        name="coco",
        title="COCO 2017 key points: photographs",
        skeleton=COCO_17.name,
        categories=tuple(sentences),
        sentences=sentences,
        reader=_read,
        method="vlpose",
        lies_in=_lies_in,
        source="COCO 2017 (Lin et al., ECCV 2014) from https://cocodataset.org/#download",
        layout="FOLDER/annotations/person_keypoints_{train,val}2017.json and FOLDER/{train,val}2017/*.jpg; detector "
        "boxes FOLDER/person_detection_results/COCO_val2017_detections_AP_H_56_person.json",
    )
