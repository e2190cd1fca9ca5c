"""The objective text-contrast: what it computes, what it trains along, and that nothing of it is left."""

import json

import pytest
import torch
from clips import save_clip
from joints import DIM, ToyJoint
from safetensors import safe_open
from tiny import TinyPictures, make_adapter, snapshot, tiny_base
from tiny_hands import TinyHands, tiny_hand_base, tiny_hands
from torch.utils.flop_counter import FlopCounterMode

from lvtune.api.recipe import Recipe
from lvtune.config.options import TrainOptions
from lvtune.config.schema import make
from lvtune.core.errors import LvtuneError
from lvtune.data.dataset import collate
from lvtune.hub.adapter_loading import load_adapter
from lvtune.language.grammars import draw
from lvtune.language.joint_registry import unnormalised
from lvtune.patcher.attaching import attach
from lvtune.storage.store import save_adapter
from lvtune.training.branch import Branch2
from lvtune.training.contrast import contrastive, farthest
from lvtune.training.heatmap import HeatmapObjective
from lvtune.training.loop import tune
from lvtune.training.objectives import ObjectiveContext
from lvtune.training.text_contrast import TextContrast, TextContrastConfig

SENTENCES = {"sketch": "a sketch of a human", "mural": "a mural of a human", "ink": "an ink painting"}


def objective(base, *, setting=None, **options):
    made = TextContrast(make(TextContrastConfig, {"encoder": "toy"} | options))
    given = {"domain": "tests", "sentences": SENTENCES} | (setting or {})
    made.prepare(ObjectiveContext(base, **given))
    return made


def batch_of(count=4):
    data = TinyPictures(count)
    return collate([data[i] for i in range(count)])


def options(**given):
    given = {"epochs": 2, "batch_size": 4, "lr": 1e-3, "warmup": 0.0, "precision": "no"} | given
    return Recipe(train=TrainOptions(**given)).resolved().train


def full(base):
    return make_adapter("full", base, stirred=0.01)


PUBLISHED = {"weight_scale": "constant", "margin_scale": "constant", "normalize": False}
"""As in the paper, where no scale is measured."""


@pytest.mark.parametrize("scales", [{}, PUBLISHED])
def test_it_is_the_pose_loss_plus_the_weighted_contrast(scales):
    base, batch = tiny_base(), batch_of()
    adapter, made = full(base), objective(base, weight=0.25, w=0.7, **scales)
    with attach(base, adapter, name="on"):
        pose = HeatmapObjective()(base, batch)
        features = base.encoder(batch["pixel_values"]).feature_maps[-1].transpose(1, 2).unflatten(2, (4, 3))
        heatmaps = base(batch["pixel_values"])
        drawn = draw(3, batch["index"].tolist(), 0, 0)
        toy = ToyJoint()
        seen = toy.encode_images(unnormalised(batch["pixel_values"], base.mean, base.std))
        said = toy.encode_text([list(SENTENCES.values())[i] for i in drawn])
        branch = Branch2(base.width, DIM)
        branch.load_state_dict(made.trained.state_dict())
        anchor, positive = branch(features, 0.7 * seen + 0.3 * said)
        true, _ = base.codec.encode(batch["keypoints"], batch["visible"])
        plain = {name: value for name, value in scales.items() if name != "weight_scale"}
        contrast = contrastive(anchor, positive, farthest(heatmaps, true), **plain)
        # at the first step the contrast has the size of the pose loss, times the weight
        expected = pose + 0.25 * (contrast.loss if scales else pose)
        found = made(base, batch)
        assert made.active_negatives == contrast.active
    torch.testing.assert_close(found, expected)
    assert found.item() > pose.item()
    # the next step draws other sentences
    assert made.trained.step == 1


def test_what_stands_beside_the_feature_map():
    base, batch, toy = tiny_base(), batch_of(), ToyJoint()
    sentences = list(SENTENCES.values())
    seen, said = toy.encode_images(unnormalised(batch["pixel_values"], base.mean, base.std)), toy.encode_text(sentences)
    drawn = torch.tensor([2, 0, 1, 2]).numpy()
    vectors = lambda **given: objective(base, **given).vectors(batch, drawn)  # noqa: E731
    unit = lambda x: x / x.norm(dim=-1, keepdim=True)  # noqa: E731
    torch.testing.assert_close(vectors(features="image"), seen)
    torch.testing.assert_close(vectors(features="text"), said[drawn])
    torch.testing.assert_close(vectors(w=0.9), 0.9 * seen + 0.1 * said[drawn])
    torch.testing.assert_close(vectors(w=0.9, l2=True), 0.9 * unit(seen) + 0.1 * unit(said)[drawn])
    source = toy.encode_text(["a photo of a human"])[0]
    steered = vectors(features="steer", strength=2.0)
    torch.testing.assert_close(steered, seen + 2 * (said[drawn] - source))
    own = vectors(features="steer", source_sentence="a toy")
    torch.testing.assert_close(own, seen + said[drawn] - toy.encode_text(["a toy"])[0])
    rand = vectors(features="text", words="random")
    assert rand.shape == (4, 512) and torch.equal(rand, vectors(features="text", words="random"))
    beside = vectors(w=0.0, words="random")
    torch.testing.assert_close(beside.norm(dim=1), said[drawn].norm(dim=1))
    assert (beside - said[drawn]).norm() > 0.1


@pytest.mark.parametrize("combine", ["concat", "sum"])
def test_the_branch_has_the_published_widths(combine):
    branch = Branch2(128, 512, combine)
    count = lambda module: sum(p.numel() for p in module.parameters())  # noqa: E731
    # 3x3 convolutions 128-128-256-512 without bias, BatchNorm with two vectors each
    convs = 9 * (128 * 128 + 128 * 256 + 256 * 512) + 2 * (128 + 256 + 512)
    linear = lambda a, b: a * b + b  # noqa: E731
    head = linear(512, 512) + 2 * 512 + linear(512, 128)
    second = linear(1024, 512) if combine == "concat" else linear(512, 512)
    assert count(branch) == convs + linear(512, 512) + second + head
    first, other = branch(torch.randn(3, 128, 32, 32), torch.randn(3, 512))
    assert first.shape == other.shape == (3, 128)
    assert count(Branch2(128, 100, "sum")) == convs + 2 * linear(512, 512) + head + 100 * 512


def test_the_branch_is_trained_along_and_nothing_of_it_is_left(tmp_path):
    base = tiny_base()
    plain, before = make_adapter("full", base), snapshot(base.model)
    made = objective(base)
    # the biases are all but one in front of a BatchNorm or a difference, which take constants away
    weights = {name: value for name, value in made.trained.named_parameters() if value.dim() > 1}
    first = {name: value.detach().clone() for name, value in weights.items()}
    adapter = full(base)
    history = tune(base, adapter, TinyPictures(8), made, options(), device="cpu")
    assert len(weights) == 7 and all(not torch.equal(first[name], value) for name, value in weights.items())
    assert made.trained.step == 4 and len(history.loss) == 4
    assert snapshot(base.model) == before
    save_adapter(adapter, tmp_path, base)
    shapes = {name: value.shape for name, value in plain.tensors().items()}
    with safe_open(tmp_path / "adapter_model.safetensors", "pt") as file:
        stored = {name: file.get_tensor(name).shape for name in file.keys()}  # noqa: SIM118
    assert stored == shapes  # what method full saves whatever the objective
    text = json.dumps(json.loads((tmp_path / "lvtune_config.json").read_text()))
    assert "projection" not in text and "convs" not in text


def costs(base, batch):
    """Names and classes of modules, and FLOPs by operation, of one call."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        base(batch)
    return counter.get_flop_counts()["Global"], counter.get_total_flops()


def test_at_test_time_modules_and_flops_are_the_plain_bases(tmp_path):
    base, pixels = tiny_hand_base(), tiny_hands()["pixel_values"]
    plain = costs(base, pixels)
    assert plain[1] > 0
    made = objective(base, setting={"sentences": {"default": "a hand"}})
    adapter = full(base)
    tune(base, adapter, TinyHands(4), made, options(epochs=1), device="cpu")
    save_adapter(adapter, tmp_path, base)
    fresh = tiny_hand_base()
    loaded = load_adapter(tmp_path, fresh)
    modules = [(name, type(module)) for name, module in fresh.model.named_modules()]
    parts = {"encoder": fresh.encoder, "head": fresh.head}
    for name, part in parts.items():
        own = [(n, type(m), tuple(p.shape for p in m.parameters(recurse=False))) for n, m in part.named_modules()]
        copy = getattr(loaded, name)
        assert own == [
            (n, type(m), tuple(p.shape for p in m.parameters(recurse=False))) for n, m in copy.named_modules()
        ]
    with attach(fresh, loaded, name="on"):
        assert costs(fresh, pixels) == plain
        assert [(name, type(module)) for name, module in fresh.model.named_modules()] == modules


def test_a_resumed_run_is_the_unbroken_one(tmp_path):
    def run(**given):
        base = tiny_base()
        adapter, made = full(base), objective(base)
        tune(base, adapter, TinyPictures(8), made, options(**given), device="cpu", **extra)
        return {**adapter.state_dict(), **{f"branch.{k}": v for k, v in made.trained.state_dict().items()}}

    extra = {}
    whole = run()
    extra = {"checkpoint": tmp_path / "c.safetensors", "key": "run"}
    run(checkpoint_every=1, stop_after=1)
    resumed = run(checkpoint_every=1)
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_prompts_are_drawn_by_seed_step_and_item_alone():
    base = tiny_base()
    batch = batch_of()
    adapter = full(base)
    made, halved = objective(base), objective(base)
    seen = []
    for one, parts in ((made, [slice(0, 4)]), (halved, [slice(0, 2), slice(2, 4)])):
        drawn = [draw(len(one.sentences), batch["index"][part].tolist(), 5, 0) for part in parts]
        seen.append([i for group in drawn for i in group.tolist()])
    assert seen[0] == seen[1]
    with attach(base, adapter, name="on"):
        losses = [objective(base, setting={"seed": seed}, **PUBLISHED)(base, batch).item() for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


def test_pictures_encoded_once_are_read_without_augmentation():
    base = tiny_base()
    data = TinyPictures(5)
    data.set_epoch(3)  # stands for augmentation: other pictures under the same indices
    setting = {"plain": lambda: TinyPictures(5), "data_key": "tiny-5"}
    made = objective(base, images="once", features="image", setting=setting)
    batch = collate([data[i] for i in (4, 1)])
    plain = collate([TinyPictures(5)[i] for i in (4, 1)])
    expected = ToyJoint().encode_images(unnormalised(plain["pixel_values"], base.mean, base.std))
    torch.testing.assert_close(made.vectors(batch, None), expected)
    with pytest.raises(LvtuneError, match="images once"):
        objective(base, images="once", features="image").vectors(batch, None)


def test_hands_and_a_real_format_clip(tmp_path):
    base, batch = tiny_hand_base(), tiny_hands()
    folder = save_clip(tmp_path / "clip")
    made = objective(base, encoder=f"clip:{folder}", setting={"domain": "stb"}, pose_options={"pose": 2.0})
    assert len(made.sentences) == 3920 and made.sentences.dim == 12
    with attach(base, full(base), name="on"):
        loss = made(base, batch)
    loss.backward()
    gradients = [p.grad.abs().sum().item() for p in made.trained.parameters() if p.dim() > 1]
    assert loss.isfinite() and all(value > 0 for value in gradients)
    assert made.pose.config.pose == 2.0


def test_the_adapter_reads_the_drawn_category_where_the_pictures_are_the_sources():
    base, batch = tiny_base(), batch_of()
    batch["category"] = ["", "", "", ""]  # photographs are no category of the target
    made = objective(base, setting={"text_only": True, "sentences": {k: SENTENCES[k] for k in ("sketch", "mural")}})
    adapter = make_adapter("vlpose", base, stirred=0.1)
    asked = []
    adapter.decode, decode = (lambda *args: asked.append(args[-1]) or decode(*args)), adapter.decode
    with attach(base, adapter, name="on"):
        assert made(base, batch).isfinite()
    drawn = draw(2, batch["index"].tolist(), 0, 0)
    assert list(asked[0]) == [("sketch", "mural")[i] for i in drawn]


def test_what_does_not_fit_is_told():
    base, batch = tiny_base(), batch_of()
    with attach(base, make_adapter("head", base), name="on"), pytest.raises(LvtuneError, match="before the head"):
        objective(base)(base, batch)
    with attach(base, full(base), name="on"), pytest.raises(LvtuneError, match="batch of one"):
        objective(base)(base, batch_of(1))
    with pytest.raises(LvtuneError, match="objective text-contrast within another"):
        objective(base, pose="text-contrast")
    with pytest.raises(LvtuneError, match="grammar 'hand'"):
        objective(base, grammar="hand")
    assert "no lower bound" in objective(base, form="paper").notes[0] and not objective(base).notes


def test_by_default_it_contrasts_and_weighs_what_was_said():
    def run(**given):
        base = tiny_base()
        made = objective(base, **given)
        return tune(base, full(base), TinyPictures(8), made, options(epochs=6, batch_size=8), device="cpu")

    published = run(**PUBLISHED)
    assert published.active_negatives == [0.0] * 6  # every negative is far beyond the margin
    history, alone = run(), run(weight=0.0)
    assert len(history.active_negatives) == len(history.loss) == 6
    assert sum(history.active_negatives) / 6 > 0.1
    # a tenth of the pose loss at first, where as published it is nearly all of the loss
    assert history.loss[0] == pytest.approx(1.1 * alone.loss[0], rel=1e-4) and published.loss[0] > 3 * alone.loss[0]


def test_paper_falls_without_end_where_clamped_settles():
    def last(form):
        base = tiny_base()
        made = objective(base, form=form, weight=1.0, **PUBLISHED)
        history = tune(base, full(base), TinyPictures(4), made, options(epochs=30, lr=6e-3), device="cpu")
        return history.loss

    paper, clamped = last("paper"), last("clamped")
    assert paper[-1] < -10 and paper[-1] < paper[15] < paper[0]
    assert min(clamped) >= 0 and clamped[-1] < clamped[0]
