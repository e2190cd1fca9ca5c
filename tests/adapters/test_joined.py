"""The key points of several adapters in one prediction, each bit for bit what its adapter gives alone."""

import itertools
import json

import pytest
import torch
from pyramids import tiny as tiny_of
from tiny import make_adapter, snapshot, tiny_bank, tiny_base, tiny_model, tiny_pixels
from tiny_hands import tiny_hand_base

import lvtune
from lvtune.adapters.flip_test import takes_flip_test
from lvtune.adapters.method_registry import METHODS, list_methods
from lvtune.core.errors import LvtuneError, UsageError
from lvtune.data.skeletons import COCO_17, LSP_14, Skeleton
from lvtune.evaluation.inference import predict_heatmaps
from lvtune.language.bank import SentenceBank
from lvtune.patcher.attaching import attach, attached, use_adapter

PIXELS = tiny_pixels()
TAIL = Skeleton("tail", ("nose", "left_tail", "right_tail", "tip"), (0.03,) * 4, links=((0, 3), (1, 3)))


def own_bank():
    """Two sentences of another encoder, of which one has a category of the tiny bank."""
    whole = tiny_bank(12, seed=3)
    tokens, mask = whole.tokens[:2, :4], whole.mask[:2, :4]
    return SentenceBank(("sketch", "frame"), ("a drawing", "a frame"), tokens, mask, "other")


def tailed(base, method="vlpose-light", **options):
    bank = {"bank": own_bank()} if METHODS.get(method).reads_language else {}
    return make_adapter(method, base, stirred=0.1, seed=5, skeleton=TAIL, **bank, **options)


def answer(base, adapter, category=None):
    with torch.no_grad(), attach(base, adapter, "own"), use_adapter(base, category=category):
        return base(PIXELS)


@pytest.mark.parametrize(("first", "second"), [
    ("vlpose", "vlpose-light"), ("vlpose-light", "vlpose"), ("full", "lora"), ("bitfit", "head"),
    ("vpt", "vlpose-light"), ("norm", "dora"), ("stack", "last-blocks"),
])  # fmt: skip
def test_every_heatmap_is_that_of_its_adapter(first, second, tmp_path):
    base = tiny_base()
    before = snapshot(base)
    one, other = make_adapter(first, base, stirred=0.1), tailed(base, second)
    joined = lvtune.join([one, other])
    assert joined.skeleton.keypoints == (*COCO_17.keypoints, "left_tail", "right_tail", "tip")
    again = lvtune.load_adapter(lvtune.save_adapter(joined, tmp_path / "joined", base), base)
    for made in (joined, again):
        found = answer(base, made)
        assert torch.equal(found[:, :17], answer(base, one)) and torch.equal(found[:, 17:], answer(base, other)[:, 1:])
    assert snapshot(base) == before and "joined" not in list_methods()
    assert again.skeleton == joined.skeleton


def test_each_reads_its_own_sentences():
    base = tiny_base()
    one, other = make_adapter("vlpose", base, stirred=0.1), tailed(base)
    joined = lvtune.join([one, other])
    assert joined.bank.categories == ("sketch", "cartoon", "mural", "2/sketch", "frame")
    for category, mine, theirs in [
        (None, None, None), ("mural", "mural", None), ("frame", None, "frame"), ("sketch", "sketch", None),
        ("2/sketch", None, "sketch"),
    ]:  # fmt: skip
        found = answer(base, joined, category)
        assert torch.equal(found[:, :17], answer(base, one, mine)), category
        assert torch.equal(found[:, 17:], answer(base, other, theirs)[:, 1:]), category
    with pytest.raises(LvtuneError, match="no sentence for 'moose'"):
        answer(base, joined, "moose")
    per_sample = ["mural", None, "frame", "sketch"]
    found = answer(base, joined, per_sample)
    assert torch.equal(found[:, :17], answer(base, one, ["mural", None, None, "sketch"]))
    # the same sentences are there once
    alike = lvtune.join([one, make_adapter("vlpose-light", base, stirred=0.1, skeleton=TAIL)])
    assert alike.bank.categories == one.bank.categories
    assert torch.equal(answer(base, alike, "mural")[:, :17], answer(base, one, "mural"))


def test_the_bare_base_may_be_one_of_them_and_the_order_counts():
    base = tiny_base()
    other = tailed(base)
    joined = lvtune.join([None, other])
    assert torch.equal(answer(base, joined)[:, :17], base(PIXELS))
    turned = lvtune.join([other, None])
    assert turned.skeleton.keypoints[:4] == TAIL.keypoints and len(turned.skeleton.keypoints) == 20
    assert torch.equal(answer(base, turned)[:, :4], answer(base, other))


def test_a_user_says_which_one_gives_a_key_point():
    base = tiny_base()
    one, other = make_adapter("lora", base, stirred=0.1), tailed(base, "head")
    found = answer(base, lvtune.join([one, other], points={"nose": 2}))
    assert torch.equal(found[:, 0], answer(base, other)[:, 0]) and torch.equal(found[:, 1], answer(base, one)[:, 1])


def test_mirror_images_links_and_decoded_points():
    base = tiny_base()
    one, other = make_adapter("lora", base, stirred=0.1), tailed(base, "vlpose-light")
    joined = lvtune.join([one, other])
    names = joined.skeleton.keypoints
    pairs = {(names[a], names[b]) for a, b in joined.skeleton.pairs}
    assert pairs == {
        *((COCO_17.keypoints[a], COCO_17.keypoints[b]) for a, b in COCO_17.pairs),
        ("left_tail", "right_tail"),
    }
    assert (names.index("nose"), names.index("tip")) in joined.skeleton.links
    assert joined.skeleton.sigmas[-1] == 0.03 and joined.skeleton.sigmas[0] == COCO_17.sigmas[0]
    assert takes_flip_test(joined)
    maps = {}
    for name, adapter in (("one", one), ("other", other), ("both", joined)):
        with attach(base, adapter):
            maps[name] = predict_heatmaps(base, PIXELS, flip_test=True, skeleton=adapter.skeleton)
    assert torch.equal(maps["both"][:, :17], maps["one"]) and torch.equal(maps["both"][:, 17:], maps["other"][:, 1:])
    points = {name: base.codec.decode(value)[0] for name, value in maps.items()}
    assert torch.equal(points["both"][:, :17], points["one"])


def test_one_without_mirror_images_turns_the_flip_test_off(tmp_path):
    base = tiny_base()
    lone = make_adapter("lora", base, stirred=0.1, skeleton=Skeleton("lone", ("snout", "left_paw"), (0.05,) * 2))
    joined = lvtune.join([make_adapter("lora", base, stirred=0.1), lone])
    assert not takes_flip_test(joined)
    folder = lvtune.save_adapter(joined, tmp_path / "a", base)
    assert not takes_flip_test(lvtune.load_adapter(folder, base))


def test_batches_under_several_adapters_plain_models_and_parts():
    base = tiny_base()
    one = make_adapter("lora", base, stirred=0.1)
    joined = lvtune.join([one, tailed(base)])
    with attach(base, one, "one") as kept, attach(base, joined, "both"), torch.no_grad():
        assert set(attached(base)) == {"one", "both"} and kept.attached
        rows = base(PIXELS, adapters=["both", "one", None, "both"], category=[None, None, None, "frame"])
        assert [len(row) for row in rows] == [20, 17, 17, 20]
        torch.testing.assert_close(rows[0], base(PIXELS, adapters="both")[0], rtol=1e-4, atol=1e-4)
        with pytest.raises(UsageError, match="part of the model under an adapter that needs several"):
            base.model.backbone(PIXELS)
    model = tiny_model()
    with torch.no_grad(), attach(model, lvtune.join([make_adapter("lora", model, stirred=0.1), None], base=model)):
        found = model(PIXELS)
        assert found.heatmaps.shape[1] == 17 and type(found).__name__ == "VitPoseEstimatorOutput"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_over_a_base_in_half_precision(dtype):
    base = tiny_base()
    one, other = make_adapter("lora", base, stirred=0.05), tailed(base, "head")
    joined = lvtune.join([one, other])
    base.to(dtype)
    found = answer(base, joined)
    assert found.dtype == dtype and torch.equal(found[:, :17], answer(base, one))


@pytest.mark.parametrize("family", ["pvt", "swin", "vit", "resnet"])
def test_other_families(family):
    base = tiny_of(family)
    pixels = torch.randn(2, 3, *base.input_size, generator=torch.Generator().manual_seed(0))
    other = make_adapter("head", base, stirred=0.1, skeleton=TAIL)
    joined = lvtune.join([None, other])
    with torch.no_grad():
        bare = base(pixels)
        with attach(base, joined):
            assert torch.equal(base(pixels)[:, : bare.shape[1]], bare)


def test_it_is_exported_with_both_runs(tmp_path):
    pytest.importorskip("onnxruntime")
    base = tiny_base()
    joined = lvtune.join([make_adapter("lora", base, stirred=0.1), tailed(base, "head")])
    import onnxruntime

    file = tmp_path / "joined.onnx"
    lvtune.export_onnx(base, joined, file)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: PIXELS.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(found), answer(base, joined), rtol=1e-3, atol=1e-3)


def test_what_cannot_be_joined_is_said():
    base = tiny_base()
    one, other, stranger = make_adapter("lora", base), tailed(base), tiny_base(seed=1)
    joined = lvtune.join([one, other])
    for make, said in [
        (lambda: lvtune.join([one]), "two or more"),
        (lambda: lvtune.join([None, None], base=base), "two or more"),
        (lambda: lvtune.join([joined, one]), "none of them joined"),
        (lambda: lvtune.join([one] * 9), "at most 8"),
        (lambda: lvtune.join([one, tailed(stranger)]), "several bases"),
        (lambda: lvtune.join([one, other], points={"nose": 3}), "adapter 3"),
        (lambda: lvtune.join([one, other], points={"tip": 1}), "'tip' of adapter 1"),
        (lambda: lvtune.join([one, other], points={"tap": 1}), "did you mean 'tip'"),
        (lambda: lvtune.stack([joined, one]), "a member of a stack"),
        (lambda: lvtune.merge(base, joined), "runs the model several times"),
        (lambda: lvtune.average([joined, joined]), "sum"),
        (lambda: lvtune.grow(joined, Skeleton("more", (*joined.skeleton.keypoints, "hat"), (0.05,) * 21)), "joined"),
    ]:
        with pytest.raises(LvtuneError) as error:
            make()
        assert said in str(error.value), str(error.value)
    ears = Skeleton("ears", ("left_ear", "right_ear", "tip"), (0.05,) * 3)
    eared = make_adapter("head", base, stirred=0.1, skeleton=ears)
    with pytest.raises(UsageError, match=r"'left_ear' and 'right_ear'.*--points"):
        lvtune.join([one, eared], points={"left_ear": 2})
    both = lvtune.join([one, eared], points={"left_ear": 2, "right_ear": 2})
    assert both.config.points.count(2) == 3
    hands = tiny_hand_base()
    with pytest.raises(UsageError, match="heatmaps alone"):
        lvtune.join([make_adapter("bitfit", hands), None])


def test_adapters_of_other_key_points_are_told_of_it():
    base = tiny_base()
    with pytest.raises(UsageError, match="join them"):
        lvtune.stack([make_adapter("lora", base), make_adapter("lora", base, skeleton=LSP_14)])


@pytest.mark.parametrize("change", [
    {"members": ["lora", "nothing"]}, {"members": []}, {"members": ["lora"] * 40}, {"points": [1] * 20},
    {"points": [3] * 20}, {"points": []}, {"skeletons": {}}, {"skeletons": {"3": {}}}, {"options": {"9": {}}},
    {"options": {"1": {"r": -1}}}, {"sentences": {}}, {"sentences": {"2": {}}}, {"sentences": {"2": []}},
    {"sentences": {"2": {"categories": [["gone", "gone"]], "tokens": 4, "width": 12, "encoder": "x", "tuned": None}}},
    {"sentences": {"2": {"categories": [["frame", "frame"]], "tokens": "4", "width": 12, "encoder": "x"}}},
])  # fmt: skip
def test_a_file_with_another_config_is_refused(change, tmp_path):
    from lvtune.core.strict_json import canonical_json
    from lvtune.core.tensor_file import metadata_of, pack, unpack
    from lvtune.storage.adapter_config import CONFIG_HASH, config_hash
    from lvtune.storage.adapter_file import HEADER_KEY, TENSORS_FILE

    base = tiny_base()
    folder = lvtune.save_adapter(lvtune.join([make_adapter("lora", base), tailed(base)]), tmp_path / "a", base)
    file = folder / TENSORS_FILE
    config = json.loads(metadata_of(file)[HEADER_KEY])
    config["method_config"] |= change
    config[CONFIG_HASH] = config_hash(config)
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes(pack(unpack(file).tensors, {HEADER_KEY: canonical_json(config, "x"), "format": "pt"}))
    with pytest.raises(LvtuneError):
        lvtune.load_adapter(alone, base)


def test_any_pair_of_some_methods():
    base = tiny_base()
    some = {name: make_adapter(name, base, stirred=0.1) for name in ("norm", "vlpose", "lora")}
    for first, second in itertools.permutations(some, 2):
        joined = lvtune.join([some[first], some[second]], points={"nose": 2})
        found = answer(base, joined)
        assert torch.equal(found[:, 0], answer(base, some[second])[:, 0])
        assert torch.equal(found[:, 1:], answer(base, some[first])[:, 1:])
