"""Mirror pairs that are typed, and the links of a category."""

from __future__ import annotations

import pytest

from lvtune.core.errors import UsageError
from lvtune.data.flip_pairs import parse_flip_pairs
from lvtune.data.skeleton_links import read_links

NAMES = ["nose", "a1", "a2", "b1", "b2"]


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("a1:a2", ((1, 2),)),
        ("a2:a1, b1:b2", ((2, 1), (3, 4))),
        ("1:2,b1 : b2,", ((1, 2), (3, 4))),
        ("midline", ()),
        ("Midline ", ()),
    ],
)
def test_pairs_as_typed(text, pairs):
    assert parse_flip_pairs(text, NAMES) == pairs


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "flip pairs ''"),
        ("a1", "flip pairs 'a1'"),
        ("a1:a2:b1", "flip pairs"),
        ("a1:a3", "key point 'a3'"),
        ("0:9", "key point '9'"),
        ("a1:a2,a2:b1", "in two mirror pairs"),
        ("a1:a1", "in two mirror pairs"),
    ],
)
def test_pairs_that_are_none(text, word):
    with pytest.raises(Exception, match=word) as error:
        parse_flip_pairs(text, NAMES)
    assert error.value.expected and error.value.fix
    assert isinstance(error.value, UsageError) or "mirror pairs" in word


def test_a_typo_names_the_closest_key_point():
    with pytest.raises(UsageError, match="left_ear"):
        parse_flip_pairs("leftear:right_ear", ["left_ear", "right_ear"])


@pytest.mark.parametrize(
    ("values", "links", "said"),
    [
        ([[1, 2], [2, 3]], ((0, 1), (1, 2)), ""),
        ([[0, 1], [1, 2]], ((0, 1), (1, 2)), "count from 0"),
        ([[0, 1], [2, 3]], ((1, 2),), "1 of 2 links"),  # 0 and K: neither way for all
        ([[1, 9], [1, 2]], ((0, 1),), "1 of 2 links"),
        ([[-1, 2], [3, 3], [2, 3]], ((1, 2),), "2 of 3 links"),
        ([["1", "2"], [2.0, 3.0]], ((0, 1), (1, 2)), ""),
        ([1, 2], (), "2 of 2 links"),
        ([[1, 2, 3], None, ["a", "b"]], (), "3 of 3 links"),
        (7, (), "not a list of pairs"),
        ({"a": 1}, (), "not a list of pairs"),
        (None, (), ""),
        ([], (), ""),
    ],
)
def test_links_that_cannot_be_are_dropped(values, links, said):
    notes = []
    assert read_links(values, 3, notes) == links
    assert (said in notes[0]) if said else notes == []
