"""Reads dataclasses as options: their documentation, their types, and what is wrong with given values.

The recipe and every method's config are dataclasses with a docstring under each field. YAML files and the command
line are views of them, and both go through :func:`build`. A field's metadata may hold:

- ``at_least``, ``at_most``, ``above``: the range of a number; without them, whole numbers have 32 bits;
- ``instead_of``: names of other fields, with commas, whose place this one takes: only one of them may be given;
- ``was``: the name of the field before it was renamed;
- ``repeats``: True if the command line takes the option several times, once for each entry of a list.
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
from lvtune.core.errors import LvtuneError, UsageError
from lvtune.core.registry import suggest
from lvtune.core.text import brief, cut

_log = logging.getLogger(__name__)

Problem = tuple[str, str, str]
"""The three parts of an error: given, expected, fix."""
_SMALLEST, _LARGEST = -(2**31), 2**31 - 1


@dataclass(frozen=True)
class Option:
    """One leaf of a dataclass. YAML calls it ``path``, the command line ``--path``."""

    path: str
    hint: Any
    default: Any
    help: str
    repeats: bool = False
    """True if the command line takes it several times, once for each entry of a list."""
    was: str = ""
    """The name of the leaf before it was renamed; empty if it was not."""

    @property
    def is_flag(self) -> bool:
        """Returns True if it is written ``--path`` and ``--no-path``."""
        return self.hint in (bool, bool | None)


@functools.cache
def field_docs(cls: type) -> dict[str, str]:
    """Returns the string literal under each field of a dataclass, those of base classes too; {} without source."""
    docs: dict[str, str] = {}
    for owner in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(owner):
            continue
        try:
            (definition,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        except (OSError, TypeError, SyntaxError, ValueError):
            continue
        body = definition.body if isinstance(definition, ast.ClassDef) else []
        for here, after in itertools.pairwise(body):
            if not (isinstance(here, ast.AnnAssign) and isinstance(here.target, ast.Name)):
                continue
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                docs[here.target.id] = " ".join(str(after.value.value).split())
    return docs


@functools.cache
def hints_of(cls: type) -> dict[str, Any]:
    """Returns field name to resolved type, in the order of definition, for the fields that a user may set."""
    hints = typing.get_type_hints(cls)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls) if f.init}


@functools.cache
def replaced_by(cls: type) -> dict[str, tuple[str, ...]]:
    """Returns for each field with ``instead_of`` the names of the fields whose place it takes."""
    return {
        f.name: tuple(f.metadata["instead_of"].split(","))
        for f in dataclasses.fields(cls)
        if "instead_of" in f.metadata
    }


@functools.cache
def rivals_of(cls: type) -> dict[str, set[str]]:
    """Returns for each field the fields that may not be given beside it, by ``instead_of`` of either."""
    rivals: dict[str, set[str]] = {f.name: set() for f in dataclasses.fields(cls)}
    for name, others in replaced_by(cls).items():
        for other in others:
            rivals[name].add(other)
            rivals[other].add(name)
    return rivals


def doc_of(cls: type, path: str) -> str:
    """Returns the docstring of the field at a dotted path."""
    *parents, leaf = path.split(".")
    for parent in parents:
        cls = hints_of(cls)[parent]
    return field_docs(cls).get(leaf, "")


def default_of(cls: type, name: str) -> Any:
    """Returns the default of a field, or ``dataclasses.MISSING``."""
    (field,) = (f for f in dataclasses.fields(cls) if f.name == name)
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default


def options_of(cls: type, prefix: str = "") -> list[Option]:
    """Returns all leaves of a dataclass; those of nested dataclasses have dotted paths."""
    options: list[Option] = []
    for name, hint in hints_of(cls).items():
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            options += options_of(hint, f"{prefix}{name}.")
        else:
            about = cls.__dataclass_fields__[name].metadata  # type: ignore[attr-defined]  # of every dataclass
            help_text = field_docs(cls).get(name, "")
            repeats, was = about.get("repeats", False), about.get("was", "")
            options.append(Option(prefix + name, hint, default_of(cls, name), help_text, repeats, was))
    return options


def with_new_names(cls: type, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Replaces the old names of renamed fields in ``values`` by the new ones.

    A field's metadata holds its old name under ``was``. If both names are given, the value under the new one counts.

    Returns:
        The values, and old name to new name for each old name that was given.
    """
    fields = {f.metadata["was"]: f.name for f in dataclasses.fields(cls) if f.metadata.get("was")}
    renamed = {old: new for old, new in fields.items() if old in values}
    moved = {new: values[old] for old, new in renamed.items()}
    return {**moved, **{key: value for key, value in values.items() if key not in renamed}}, renamed


def build(cls: type, values: Mapping[str, Any], where: str = "") -> tuple[Any, list[Problem]]:
    """Makes an instance of the dataclass ``cls`` from nested values, and collects all problems with them.

    Args:
        cls: a dataclass.
        values: field names to values; nested dataclasses are nested tables or instances.
        where: what stands before the field names in messages, such as "train.".

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
        kwargs[name], more = _value(cls, name, values[name], where)
        problems += more
    problems += _given_twice(cls, kwargs, where)
    if problems:
        return None, problems
    try:
        return cls(**kwargs), []
    except LvtuneError as error:
        return None, [(error.given, error.expected, error.fix)]
    except (ValueError, TypeError) as error:
        given = f"{where.rstrip('.') or cls.__name__}: {cut(error, 200)}"
        return None, [(given, "values that fit together", "change one of them")]


def _value(cls: type, name: str, value: Any, where: str) -> tuple[Any, list[Problem]]:
    hint = hints_of(cls)[name]
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _nested(hint, name, value, where)
    if value == "none" and cls.__dataclass_fields__[name].metadata.get("none_is_a_value"):
        return value, []
    try:
        result = coerce(value, hint)
    except ValueError:
        default = default_of(cls, name)
        has_default = default not in (None, dataclasses.MISSING, {}, "")
        fix = f"such as {where}{name} = {show(default)}" if has_default else f"give {describe(hint)}"
        return None, [(f"{where}{name} = {brief(value)}", describe(hint), fix)]
    return result, _out_of_range(cls, name, result, where)


def _nested(cls: type, name: str, value: Any, where: str) -> tuple[Any, list[Problem]]:
    if isinstance(value, cls):
        return value, []
    if value is None:
        return cls(), []
    if isinstance(value, Mapping):
        return build(cls, value, f"{where}{name}.")
    fix = f"write `{name}: {{{next(iter(hints_of(cls)))}: …}}`"
    return None, [(f"{where}{name} = {brief(value)}", "a table of options", fix)]


def _given_twice(cls: type, values: Mapping[str, Any], where: str) -> list[Problem]:
    """Finds pairs of options of which only one may be given."""
    pairs = [
        (name, other)
        for name, others in replaced_by(cls).items()
        for other in others
        if None not in (values.get(name), values.get(other))
    ]
    return [
        (
            f"both {where}{other} = {cut(show(values[other]))} and {where}{name} = {cut(show(values[name]))}",
            f"one of them: {where}{name} takes the place of {where}{other}",
            f"remove {where}{other} or {where}{name}",
        )
        for name, other in pairs
    ]


def check_given_once(options: Any) -> None:
    """Checks that a dataclass instance has no two values of which only one may be given; for ``__post_init__``.

    Raises:
        UsageError: it has.
    """
    problems = _given_twice(type(options), vars(options), "")
    if problems:
        raise UsageError(*problems[0])


def _out_of_range(cls: type, name: str, value: Any, where: str) -> list[Problem]:
    (field,) = (f for f in dataclasses.fields(cls) if f.name == name)
    values = value if isinstance(value, tuple | list) else (value,)
    numbers = [n for n in values if isinstance(n, int | float) and not isinstance(n, bool)]
    whole = any(isinstance(n, int) for n in numbers)
    above = field.metadata.get("above")
    low = field.metadata.get("at_least", above if above is not None else _SMALLEST if whole else -math.inf)
    high = field.metadata.get("at_most", _LARGEST if whole else math.inf)
    wrong = [n for n in numbers if not low <= n <= high or (above is not None and n <= above)]
    if not wrong:
        return []
    words = [f"more than {above:g}"] if above is not None else []
    words += [f"at least {low}"] if "at_least" in field.metadata or (above is None and wrong[0] < low) else []
    words += [f"at most {high}"] if "at_most" in field.metadata or wrong[0] > high else []
    near = f"such as {where}{name} = {show(high if wrong[0] > high else low)}"
    fix = f"give a larger {where}{name}" if above is not None and wrong[0] <= above else near
    return [(f"{where}{name} = {cut(show(value), 200)}", " and ".join(words), fix)]


def _unknown(key: Any, where: str, known: list[str]) -> Problem:
    listing = f"one of {', '.join(where + k for k in known)}"
    close = suggest(cut(key, 200), known, "")
    fix = close.replace("'", f"'{where}", 1) if close else "remove it"
    return f"unknown option '{where}{cut(key)}'", listing, fix


def show(value: Any) -> str:
    """Returns a value as a user would type it on the command line; a huge number by its length."""
    if isinstance(value, list | tuple):
        return ",".join(show(v) for v in value)
    if isinstance(value, Mapping):
        return ",".join(f"{k}={show(v)}" for k, v in value.items())
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return brief(value)
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)


def make(cls: type, values: Mapping[str, Any], where: str = "") -> Any:
    """Makes an instance as :func:`build` does.

    Raises:
        UsageError: all problems in one error.
    """
    instance, problems = build(cls, values, where)
    raise_problems(problems)
    return instance


def raise_problems(problems: list[Problem]) -> None:
    """Raises one UsageError for all problems; returns if there are none."""
    if len(problems) == 1:
        raise UsageError(*problems[0])
    if problems:
        numbered = ["; ".join(f"({i}) {problem[part]}" for i, problem in enumerate(problems, 1)) for part in range(3)]
        raise UsageError(f"{len(problems)} mistakes: {numbered[0]}", numbered[1], numbered[2])


def plain(value: Any) -> Any:
    """Returns ``value`` as JSON and YAML can hold it: dataclasses become tables, tuples lists, paths text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: plain(getattr(value, name)) for name in hints_of(type(value))}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value
