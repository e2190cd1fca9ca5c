"""examples/my_domain.py: a domain in a file of one's own is opened and its parts are found."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
from doc_place import write_woodcuts

import lvtune
from lvtune.domains import DOMAINS, get_domain
from lvtune.language.sentences import SENTENCES

EXAMPLE = Path(__file__).parents[2] / "examples/my_domain.py"


@pytest.fixture
def woodcuts(monkeypatch):
    for registry in (DOMAINS, SENTENCES):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    runpy.run_path(str(EXAMPLE))
    return get_domain("woodcuts")


def test_it_opens_each_part(woodcuts, tmp_path):
    folder = write_woodcuts(tmp_path / "cuts", 4)
    split = woodcuts.open("train", folder)
    assert split.name == "woodcuts (train)" and len(split.table) == 4
    assert {person.category for person in split.table} == {"old", "modern"}
    old = get_domain("woodcuts/old").open("test", folder)
    assert {person.category for person in old.table} == {"old"} and old.picture(0).ndim == 3


def test_what_is_missing_is_said(woodcuts, tmp_path):
    folder = write_woodcuts(tmp_path / "cuts", 2)
    (folder / "val.json").unlink()
    with pytest.raises(lvtune.LvtuneError, match="our museum"):
        woodcuts.open("val", folder)
    with pytest.raises(lvtune.LvtuneError, match="without its data"):
        woodcuts.open("train")
    assert json.loads((folder / "train.json").read_text())["images"]
