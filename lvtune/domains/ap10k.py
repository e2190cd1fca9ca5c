"""``ap10k``: AP-10K, 54 species of mammals in photographs, in its published layout.

Yu et al., AP-10K: A Benchmark for Animal Pose Estimation in the Wild, NeurIPS 2021 Datasets and Benchmarks,
arXiv 2108.12617. The first of its three splits; another is named by its annotation files.
"""

from __future__ import annotations

from pathlib import Path

from lvtune.config.options import DataOptions
from lvtune.data.skeletons import AP10K_17
from lvtune.data.table import read_coco
from lvtune.domains.domain import Domain, Split, missing, need_folder
from lvtune.domains.domain_registry import register_domain
from lvtune.language.animals import FAMILIES, SPECIES
from lvtune.language.sentences import sentences_of


def _read(domain: Domain, split: str, data: DataOptions) -> Split:
    root = need_folder(domain, data)
    asked = data.test_annotations if split != "train" and data.test_annotations else data.annotations
    file = Path(asked) if asked else root / "annotations" / f"ap10k-{split}-split1.json"
    if not file.is_file():
        raise missing(domain, f"no annotation file {file}")
    if not (root / "data").is_dir():
        raise missing(domain, f"no folder of pictures {root / 'data'}")
    # the species stands with each animal, not with the picture
    table = read_coco(file, root / "data", skeleton=AP10K_17, published=True)
    return Split(table, f"AP-10K {split} (split 1)" if not asked else f"AP-10K ({file.stem})")


@register_domain("ap10k")
def ap10k() -> Domain:
    """Photographs of mammals."""
    return Domain(
        name="ap10k",
        title="AP-10K: 54 species of mammals in photographs",
        skeleton=AP10K_17.name,
        categories=SPECIES,
        groups=FAMILIES,
        sentences=sentences_of("ap10k"),
        reader=_read,
        source="AP-10K (Yu et al., NeurIPS 2021; for non-commercial use) from https://github.com/AlexTheBad/AP-10K",
        layout="FOLDER/annotations/ap10k-{train,val,test}-split1.json and FOLDER/data/<12 digits>.jpg",
    )
