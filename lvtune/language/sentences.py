"""Sentences that describe the pictures of each domain, by category.

The loader of VLPose (released code, commit f312a9f) reads its sentences from a file that was not released. The
sentences here are our own. :func:`apply_mode` has the keyword modes of that loader.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lvtune.core.errors import DataError, UsageError
from lvtune.core.registry import Registry, suggest
from lvtune.language.animals import AP10K
from lvtune.language.hand_pictures import HANDS

PHOTO = "a photo of a human"
PICTURE = "a picture of a human"
NONE = "None"

HUMAN_ART = {
    "acrobatics": "a photo of a human doing acrobatics",
    "cosplay": "a photo of a human in cosplay",
    "dance": "a photo of a human dancing",
    "drama": "a photo of a human acting in a drama",
    "movie": "a movie still of a human",
    "cartoon": "a cartoon of a human",
    "digital_art": "a piece of digital art showing a human",
    "ink_painting": "an ink painting of a human",
    "kids_drawing": "a kid's drawing of a human",
    "mural": "a mural of a human",
    "oil_painting": "an oil painting of a human",
    "shadow_play": "a scene of shadow play with a human",
    "sketch": "a sketch of a human",
    "stained_glass": "a stained glass window of a human",
    "ukiyoe": "a ukiyo-e woodblock print of a human",
    "watercolor": "a watercolor painting of a human",
    "garage_kits": "a garage kit figure of a human",
    "relief": "a relief carving of a human",
    "sculpture": "a sculpture of a human",
}

SENTENCES: Registry[Mapping[str, str]] = Registry("set of sentences", listing="lvtune list domains")
"""Name of a domain to its sentences by category; ``register_sentences`` adds a domain."""
register_sentences = SENTENCES.register
register_sentences("humanart")(HUMAN_ART)
register_sentences("coco")({"photo": PHOTO})
register_sentences("demo-art")(
    {
        name: HUMAN_ART[name]
        for name in ("sketch", "ink_painting", "oil_painting", "watercolor", "cartoon", "stained_glass")
    }
)
register_sentences("ap10k")(AP10K)
for _domain, _sentences in HANDS.items():
    register_sentences(_domain)(_sentences)
register_sentences("custom")({"default": PICTURE})


def sentences_of(domain: str) -> dict[str, str]:
    """Returns category to sentence of a domain; for ``humanart/sketch`` of that category alone.

    Raises:
        LvtuneError: the domain has no registered sentences, or no such category.
    """
    whole, _, part = domain.partition("/")
    sentences = dict(SENTENCES.get(whole))
    if not part:
        return sentences
    wanted = [name.strip() for name in part.split(",")]
    lacking = [name for name in wanted if name not in sentences]
    if lacking:
        raise UsageError(
            f"no sentence for '{lacking[0]}' of domain '{whole}'", f"one of {', '.join(sentences)}",
            suggest(lacking[0], list(sentences), f"'{whole}' takes all"),
        )  # fmt: skip
    return {name: sentences[name] for name in wanted}


def sentence_for(category: str) -> str:
    """Returns the sentence of a category of Human-Art, that of photographs for ``photo``, else the general one."""
    return {"photo": PHOTO, **HUMAN_ART}.get(category, PICTURE)


SENTENCE_MODES = ("category", "human", "none", "keypoints")
"""Keyword modes 1, −1, −2 and 2 of the released loader, which change a domain's sentences."""
MODES = ("category", "human", "none", "keypoints", "caption", "random", "random-each-call")
"""All keyword modes; ``caption`` is 0, ``random`` −3 and ``random-each-call`` −4."""


def own_sentences(sentences: Mapping[str, str], given: Mapping[str, str] | str | None) -> dict[str, str]:
    """Returns a domain's sentences, replaced by the user's own where there are any.

    Args:
        sentences: category to sentence.
        given: category to sentence for some or all categories; a YAML or JSON file with such a table; or one sentence
            for all categories.

    Raises:
        LvtuneError: the domain does not have one of the categories, or the file cannot be read.
    """
    if isinstance(given, str) and not given.lower().endswith((".yaml", ".yml", ".json")):
        return dict.fromkeys(sentences, given)
    own = _read(Path(given)) if isinstance(given, str) else dict(given or {})
    unknown = [name for name in own if name not in sentences]
    if unknown:
        raise UsageError(
            f"a sentence for '{unknown[0]}', which is no category here", f"one of {', '.join(sentences)}",
            suggest(unknown[0], list(sentences), "leave it out"),
        )  # fmt: skip
    return {**sentences, **own}


def _read(path: Path) -> dict[str, str]:
    from lvtune.core.bounded_yaml import read_yaml_file

    table = read_yaml_file(path.expanduser(), "sentences in")
    if not isinstance(table, dict) or not all(isinstance(part, str) for pair in table.items() for part in pair):
        raise DataError(f"sentences in {path}", "a table of categories and sentences",
                        "write `sketch: a sketch of a human` lines")  # fmt: skip
    return table


def apply_mode(
    sentences: Mapping[str, str], mode: str = "category", keypoints: Sequence[str] = ()
) -> dict[str, tuple[str, ...]]:
    """Returns a domain's sentences as a keyword mode changes them.

    Args:
        sentences: category to sentence.
        mode: ``category``: one sentence per category; ``human``: "a photo of a human" for all; ``none``: the word
            "None"; ``keypoints``: one sentence per key point, with "human's left elbow" in place of "human".
        keypoints: names of the key points, for mode ``keypoints``.

    Returns:
        Category to sentences; the token states of several sentences are concatenated.

    Raises:
        LvtuneError: the mode is unknown; mode ``keypoints`` without names, or with a sentence without the word "human".
    """
    if mode not in SENTENCE_MODES:
        known = ", ".join(SENTENCE_MODES)
        raise UsageError(
            f"sentence mode '{mode}'", f"one of {known}", suggest(mode, list(SENTENCE_MODES), "choose one")
        )
    fixed = {"human": PHOTO, "none": NONE}
    if mode != "keypoints":
        return {category: (fixed.get(mode, sentence),) for category, sentence in sentences.items()}
    if not keypoints:
        raise UsageError("sentence mode 'keypoints' without key points", "their names",
                         "pass skeleton.keypoints")  # fmt: skip
    names = [name.replace("_", " ") for name in keypoints]
    for sentence in sentences.values():
        if not re.search(r"\bhuman\b", sentence):
            raise UsageError(
                f"sentence '{sentence}' in sentence mode 'keypoints'", 'a sentence with the word "human"',
                'write it with "human", such as "a sketch of a human"',
            )  # fmt: skip
    return {
        category: tuple(re.sub(r"\bhuman\b", f"human's {name}", sentence) for name in names)
        for category, sentence in sentences.items()
    }
