"""Dataclasses seen as options: their documentation, their typed values, and what is wrong with them.

The recipe and every method's config are dataclasses with a docstring under each field. YAML files and the
command line are views of them, and both go through :func:`build`.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import itertools
import logging
import math
import textwrap
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvtune.config.coerce import coerce, describe
from lvtune.core.errors import LvtuneError
from lvtune.core.registry import suggest

_log = logging.getLogger(__name__)

Problem = tuple[str, str, str]
"""The three parts of an error: given, expected, fix."""


@dataclass(frozen=True)
class Option:
    """One leaf of a dataclass: what YAML calls ``path`` and the command line ``--path``."""

    path: str
    hint: Any
    default: Any
    help: str
    repeats: bool = False
    """Whether the command line takes it several times, once for each entry of a list."""
    was: str = ""
    """The name of the leaf before it was renamed; empty where it was not."""

    @property
    def is_flag(self) -> bool:
        """Whether it is written ``--path`` and ``--no-path``."""
        return self.hint is bool


@functools.cache
def field_docs(cls: type) -> dict[str, str]:
    """The string literal under each field of a dataclass, inherited ones included; {} without source."""
    docs: dict[str, str] = {}
    for owner in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(owner):
            continue
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0].body
        except (OSError, TypeError, SyntaxError):
            continue
        for here, after in itertools.pairwise(body):
            is_doc = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if isinstance(here, ast.AnnAssign) and is_doc and isinstance(after.value.value, str):
                docs[here.target.id] = " ".join(after.value.value.split())
    return docs


@functools.cache
def hints_of(cls: type) -> dict[str, Any]:
    """Field name to resolved type, in order of definition, for the fields a user may set."""
    hints = typing.get_type_hints(cls)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls) if f.init}


def doc_of(cls: type, path: str) -> str:
    """The docstring of the field at a dotted path."""
    *rooms, leaf = path.split(".")
    for room in rooms:
        cls = hints_of(cls)[room]
    return field_docs(cls).get(leaf, "")


def default_of(cls: type, name: str) -> Any:
    """The default of a field, or ``dataclasses.MISSING``."""
    (field,) = (f for f in dataclasses.fields(cls) if f.name == name)
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default


def options_of(cls: type, prefix: str = "") -> list[Option]:
    """All leaves of a dataclass, nested ones with dotted paths."""
    found: list[Option] = []
    for name, hint in hints_of(cls).items():
        if dataclasses.is_dataclass(hint):
            found += options_of(hint, f"{prefix}{name}.")
        else:
            help_text = field_docs(cls).get(name, "")
            about = cls.__dataclass_fields__[name].metadata
            found.append(
                Option(
                    prefix + name,
                    hint,
                    default_of(cls, name),
                    help_text,
                    about.get("repeats", False),
                    about.get("was", ""),
                )
            )
    return found


def with_new_names(cls: type, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """``values`` with the present names of fields that were renamed.

    A field says its old name in its metadata, under ``was``. Where both names are given, the new one counts.

    Returns:
        The values, and old name to new name of those that were found.
    """
    fields = {f.metadata["was"]: f.name for f in dataclasses.fields(cls) if f.metadata.get("was")}
    found = {old: new for old, new in fields.items() if old in values}
    moved = {new: values[old] for old, new in found.items()}
    return {**moved, **{key: value for key, value in values.items() if key not in found}}, found


def build(cls: type, values: Mapping[str, Any], where: str = "") -> tuple[Any, list[Problem]]:
    """An instance of the dataclass ``cls`` from nested values, and every problem found on the way.

    Args:
        cls: a dataclass.
        values: field names to values; nested dataclasses are nested tables or instances.
        where: what stands before the field names in the messages, such as "train.".

    Returns:
        (instance, []) or (None, problems).
    """
    hints = hints_of(cls)
    values, renamed = with_new_names(cls, values)
    for old, new in renamed.items():
        _log.warning("note: option '%s%s' is now '%s%s'", where, old, where, new)
    problems = [_unknown(key, where, list(hints)) for key in values if key not in hints]
    kwargs: dict[str, Any] = {}
    for name in (n for n in hints if n in values):
        kwargs[name], found = _value(cls, name, values[name], where)
        problems += found
    if problems:
        return None, problems
    try:
        return cls(**kwargs), []
    except LvtuneError as error:
        return None, [(error.given, error.expected, error.fix)]
    except (ValueError, TypeError) as error:
        given = f"{where.rstrip('.') or cls.__name__}: {error}"
        return None, [(given, "values that fit together", "change one of them")]


def _value(cls: type, name: str, value: Any, where: str) -> tuple[Any, list[Problem]]:
    hint = hints_of(cls)[name]
    if dataclasses.is_dataclass(hint):
        if isinstance(value, hint):
            return value, []
        if value is None:
            return hint(), []
        if isinstance(value, Mapping):
            return build(hint, value, f"{where}{name}.")
        fix = f"write `{name}: {{{next(iter(hints_of(hint)))}: …}}`"
        return None, [(f"{where}{name} = {value!r}", "a table of options", fix)]
    try:
        result = coerce(value, hint)
    except ValueError:
        default = default_of(cls, name)
        has_default = default not in (None, dataclasses.MISSING, {})
        fix = f"such as {where}{name} = {show(default)}" if has_default else f"give {describe(hint)}"
        return None, [(f"{where}{name} = {value!r}", describe(hint), fix)]
    return result, _out_of_range(cls, name, result, where)


def _out_of_range(cls: type, name: str, value: Any, where: str) -> list[Problem]:
    (field,) = (f for f in dataclasses.fields(cls) if f.name == name)
    low, high = field.metadata.get("at_least", -math.inf), field.metadata.get("at_most", math.inf)
    above = field.metadata.get("above", -math.inf)
    numbers = value if isinstance(value, tuple) else (value,)
    numbers = [n for n in numbers if isinstance(n, int | float)]
    if all(low <= n <= high and n > above for n in numbers):
        return []
    near = show(min(max(numbers[0], low), high))
    limits = {f"at least {low:g}": low, f"more than {above:g}": above, f"at most {high:g}": high}
    words = [text for text, limit in limits.items() if math.isfinite(limit)]
    fix = f"give a larger {where}{name}" if math.isfinite(above) else f"such as {where}{name} = {near}"
    return [(f"{where}{name} = {show(value)}", " and ".join(words), fix)]


def _unknown(key: Any, where: str, known: list[str]) -> Problem:
    listing = f"one of {', '.join(where + k for k in known)}"
    close = suggest(str(key), known, "")
    fix = close.replace("'", f"'{where}", 1) if close else "remove it"
    return f"unknown option '{where}{key}'", listing, fix


def show(value: Any) -> str:
    """A value as a user would type it on the command line."""
    if isinstance(value, list | tuple):
        return ",".join(show(v) for v in value)
    if isinstance(value, Mapping):
        return ",".join(f"{k}={show(v)}" for k, v in value.items())
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)


def make(cls: type, values: Mapping[str, Any], where: str = "") -> Any:
    """:func:`build`, with all problems raised as one LvtuneError."""
    instance, problems = build(cls, values, where)
    raise_problems(problems)
    return instance


def raise_problems(problems: list[Problem]) -> None:
    """One LvtuneError for all problems; nothing when there are none."""
    if len(problems) == 1:
        raise LvtuneError(*problems[0])
    if problems:
        numbered = ["; ".join(f"({i}) {problem[part]}" for i, problem in enumerate(problems, 1)) for part in range(3)]
        raise LvtuneError(f"{len(problems)} mistakes: {numbered[0]}", numbered[1], numbered[2])


def plain(value: Any) -> Any:
    """``value`` as JSON and YAML can hold it: dataclasses become tables, tuples lists, paths text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: plain(getattr(value, name)) for name in hints_of(type(value))}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value
