"""Sentence grammars: templates with slots, where every combination of words for the slots makes a sentence.

A grammar is a YAML file. Those in the folder ``words`` ship with the package; a user names an own file by its path:

    title: drawings of people
    templates: ["a {tool} drawing of a {age} {category}"]
    slots:
      tool: [pencil, charcoal]
      age: [young, old]
      category: {dancer: dancer, athlete: "athlete in motion"}

A slot is a list of words, or a table from names to words. Each sentence is tagged with the name of its word in the slot
``category``. ``{sentences of: humanart}`` fills a slot with a domain's categories and their sentences. The sentences
are ordered by template, then by the slots from left to right; the last slot changes fastest.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import DataError, UsageError
from lvtune.core.registry import suggest
from lvtune.core.text import brief
from lvtune.language.sentences import sentences_of

FOLDER = Path(__file__).parent / "words"
CATEGORY, OF = "category", "sentences of"
_SLOT = re.compile(r"\{([^{}]*)\}")
_KEYS = ("title", "domains", "templates", "slots")


@dataclass(frozen=True)
class TaggedSentence:
    """A sentence and its category."""

    sentence: str
    category: str | None
    """Name of the word in the slot ``category``; None without such a slot."""


@dataclass(frozen=True)
class Grammar:
    """Templates and the words for their slots. The docstring of this file states the order of the sentences."""

    name: str
    title: str
    templates: tuple[str, ...]
    slots: Mapping[str, Mapping[str, str]]
    """Slot to name to word; in a slot given as a list, the names are the positions."""
    domains: tuple[str, ...] = ()
    """Domains that this grammar describes."""

    def counts(self) -> tuple[int, ...]:
        """Returns the number of sentences of each template."""
        sizes = ([len(self.slots[slot]) for slot in _SLOT.findall(template)] for template in self.templates)
        return tuple(int(np.prod(size, dtype=np.int64)) for size in sizes)

    def __len__(self) -> int:
        return sum(self.counts())

    def __iter__(self) -> Iterator[TaggedSentence]:
        for template in self.templates:
            names = _SLOT.findall(template)
            for chosen in itertools.product(*(self.slots[name].items() for name in names)):
                filled = iter(word for _, word in chosen)
                sentence = _SLOT.sub(lambda match, filled=filled: next(filled), template)
                tags = (key for name, (key, _) in zip(names, chosen, strict=True) if name == CATEGORY)
                yield TaggedSentence(sentence, next(tags, None))

    def tagged(self) -> list[TaggedSentence]:
        """Returns all sentences in order; a sentence from two combinations is there twice."""
        return list(self)

    def sentences(self) -> list[str]:
        """Returns the sentences in order, without their categories."""
        return [sentence.sentence for sentence in self]

    @property
    def categories(self) -> tuple[str, ...]:
        """Names in the slot ``category`` in order; empty without such a slot."""
        return tuple(self.slots.get(CATEGORY, ()))

    def of(self, categories: Sequence[str]) -> Grammar:
        """Returns the grammar with some of its categories alone.

        Raises:
            LvtuneError: the grammar has none of these categories.
        """
        kept = {name: word for name, word in self.slots.get(CATEGORY, {}).items() if name in categories}
        if not kept:
            raise UsageError(
                f"grammar '{self.name}' for {', '.join(categories)}", f"among {', '.join(self.categories) or 'none'}",
                "choose a grammar with these categories",
            )  # fmt: skip
        return Grammar(self.name, self.title, self.templates, {**self.slots, CATEGORY: kept}, self.domains)


def draw(count: int, items: Sequence[int], step: int, seed: int) -> np.ndarray:
    """Draws a number below ``count`` for each item, uniformly; the same item, step and seed give the same number.

    A number does not depend on the other items, so that several processes draw what one process would draw.

    Args:
        count: number of sentences.
        items: (B,) numbers of the samples.
        step: training step.
        seed: seed of the run.

    Returns:
        (B,) int64.
    """
    return np.array([np.random.default_rng([seed, step, int(item)]).integers(count) for item in items], dtype=np.int64)


def list_grammars() -> list[str]:
    """Returns the names of the shipped grammars."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def load_grammar(name: str | Path) -> Grammar:
    """Reads a grammar.

    Args:
        name: of a shipped grammar, or the path of a YAML file.

    Raises:
        LvtuneError: there is no such grammar, or the file is wrong.
    """
    shipped = FOLDER / f"{name}.yaml"
    is_file = Path(name).suffix in (".yaml", ".yml") or Path(name).is_file()
    if not is_file and not shipped.is_file():
        known = list_grammars()
        raise UsageError(f"unknown grammar '{name}'", f"one of {', '.join(known)}, or a YAML file",
                         suggest(str(name), known, "`lvtune list grammars` shows them"))  # fmt: skip
    return _read(Path(name) if is_file else shipped)


@functools.cache
def _shipped() -> tuple[Grammar, ...]:
    return tuple(load_grammar(name) for name in list_grammars())


def grammar_of(domain: str, sentences: Mapping[str, str]) -> Grammar:
    """Returns the shipped grammar of a domain; without one, a grammar of the domain's sentences.

    Args:
        domain: name; for a part of a domain, such as ``humanart/sketch``, the grammar has only the part's categories.
        sentences: category to sentence.
    """
    whole, _, part = domain.partition("/")
    shipped = next((grammar for grammar in _shipped() if whole in grammar.domains), None)
    if shipped is not None:
        return shipped.of(tuple(sentences)) if part and shipped.categories else shipped
    return sentence_grammar(whole, sentences)


def sentence_grammar(domain: str, sentences: Mapping[str, str]) -> Grammar:
    """Returns a grammar that consists of a domain's sentences (category to sentence)."""
    return Grammar(domain, f"sentences of {domain}", (f"{{{CATEGORY}}}",), {CATEGORY: dict(sentences)}, (domain,))


def _read(file: Path) -> Grammar:
    from lvtune.core.bounded_yaml import read_yaml_file

    values = read_yaml_file(file, "grammar")
    if not isinstance(values, dict) or not {"templates", "slots"} <= set(values):
        raise _fault(file, "no tables `templates` and `slots`", "both", "see `lvtune list grammars` for an example")
    unknown = next((key for key in values if key not in _KEYS), None)
    if unknown is not None:
        raise _fault(file, f"key '{unknown}'", f"among {', '.join(_KEYS)}",
                     suggest(str(unknown), list(_KEYS), "remove it"))  # fmt: skip
    templates = values["templates"]
    if isinstance(templates, str):
        templates = [templates]
    if not isinstance(templates, list) or not templates or not all(isinstance(t, str) and t.strip() for t in templates):
        raise _fault(file, f"templates {brief(templates)}", "a list of sentences with {slots}", "write at least one")
    if not isinstance(values["slots"], dict):
        raise _fault(file, f"slots {brief(values['slots'])}", "a table from slot to words", "write `slot: [word, ...]`")
    slots = {str(name): _words(file, str(name), words) for name, words in values["slots"].items()}
    lacking = next((slot for t in templates for slot in _SLOT.findall(t) if slot not in slots), None)
    if lacking is not None:
        raise _fault(file, f"slot {{{lacking}}} without words", f"slots among {', '.join(slots) or 'none'}",
                     suggest(lacking, list(slots), "add its words"))  # fmt: skip
    title, domains = str(values.get("title", file.stem)), tuple(map(str, values.get("domains") or ()))
    return Grammar(file.stem, title, tuple(templates), slots, domains)


def _words(file: Path, slot: str, given: Any) -> dict[str, str]:
    """Returns name to word of a slot."""
    if isinstance(given, dict) and set(given) == {OF}:
        return sentences_of(str(given[OF]))
    named = given if isinstance(given, dict) else dict(enumerate(given)) if isinstance(given, list) else None
    # YAML reads some words as other types (yes, 1); the word was meant
    if not named or any(isinstance(word, dict | list | bool) or word is None for word in named.values()):
        raise _fault(file, f"slot '{slot}' = {brief(given)}", "a list of words, or a table from names to words",
                     'quote words such as "no"')  # fmt: skip
    return {str(name): str(word).strip() for name, word in named.items()}


def _fault(file: Path, given: str, expected: str, fix: str) -> DataError:
    return DataError(f"grammar {file} with {given}", expected, fix)
