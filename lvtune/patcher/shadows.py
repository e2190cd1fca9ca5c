"""Puts a function in front of a method of one module, and takes it away again.

The function is an attribute of the instance; the class stays as it is. Others may set the same attribute while ours is
there (``model.forward = theirs``). Their function is kept: :meth:`Shadow.renew` puts ours in front of it, and
:meth:`Shadow.undo` leaves it where it is. It may call the function that it replaced: ours then passes the call on.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from torch import nn


class _Link:
    """One of our functions in front of a method."""

    __slots__ = ("before", "original", "replacement")

    def __init__(self, before: Any, original: Callable[..., Any], replacement: Callable[..., Any]) -> None:
        self.before, self.original, self.replacement = before, original, replacement


def _run(link: _Link, *args: Any, **kwargs: Any) -> Any:
    return link.replacement(link.original, *args, **kwargs)


def _pass_on(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return original(*args, **kwargs)


def _link_of(function: Any) -> _Link | None:
    """Returns the link behind an attribute that a shadow has set; None where somebody else has set it."""
    is_ours = isinstance(function, functools.partial) and function.func is _run
    return function.args[0] if is_ours else None


class Shadow:
    """Lets ``replacement(original, *args, **kwargs)`` run in place of the method ``name`` of ``module``."""

    def __init__(self, module: nn.Module, name: str, replacement: Callable[..., Any]) -> None:
        self.module, self.name, self.replacement = module, name, replacement
        self._put()

    def _put(self) -> None:
        original = getattr(self.module, self.name)
        self._link = _Link(self.module.__dict__.get(self.name), original, self.replacement)
        # wraps keeps the signature, which transformers reads
        self._function = functools.wraps(original)(functools.partial(_run, self._link))
        self.module.__dict__[self.name] = self._function

    @property
    def is_in_front(self) -> bool:
        """Returns True unless somebody else has set or deleted the attribute since ours was put there."""
        found = self.module.__dict__.get(self.name)
        if found is self._function:
            return True
        link = _link_of(found)
        return link is not None and link.replacement is not _pass_on  # another shadow of the same method

    def renew(self) -> bool:
        """Puts ours in front of what somebody else has set meanwhile; returns False if there was no need."""
        if self.is_in_front:
            return False
        self._link.replacement = _pass_on
        self._put()
        return True

    def undo(self) -> None:
        """Takes ours away. What others have set meanwhile stays, and calls through ours then pass on."""
        self._link.replacement = self.replacement = _pass_on
        if self.module.__dict__.get(self.name) is not self._function:
            return
        before = self._link.before
        link = _link_of(before)
        while link is not None and link.replacement is _pass_on:  # shadows of the same method, undone before this one
            before = link.before
            link = _link_of(before)
        if before is None:
            self.module.__dict__.pop(self.name)
        else:
            self.module.__dict__[self.name] = before


class Shadows:
    """The shadows on the modules of one model."""

    def __init__(self) -> None:
        self._all: list[Shadow] = []
        # one thread might renew what another takes away
        self._changing = threading.RLock()

    def add(self, shadow: Shadow) -> None:
        """Notes a shadow, to be renewed when others set the same method."""
        self._all.append(shadow)

    def undo(self, shadow: Shadow) -> None:
        """Takes a shadow away."""
        with self._changing:
            shadow.undo()
            self._all.remove(shadow)

    def renew(self) -> bool:
        """Puts every shadow in front of what others have set since; returns False if they have set nothing."""
        if all(shadow.is_in_front for shadow in self._all):
            return False
        with self._changing:
            return any([shadow.renew() for shadow in self._all])
