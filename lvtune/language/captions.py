"""Each picture's own caption in place of its category's sentence (keyword mode 0 of VLPose's released loader).

A caption is embedded under a key of its own, beside the sentences of the categories, which pictures without one read.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from lvtune.core.errors import LvtuneError

CAPTION = "caption"
"""The mode's name."""
_PREFIX = f"{CAPTION}:"


def key_of(caption: str) -> str:
    """What stands in place of a category for a caption."""
    return _PREFIX + "_".join(caption.split())


def is_key(category: str) -> bool:
    """Whether a category is a caption's key."""
    return category.startswith(_PREFIX)


def captions_of(*splits: Any) -> list[str]:
    """The captions (``description`` of the image) of each :class:`lvtune.domains.Split`, each once.

    Raises:
        LvtuneError: no picture has one.
    """
    described = [split for split in splits if split.task == "pose2d" and not split.views]
    texts = [text.strip() for split in described for text in split.table.column("description")]
    found = list(dict.fromkeys(filter(None, texts)))
    if not found:
        raise LvtuneError(
            f"captions of {splits[0].name}, whose pictures have none", "a `description` of the images annotated",
            "choose another --language.mode, such as category",
        )  # fmt: skip
    return found


def read_captions(split: Any) -> Any:
    """The split with a caption's key for the category of each person whose picture has one."""
    table = split.table.relabelled(lambda category, text: key_of(text) if text.strip() else category)
    return split.with_table(table)


def keys_of(split: Any, known: Container[str]) -> list[str]:
    """For each person the key of the picture's caption where that is ``known``, else the category."""
    rows = zip(split.table.column("category"), split.table.column("description"), strict=True)
    return [key if (key := key_of(text)) in known else category for category, text in rows]
