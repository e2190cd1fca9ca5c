"""The registry of domains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from lvtune.core.registry import Registry
from lvtune.domains.domain import Domain
from lvtune.language.sentences import SENTENCES, register_sentences


def _register_its_sentences(name: str, make: Callable[[], Domain]) -> None:
    if name not in SENTENCES:
        register_sentences(name)(_Sentences(make))


DOMAINS: Registry[Callable[[], Domain]] = Registry("domain", group="lvtune.domains", prepare=_register_its_sentences)
"""Name to a function that makes the domain."""


def register_domain(name: str) -> Callable[[Callable[[], Domain]], Callable[[], Domain]]:
    """Decorator that registers ``function() -> Domain`` for :func:`get_domain`, also in other packages."""
    return DOMAINS.register(name)


class _Sentences(Mapping[str, str]):
    """The sentences of a domain; the domain is made when they are first read."""

    def __init__(self, make: Callable[[], Domain]) -> None:
        self._make = make

    def __getitem__(self, category: str) -> str:
        return self._make().sentences[category]

    def __iter__(self) -> Iterator[str]:
        return iter(self._make().sentences)

    def __len__(self) -> int:
        return len(self._make().sentences)


def list_domains() -> list[str]:
    """Returns the names that :func:`get_domain` takes."""
    return DOMAINS.names()
