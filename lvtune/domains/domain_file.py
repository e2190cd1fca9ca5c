"""A domain in a YAML file of the user: skeleton, mirror pairs, sigmas, categories, sentences and splits.

`lvtune init-domain` writes one; `--domain mydomain.yaml` uses it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lvtune.config.options import DataOptions
from lvtune.core.errors import DataError
from lvtune.core.registry import suggest
from lvtune.core.text import shell_word
from lvtune.data.flip_pairs import MIDLINE
from lvtune.data.skeletons import Skeleton
from lvtune.domains.custom import custom_domain
from lvtune.domains.domain import Domain
from lvtune.domains.splitting import is_list

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
        file: YAML, see :func:`lvtune.domains.domain_text.domain_text`. Paths in it are relative to the file.
        data: what the command line or recipe says about the data; it comes before the file.

    Raises:
        DataError: no such file, unknown or malformed entries.
        LvtuneError: a fault of the data.
    """
    path = Path(file)
    values = _load(path)
    options = _filled(values, path, data or DataOptions())
    if options.data is None and options.annotations is None:
        options = replace(options, **{key: _path(path, values[key]) for key in _PATHS if values.get(key)})
    sentences = {str(key).replace(" ", "_"): str(text) for key, text in _table(values, "categories", path).items()}
    return custom_domain(
        options, name=str(values.get("name") or path.stem), title=str(values.get("title") or "own pictures"),
        skeleton=_skeleton(values, path), sentences=sentences,
    )  # fmt: skip


def options_of_file(file: str | Path, data: DataOptions) -> DataOptions:
    """Returns ``data`` with what a domain's file says of the parts and boxes, where ``data`` says nothing.

    Raises:
        DataError: as :func:`read_domain`.
    """
    return _filled(_load(Path(file)), Path(file), data)


def _filled(values: Mapping[str, Any], path: Path, said: DataOptions) -> DataOptions:
    splits, options = _table(values, "splits", path), said
    _known(splits, _SPLITS, path)
    if said.split_by == "auto" and not said.test_pictures:
        tested = splits.get("test") or ()
        options = replace(
            options, split_by=_choice(splits.get("by", "auto"), path),
            test_pictures=tuple(_path(path, t) if is_list(str(t)) else str(t) for t in tested),
        )  # fmt: skip
    if said.missing_boxes == "points" and values.get("missing_boxes"):
        options = replace(options, missing_boxes=values["missing_boxes"])
    return options


_PATHS = ("data", "annotations", "test_annotations")


def _load(path: Path) -> dict[str, Any]:
    import yaml

    from lvtune.core.bounded_yaml import load_yaml_text

    try:
        values = load_yaml_text(path)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())[:160]
        raise DataError(
            f"domain file {path}: {reason}", "a YAML file that `lvtune init-domain` writes", "check the file"
        ) from None
    if not isinstance(values, dict) or not values.get("keypoints"):
        raise DataError(
            f"domain file {path} without `keypoints`", "a YAML file that `lvtune init-domain` writes",
            f"type lvtune init-domain MYPROJECT/ --out {shell_word(path.name)}",
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
    for key, found in given_pairs.items():
        if not isinstance(found, list | tuple) or not all(isinstance(pair, list) for pair in found):
            raise DataError(f"{key} in domain file {path}", f"pairs of {', '.join(names)}", "correct it")
    pairs = {key: [[str(end) for end in pair] for pair in found] for key, found in given_pairs.items()}
    for key, found in pairs.items():
        wrong = [pair for pair in found if len(pair) != 2 or not all(end in places for end in pair)]
        if wrong:
            raise DataError(f"{key} {wrong[0]} in domain file {path}", f"pairs of {', '.join(names)}", "correct it")
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
        raise DataError(
            f"sigmas in domain file {path}", "a positive number for each key point", "correct them"
        ) from None
    return replace(plain, sigmas=tuple(sigmas))
