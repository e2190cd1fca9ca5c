"""Sentences that say what the pictures of a domain look like, written by hand.

The loader of VLPose (released code, commit f312a9f) looks a category up in a file that was not released;
these sentences are ours. ``apply_mode`` gives the keyword modes of that loader.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lvtune.core.errors import LvtuneError
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
"""Domain name to its sentences by category; `register_sentences` adds a domain's."""
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
    """Category to sentence of a domain; ``humanart/sketch`` gives that category's alone.

    Raises:
        LvtuneError: a domain without sentences here, or no such category.
    """
    whole, _, part = domain.partition("/")
    sentences = dict(SENTENCES.get(whole))
    if not part:
        return sentences
    wanted = [name.strip() for name in part.split(",")]
    lacking = [name for name in wanted if name not in sentences]
    if lacking:
        raise LvtuneError(
            f"no sentence for '{lacking[0]}' of domain '{whole}'", f"one of {', '.join(sentences)}",
            suggest(lacking[0], list(sentences), f"'{whole}' takes all"),
        )  # fmt: skip
    return {name: sentences[name] for name in wanted}


def sentence_for(category: str) -> str:
    """The sentence of a category of Human-Art, the photograph's for ``photo``, else the general one."""
    return {"photo": PHOTO, **HUMAN_ART}.get(category, PICTURE)


SENTENCE_MODES = ("category", "human", "none", "keypoints")
"""Keyword modes 1, −1, −2 and 2 of the released loader, which make other sentences of a domain's."""
MODES = ("category", "human", "none", "keypoints", "caption", "random", "random-each-call")
"""All keyword modes; 0 is ``caption``, −3 and −4 are ``random`` and ``random-each-call``."""


def own_sentences(sentences: Mapping[str, str], given: Mapping[str, str] | str | None) -> dict[str, str]:
    """A domain's sentences with the user's own in their place.

    Args:
        sentences: category to sentence.
        given: category to sentence, for some or all; a YAML or JSON file of these; one sentence for all categories.

    Raises:
        LvtuneError: a category that the domain does not have; a file that cannot be read.
    """
    if isinstance(given, str) and not given.lower().endswith((".yaml", ".yml", ".json")):
        return dict.fromkeys(sentences, given)
    own = _read(Path(given)) if isinstance(given, str) else dict(given or {})
    unknown = [name for name in own if name not in sentences]
    if unknown:
        raise LvtuneError(
            f"a sentence for '{unknown[0]}', which is no category here", f"one of {', '.join(sentences)}",
            suggest(unknown[0], list(sentences), "leave it out"),
        )  # fmt: skip
    return {**sentences, **own}


def _read(path: Path) -> dict[str, str]:
    from lvtune.config.bounded_yaml import read_yaml_file

    found = read_yaml_file(path.expanduser(), "sentences in")
    if not isinstance(found, dict) or not all(isinstance(part, str) for pair in found.items() for part in pair):
        raise LvtuneError(f"sentences in {path}", "a table of categories and sentences",
                          "write `sketch: a sketch of a human` lines")  # fmt: skip
    return found


def apply_mode(
    sentences: Mapping[str, str], mode: str = "category", keypoints: Sequence[str] = ()
) -> dict[str, tuple[str, ...]]:
    """The sentences that a keyword mode makes of a domain's.

    Args:
        sentences: category to sentence.
        mode: ``category``, one sentence a category; ``human``, "a photo of a human" for all; ``none``, the
            word "None"; ``keypoints``, one sentence a key point, "human" replaced by "human's left elbow".
        keypoints: names, for ``keypoints``.

    Returns:
        Category to sentences, whose token states are to be put one after the other.

    Raises:
        LvtuneError: unknown mode; ``keypoints`` without names, or a sentence without the word "human".
    """
    if mode not in SENTENCE_MODES:
        known = ", ".join(SENTENCE_MODES)
        raise LvtuneError(
            f"sentence mode '{mode}'", f"one of {known}", suggest(mode, list(SENTENCE_MODES), "choose one")
        )
    fixed = {"human": PHOTO, "none": NONE}
    if mode != "keypoints":
        return {category: (fixed.get(mode, sentence),) for category, sentence in sentences.items()}
    if not keypoints:
        raise LvtuneError("sentence mode 'keypoints' without key points", "their names",
                          "pass skeleton.keypoints")  # fmt: skip
    names = [name.replace("_", " ") for name in keypoints]
    for sentence in sentences.values():
        if not re.search(r"\bhuman\b", sentence):
            raise LvtuneError(
                f"sentence '{sentence}' in sentence mode 'keypoints'", 'a sentence with the word "human"',
                'write it with "human", such as "a sketch of a human"',
            )  # fmt: skip
    return {
        category: tuple(re.sub(r"\bhuman\b", f"human's {name}", sentence) for name in names)
        for category, sentence in sentences.items()
    }
