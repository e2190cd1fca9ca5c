"""The bases and adapters that all visitors share."""

import pytest
import tiny
import torch
from demo_samples import ONE, TWO, shared_base

import lvtune
from lvtune.core.errors import LvtuneError, UsageError
from lvtune.demo.shared_bases import SharedBase, open_bases, titles_of


def test_what_ships_is_offered_where_nothing_is_given():
    bases = open_bases([])
    assert list(bases) == ["vitpose-ti"]
    assert list(bases["vitpose-ti"].adapters) == ["vitpose-ti-vlpose-light"]
    assert bases["vitpose-ti"].categories("vitpose-ti-vlpose-light") == ()


def test_a_base_alone_has_no_adapter():
    assert not open_bases([], ["vitpose-ti"])["vitpose-ti"].adapters


def test_adapters_come_with_the_base_that_they_were_made_for(tmp_path):
    base = lvtune.load_base("vitpose-ti")
    folders = [tmp_path / "a" / "mouse", tmp_path / "b" / "mouse", tmp_path / "auto"]
    for seed, folder in enumerate(folders):
        lvtune.save_adapter(tiny.make_adapter("bitfit", base, stirred=0.1, seed=seed), folder, base)
    bases = open_bases([str(folder) for folder in folders], ["hand3d-vit"])
    assert list(bases) == ["vitpose-ti", "hand3d-vit"]
    assert list(bases["vitpose-ti"].adapters) == [str(folders[0]), str(folders[1]), "auto"]
    assert not bases["hand3d-vit"].adapters


def test_one_given_twice_one_that_is_not_there_and_a_base_that_is_not():
    with pytest.raises(UsageError, match="given twice"):
        titles_of(["user/mouse", "user/mouse"])
    with pytest.raises(LvtuneError):
        open_bases(["no/such-adapter"])
    with pytest.raises(LvtuneError, match="vitpose-tii"):
        open_bases([], ["vitpose-tii"])


def test_none_acts_until_a_call_says_so_and_at_the_end_the_base_is_what_it_was():
    before = tiny.tiny_base()
    shared = SharedBase("vitpose-tiny", before)
    whole = tiny.snapshot(before.model)
    pixels = tiny.tiny_pixels(2)
    alone = before.heatmaps_of(before(pixels))
    shared.add(ONE, tiny.make_adapter("vlpose", before, stirred=0.3, seed=1))
    shared.add(TWO, tiny.make_adapter("lora", before, stirred=0.3, seed=2))

    def answer(title):
        with shared.under(title):
            return before.heatmaps_of(before(pixels))

    one, two, none = answer(ONE), answer(TWO), answer(None)
    assert torch.equal(none, alone) and torch.equal(before.heatmaps_of(before(pixels)), alone)
    assert not torch.equal(one, alone) and not torch.equal(two, alone) and not torch.equal(one, two)
    shared.close()
    assert tiny.snapshot(before.model) == whole and not shared.adapters


def test_categories_are_those_of_the_sentences():
    shared = shared_base()
    assert shared.categories(ONE) == ("sketch", "cartoon", "mural")
    assert shared.categories(TWO) == shared.categories(None) == shared.categories("no such") == ()
