"""Few pictures out of many: how many, of which kinds, and fewer among more."""

from collections import Counter

import layouts
import numpy as np
import pytest
from tiny import tiny_base

from lvtune.core.errors import LvtuneError
from lvtune.data.subset import Subset, nested_order, nested_views
from lvtune.domains import get_domain
from lvtune.domains.few_pictures import count_pictures, pictures_of_samples, take_shots
from lvtune.evaluation.inference import split_dataset


def test_any_beginning_has_each_kind_alike_and_order_does_not_matter():
    names = [f"{i}.jpg" for i in range(40)]
    kinds = ["a"] * 20 + ["b"] * 15 + ["c"] * 5
    order = nested_order(names, kinds, seed=0)
    assert sorted(order) == list(range(40))
    for count in (3, 6, 15):
        assert set(Counter(kinds[i] for i in order[:count]).values()) == {count // 3}
    turned = nested_order(names[::-1], kinds[::-1], seed=0)
    assert [names[::-1][i] for i in turned] == [names[i] for i in order]
    assert nested_order(names, kinds, seed=1) != order


def test_every_picture_comes_once_before_any_comes_under_a_second_view():
    pairs = nested_views([f"{i}.jpg" for i in range(7)], ["x", "y", "z"], seed=0)
    assert len(set(pairs)) == len(pairs) == 21
    assert sorted(picture for picture, _ in pairs[:7]) == list(range(7))
    assert max(Counter(view for _, view in pairs[:6]).values()) == 2


def test_shots_of_a_domain_with_views():
    base, whole = tiny_base(), get_domain("demo-art").open("train")
    few, more = (take_shots(whole, count, seed=3) for count in (20, 60))
    names = pictures_of_samples(few)
    assert count_pictures(few) == 20 == len(split_dataset(base, few)) == len({name.split()[0] for name in names})
    assert max(Counter(name.split()[1] for name in names).values()) == 4  # of six filters 3 or 4 each
    assert set(names) < set(pictures_of_samples(more))
    assert set(names) != set(pictures_of_samples(take_shots(whole, 20, seed=4)))
    samples = split_dataset(base, few)
    assert [samples[i]["index"] for i in (0, 19)] == [0, 19]
    assert [samples[i]["category"] for i in range(20)] == [name.split()[1] for name in names]
    assert take_shots(whole, "all", 3) is whole and count_pictures(whole) == 6 * 430
    with pytest.raises(LvtuneError, match="at most 2580"):
        take_shots(whole, 2581)


def test_a_picture_brings_all_its_persons(tmp_path):
    split = get_domain("humanart").open("train", layouts.humanart(tmp_path))
    assert Counter(split.table.column("image")).most_common(1)[0][1] == 2
    for seed in range(8):
        one = take_shots(split, 1, seed)
        (name,) = set(one.table.column("image"))
        assert len(one.table) == (split.table.column("image") == name).sum()
        assert one.table.fingerprint != split.table.fingerprint
    assert np.array_equal(take_shots(split, 2).table.column("bbox"), split.table.column("bbox"))


def test_chosen_samples_are_numbered_anew_and_follow_the_epoch():
    class Numbers:
        epoch = 0

        def set_epoch(self, epoch):
            self.epoch = epoch

        def __getitem__(self, item):
            return {"index": item, "value": 100 * self.epoch + item}

    chosen = Subset(Numbers(), [5, 2])
    chosen.set_epoch(3)
    assert len(chosen) == 2 and [chosen[i] for i in (0, 1)] == [{"index": 0, "value": 305}, {"index": 1, "value": 302}]
    # an objective that has encoded each picture under its number must find it again
    kept = Subset(Numbers(), [5, 2], renumber=False)
    assert [kept[i]["index"] for i in (0, 1)] == [5, 2]
