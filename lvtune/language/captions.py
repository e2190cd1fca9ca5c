"""Each picture's own caption in place of its category's sentence (keyword mode 0 of VLPose's released loader).

A caption is embedded under a key of its own. The bank holds the sentences of the categories too, for pictures without a
caption.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from lvtune.core.errors import DataError

CAPTION = "caption"
"""Name of the mode."""
_PREFIX = f"{CAPTION}:"


def key_of(caption: str) -> str:
    """Returns the key of a caption, which takes the place of a category."""
    return _PREFIX + "_".join(caption.split())


def is_key(category: str) -> bool:
    """Returns True if a category is the key of a caption."""
    return category.startswith(_PREFIX)


def captions_of(*splits: Any) -> list[str]:
    """Returns the distinct captions (``description`` of the image) of :class:`lvtune.domains.Split` objects.

    Raises:
        LvtuneError: no picture has a caption.
    """
    described = [split for split in splits if split.task == "pose2d" and not split.views]
    texts = [text.strip() for split in described for text in split.table.column("description")]
    captions = list(dict.fromkeys(filter(None, texts)))
    if not captions:
        raise DataError(
            f"captions of {splits[0].name}, whose pictures have none", "a `description` of the annotated images",
            "choose another --language.mode, such as category",
        )  # fmt: skip
    return captions


def read_captions(split: Any) -> Any:
    """Returns a split in which each person whose picture has a caption has the caption's key as its category."""
    table = split.table.relabelled(lambda category, text: key_of(text) if text.strip() else category)
    return split.with_table(table)


def keys_of(split: Any, known: Container[str]) -> list[str]:
    """Returns for each person the key of the picture's caption if it is in ``known``, else the category."""
    rows = zip(split.table.column("category"), split.table.column("description"), strict=True)
    return [key if (key := key_of(text)) in known else category for category, text in rows]
