"""Further key points for an adapter whose own stay bit for bit: in heatmaps, in decoded points, from the file."""

import json

import pytest
import torch
from pyramids import tiny as tiny_of
from tiny import TinyPictures, make_adapter, snapshot, tiny_bank, tiny_base, tiny_pixels

import lvtune
from lvtune.adapters.factory import create_adapter
from lvtune.adapters.growing import check_grown
from lvtune.adapters.grown import GrownConfig
from lvtune.adapters.method_registry import METHODS, list_methods
from lvtune.config.options import TrainOptions
from lvtune.core.errors import AdapterFileError, LvtuneError, UsageError
from lvtune.data.skeletons import COCO_17, Skeleton
from lvtune.evaluation.inference import predict_heatmaps
from lvtune.patcher.attaching import attach, use_adapter
from lvtune.training.heatmap import HeatmapObjective
from lvtune.training.loop import tune

PIXELS = tiny_pixels()
OWN = COCO_17.keypoints
NEW = ("hat", "left_toe", "right_toe")
LARGER = Skeleton("larger", ("hat", *OWN[:8], "left_toe", "right_toe", *OWN[8:]), (0.05,) * 20)
PLACES = [LARGER.keypoints.index(name) for name in OWN]
OPTIONS = TrainOptions(
    steps=4, batch_size=4, lr=0.01, weight_decay=0.1, ema=0.9, clip=1.0, warmup_steps=0, gentle=False,
    precision="no", workers=0,
)  # fmt: skip


def answer(base, adapter, category=None):
    with torch.no_grad(), attach(base, adapter, "own"), use_adapter(base, category=category):
        return base(PIXELS)


def tuned(base, adapter):
    recipe = lvtune.Recipe(method="bitfit", train=OPTIONS).resolved({})
    tune(base, adapter, TinyPictures(skeleton=LARGER), HeatmapObjective(), recipe.train, device="cpu")
    return adapter


@pytest.mark.parametrize("simple", [False, True])
@pytest.mark.parametrize("method", METHODS.names())
def test_old_heatmaps_stay_bit_for_bit_after_tuning_for_every_method(method, simple):
    base = tiny_base(simple=simple)
    adapter = make_adapter(method, base, stirred=0.1)
    before, own = snapshot(base), {name: value.clone() for name, value in adapter.tensors().items()}
    expected = [answer(base, adapter, category) for category in (None, "mural")]
    grown = lvtune.grow(adapter, LARGER)
    start = answer(base, grown)
    tuned(base, grown)
    for category, old in zip((None, "mural"), expected, strict=True):
        found = answer(base, grown, category)
        assert found.shape[1] == 20 and torch.equal(found[:, PLACES], old)
    new = [i for i in range(20) if i not in PLACES]
    assert (answer(base, grown)[:, new] - start[:, new]).abs().max() > 1e-4  # these were tuned
    assert all(torch.equal(value, own[name]) for name, value in adapter.tensors().items())
    assert snapshot(base) == before


@pytest.mark.parametrize("method", ["vlpose", "vlpose-light"])
def test_a_predictor_that_reads_sentences_too(method):
    base = tiny_base()
    adapter = make_adapter(method, base, stirred=0.1, predictor_reads=True)
    grown = tuned(base, lvtune.grow(adapter, LARGER))
    for category in (None, "sketch"):
        assert torch.equal(answer(base, grown, category)[:, PLACES], answer(base, adapter, category))


@pytest.mark.parametrize("family", ["pvt", "swin", "vit", "resnet"])
def test_other_families(family):
    base = tiny_of(family)
    pixels = torch.randn(2, 3, *base.input_size, generator=torch.Generator().manual_seed(0))
    adapter = make_adapter("bitfit", base, stirred=0.1)
    names = base.skeleton.keypoints
    larger = Skeleton("larger", (*names, "hat"), (0.05,) * (len(names) + 1))
    grown = lvtune.grow(adapter, larger)
    with torch.no_grad():
        with attach(base, adapter):
            expected = base(pixels)
        with attach(base, grown):
            assert torch.equal(base(pixels)[:, :-1], expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", ["bitfit", "lora", "head", "vlpose", "norm"])
def test_over_a_base_in_half_precision(method, dtype):
    base = tiny_base()
    adapter = make_adapter(method, base, stirred=0.05)
    grown = lvtune.grow(adapter, LARGER)
    base.to(dtype)
    assert torch.equal(answer(base, grown)[:, PLACES], answer(base, adapter))


def test_decoded_points_with_and_without_the_flip_test():
    base = tiny_base()
    adapter = make_adapter("vlpose-light", base, stirred=0.1)
    grown = tuned(base, lvtune.grow(adapter, LARGER))
    assert grown.skeleton.mirrors
    pairs = {(grown.skeleton.keypoints[a], grown.skeleton.keypoints[b]) for a, b in grown.skeleton.pairs}
    assert pairs == {*((OWN[a], OWN[b]) for a, b in COCO_17.pairs), ("left_toe", "right_toe")}
    for flip in (False, True):
        maps = []
        for one in (adapter, grown):
            with attach(base, one):
                maps.append(predict_heatmaps(base, PIXELS, flip_test=flip, skeleton=one.skeleton))
        assert torch.equal(maps[1][:, PLACES], maps[0])
        points, scores = zip(*map(base.codec.decode, maps), strict=True)
        assert torch.equal(points[1][:, PLACES], points[0]) and torch.equal(scores[1][:, PLACES], scores[0])


def test_it_is_one_file_that_needs_no_other(tmp_path):
    base = tiny_base()
    adapter = make_adapter("vlpose", base, stirred=0.1)
    grown = tuned(base, lvtune.grow(adapter, LARGER, categories=("sketch", "mouse")))
    folder = lvtune.save_adapter(grown, tmp_path / "grown", base)
    again = lvtune.load_adapter(folder, base)
    assert again.skeleton == grown.skeleton and again.method == "grown"
    for category in (None, "mural", "mouse"):
        assert torch.equal(answer(base, again, category), answer(base, grown, category))
    assert torch.equal(answer(base, again)[:, PLACES], answer(base, adapter))
    # a category of the data that it has no sentence for is read as the mean; others are errors
    assert torch.equal(answer(base, again, "mouse"), answer(base, again))
    with pytest.raises(LvtuneError, match="no sentence for 'moose'"):
        answer(base, again, "moose")
    assert json.loads((folder / "lvtune_config.json").read_text())["method_config"]["member"] == "vlpose"
    assert "grown" not in list_methods()


def test_growing_twice_keeps_both():
    base = tiny_base()
    adapter = make_adapter("lora", base, stirred=0.1)
    once = tuned(base, lvtune.grow(adapter, LARGER))
    more = Skeleton("more", ("left_ring", "right_ring", *LARGER.keypoints), (0.05,) * 22)
    twice = lvtune.grow(once, more)
    assert torch.equal(answer(base, twice)[:, 2:], answer(base, once))
    assert torch.equal(answer(base, twice)[:, 2:][:, PLACES], answer(base, adapter))
    with pytest.raises(UsageError, match="grown 9 times"):
        config = {}
        for _ in range(8):
            config = {"member": "grown", "options": config}
        GrownConfig(**config)


def test_the_bare_base_grows_too():
    base = tiny_base()
    grown = lvtune.grow(None, LARGER, base=base)
    assert torch.equal(answer(base, grown)[:, PLACES], base(PIXELS))


def test_mixed_batches_and_several_at_once():
    base = tiny_base()
    adapter = make_adapter("lora", base, stirred=0.1)
    grown = lvtune.grow(make_adapter("vlpose-light", base, stirred=0.1, seed=2), LARGER)
    with attach(base, adapter, "old"), attach(base, grown, "new"), torch.no_grad():
        rows = base(PIXELS, adapters=["new", "old", None, "new"])
        assert [len(row) for row in rows] == [20, 17, 17, 20]
        torch.testing.assert_close(rows[0], base(PIXELS, adapters="new")[0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(rows[2], base(PIXELS, adapters=None)[2], rtol=1e-4, atol=1e-4)


def test_only_the_new_rows_are_trained():
    base = tiny_base()
    grown = lvtune.grow(make_adapter("full", base), LARGER)
    names = [name for name, value in grown.named_parameters() if value.requires_grad]
    assert names == ["rows.weight", "rows.bias"] and grown.predictor_names() == set(names)
    grown.train()
    assert not grown.member.training and grown.training
    before = {name: value.clone() for name, value in grown.tensors().items()}
    check_grown(grown, before)
    with torch.no_grad():
        next(grown.member.parameters()).add_(1)
    with pytest.raises(UsageError, match="has changed"):
        check_grown(grown, before)


def test_new_rows_begin_as_the_mean_of_the_others():
    base = tiny_base()
    adapter = make_adapter("vlpose-light", base, stirred=0.3)
    grown = lvtune.grow(adapter, LARGER)
    new = [LARGER.keypoints.index(name) for name in NEW]
    mean = answer(base, adapter).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    torch.testing.assert_close(answer(base, grown)[:, new], mean, rtol=1e-3, atol=1e-4)


def test_what_cannot_be_grown_is_said():
    base = tiny_base()
    adapter = make_adapter("lora", base, stirred=0.1)
    with pytest.raises(UsageError, match=r"loaded adapter.*load_adapter"):
        lvtune.grow("folder", LARGER, base=base)
    with pytest.raises(LvtuneError):
        create_adapter("grown", base, skeleton=COCO_17)
    orphan = make_adapter("lora", tiny_base())
    with pytest.raises(UsageError, match="whose base is gone"):
        lvtune.grow(orphan, LARGER)
    with pytest.raises(LvtuneError):
        lvtune.grow(adapter, LARGER, base=tiny_base(width=64))
    with pytest.raises(UsageError, match="a member of a stack"):
        lvtune.stack([lvtune.grow(adapter, LARGER), lvtune.grow(make_adapter("norm", base), LARGER)])
    with pytest.raises(UsageError, match="grown"):
        lvtune.merge(base, lvtune.grow(adapter, LARGER))


@pytest.mark.parametrize("change", [
    {"member": "nothing"}, {"member": "joined"}, {"options": {"rank_of": 3}}, {"skeleton": {"keypoints": ["a"]}},
    {"skeleton": {}}, {"member": ""}, {"member": "norm"}, {"mean_for": 5},
])  # fmt: skip
def test_a_file_with_another_config_is_refused(change, tmp_path):
    from lvtune.core.strict_json import canonical_json
    from lvtune.core.tensor_file import metadata_of, pack, unpack
    from lvtune.storage.adapter_config import CONFIG_HASH, config_hash
    from lvtune.storage.adapter_file import HEADER_KEY, TENSORS_FILE

    base = tiny_base(skeleton=COCO_17)
    folder = lvtune.save_adapter(lvtune.grow(make_adapter("lora", base), LARGER), tmp_path / "a", base)
    file = folder / TENSORS_FILE
    config = json.loads(metadata_of(file)[HEADER_KEY])
    config["method_config"] |= change
    config[CONFIG_HASH] = config_hash(config)
    tensors = unpack(file).tensors
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes(pack(tensors, {HEADER_KEY: canonical_json(config, "x"), "format": "pt"}))
    if change == {"skeleton": {}}:  # the base's own key points are the same ones
        assert lvtune.load_adapter(alone, base).skeleton == LARGER.with_pairs(LARGER.pairs)
        return
    with pytest.raises((AdapterFileError, LvtuneError)):
        lvtune.load_adapter(alone, base)


def test_the_small_bank_is_shared():
    base, bank = tiny_base(), tiny_bank()
    adapter = make_adapter("vlpose-light", base, bank=bank)
    assert lvtune.grow(adapter, LARGER).bank is adapter.bank
