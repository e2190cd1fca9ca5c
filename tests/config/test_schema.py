"""Dataclasses as options: types, docs, and problems told together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest

from lvtune.config.coerce import coerce, describe
from lvtune.config.options import DataOptions, TrainOptions
from lvtune.config.schema import build, field_docs, make, options_of, rivals_of
from lvtune.config.tables import merge
from lvtune.core.errors import LvtuneError, UsageError


@dataclass(frozen=True)
class Inner:
    rate: float = field(default=0.5, metadata={"at_least": 0, "at_most": 1})
    """A rate;
    between 0 and 1."""


@dataclass(frozen=True)
class Outer:
    count: int = 3
    """How many."""
    kind: Literal["a", "b"] | None = None
    """Which."""
    inner: Inner = Inner()
    """The inner one."""


@pytest.mark.parametrize(
    ("given", "hint", "expected"),
    [
        ("4", int, 4),
        ("4.0", int, 4),
        ("5e-4", float, 5e-4),
        (3, float, 3.0),
        ("no", bool, False),
        (False, Literal["auto", "yes", "no"], "no"),  # as YAML reads a bare no
        (True, Literal["auto", "yes", "no"], "yes"),
        (False, Literal["auto", "no"] | None, "no"),
        ("none", int | None, None),
        ("1,2", tuple[float, float], (1.0, 2.0)),
        ([1, 2, 3], tuple[int, ...], (1, 2, 3)),
        (
            "sketch=a pencil sketch,mural=a mural",
            dict[str, str],
            {"sketch": "a pencil sketch", "mural": "a mural"},
        ),
    ],
)
def test_values_from_text_and_yaml(given, hint, expected):
    result = coerce(given, hint)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("given", "hint"),
    [("x", int), (2.5, int), (True, int), ("nan", float), ("maybe", bool), (1, bool), (None, str),
     (["a"], str), ("1,2,3", tuple[int, int]), ("c", Literal["a", "b"]), (True, Literal["auto", "no"]),
     ("sketch", dict[str, str])],
)  # fmt: skip
def test_wrong_types_are_refused(given, hint):
    with pytest.raises(ValueError):
        coerce(given, hint)


def test_docs_are_read_from_the_source():
    assert field_docs(Outer)["count"] == "How many."
    assert field_docs(Inner)["rate"] == "A rate; between 0 and 1."
    assert [o.path for o in options_of(Outer)] == ["count", "kind", "inner.rate"]
    assert describe(Literal["a", "b"] | None) == "one of a, b"


def test_nested_tables_become_an_instance():
    assert make(Outer, {"kind": "b", "inner": {"rate": "0.25"}}) == Outer(kind="b", inner=Inner(0.25))


def test_every_problem_is_told_with_its_path():
    instance, problems = build(Outer, {"cuont": 1, "kind": "c", "inner": {"rate": 2}})
    assert instance is None
    assert [given for given, _, _ in problems] == ["unknown option 'cuont'", "kind = 'c'", "inner.rate = 2"]
    assert problems[0][2] == "did you mean 'count'?"
    assert problems[1][1] == "one of a, b"
    assert problems[2][1:] == ("at least 0 and at most 1", "such as inner.rate = 1")
    with pytest.raises(LvtuneError, match="3 mistakes"):
        make(Outer, {"cuont": 1, "kind": "c", "inner": {"rate": 2}})


@dataclass(frozen=True)
class Limited:
    seed: int = field(default=0, metadata={"at_least": 0, "at_most": 2**32 - 1})
    """A seed."""
    count: int = 3
    """Any whole number of 32 bits."""
    lr: float | None = field(default=None, metadata={"above": 0, "at_most": 100})
    """A rate."""
    several: tuple[int, ...] = field(default=(), metadata={"at_least": 1})
    """A list."""
    name: str = ""
    """A name."""


@pytest.mark.parametrize(
    ("values", "given", "expected", "fix"),
    [
        ({"seed": 2**32}, "seed = 4294967296", "at least 0 and at most 4294967295", "such as seed = 4294967295"),
        ({"seed": -1}, "seed = -1", "at least 0 and at most 4294967295", "such as seed = 0"),
        ({"count": 10**30}, "count = a whole number of about 31 digits", "at most 2147483647", "count = 2147483647"),
        ({"count": -(10**12)}, "count = -1000000000000", "at least -2147483648", "such as count = -2147483648"),
        ({"lr": 0}, "lr = 0", "more than 0 and at most 100", "give a larger lr"),
        ({"lr": 101}, "lr = 101", "more than 0 and at most 100", "such as lr = 100"),
        ({"lr": 10**400}, "lr = a whole number of about 4", "a number", "give a number"),
        ({"lr": "1e999"}, "lr = '1e999'", "a number", "give a number"),
        ({"several": [3, 0]}, "several = 3,0", "at least 1", "such as several = 1"),
        ({"name": "a\0b"}, "name = 'a\\x00b'", "text", "give text"),
        ({"name": "\ud800"}, "name = '\\ud800'", "text", "give text"),
    ],
)  # fmt: skip
def test_ranges_are_checked_and_huge_values_are_cut(values, given, expected, fix):
    with pytest.raises(UsageError) as error:
        make(Limited, values)
    assert error.value.given.startswith(given)
    assert error.value.expected == expected
    assert error.value.fix.endswith(fix)


def test_limits_themselves_are_fine():
    made = make(Limited, {"seed": 2**32 - 1, "lr": 100, "count": "-2147483648", "several": "1,2"})
    assert made == Limited(2**32 - 1, -(2**31), 100.0, (1, 2))


@dataclass(frozen=True)
class Exclusive:
    epochs: int | None = None
    """One."""
    steps: int | None = field(default=None, metadata={"instead_of": "epochs"})
    """Two."""
    minutes: int | None = field(default=None, metadata={"instead_of": "epochs,steps"})
    """Three."""


def test_one_of_three_may_be_given():
    assert rivals_of(Exclusive) == {
        "epochs": {"steps", "minutes"}, "steps": {"epochs", "minutes"}, "minutes": {"epochs", "steps"}
    }  # fmt: skip
    assert make(Exclusive, {"minutes": 3, "epochs": None}).minutes == 3
    assert merge({"epochs": 1, "steps": None}, {"minutes": 3}, Exclusive) == {"minutes": 3}
    assert merge({"minutes": 3}, {"epochs": 1}, Exclusive) == {"epochs": 1}
    _, problems = build(Exclusive, {"minutes": 3, "epochs": 1, "steps": 2})
    assert len(problems) == 3 and problems[0][0] == "both epochs = 1 and steps = 2"


def test_messages_stay_short():
    with pytest.raises(UsageError) as error:
        make(Limited, {"x" * 100_000: 1, "name": ["y" * 100_000] * 50, "seed": "z" * 100_000})
    assert len(str(error.value)) < 1500


def test_a_range_of_factors_has_the_smaller_one_first():
    with pytest.raises(UsageError, match=r"train\.augment\.scale = 1\.5,0\.5; expected the smaller factor first"):
        make(TrainOptions, {"augment": {"scale": [1.5, 0.5]}}, "train.")


@pytest.mark.parametrize("name", ["source_data", "boxes"])
def test_none_is_a_value_where_the_help_says_so(name):
    """``--source-data none`` leaves the source out; that is not the same as saying nothing."""
    assert getattr(make(DataOptions, {name: "none"}), name) == "none"
    assert getattr(make(DataOptions, {name: None}), name) is None
    assert make(DataOptions, {"mix": "none"}).mix is None
