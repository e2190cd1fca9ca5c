"""ViT bases at other input sizes: the function, the weights, copies, merged models and files."""

import pytest
import torch
from tiny import SIZE, make_adapter, tiny_base, tiny_model
from torch.nn import functional as F

from lvtune.adapters.method_registry import METHODS
from lvtune.bases import as_base
from lvtune.bases.base_registry import load_base
from lvtune.bases.fingerprint import fingerprint
from lvtune.bases.vit_positions import bake_positions, grid_of, resize_positions, trained_size
from lvtune.core.errors import LvtuneError
from lvtune.patcher.attaching import attach
from lvtune.patcher.merging import merge

LARGE = (96, 128)
BY_HEAD = pytest.mark.parametrize("simple", [False, True])


def resized(size=LARGE, **options):
    base = tiny_base(**options)
    base.set_input_size(size)
    return base


def pixels(size=LARGE, count=2):
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(1))


@BY_HEAD
def test_a_resized_base_is_the_model_with_torch_s_own_interpolation(simple):
    base, model = resized(simple=simple), tiny_model(simple=simple)
    own = model.backbone.embeddings.position_embeddings.data
    grid = own[:, 1:].reshape(1, 4, 3, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, size=(6, 8), mode="bicubic", antialias=True).flatten(2).transpose(1, 2)
    embeddings = model.backbone.embeddings
    embeddings.position_embeddings = torch.nn.Parameter(torch.cat([own[:, :1], grid], 1))
    embeddings.patch_embeddings.image_size = LARGE
    model.config.backbone_config.image_size = LARGE
    found = base(pixels())
    assert found.shape == (2, 17, 24, 32) and base.heatmap_size == (24, 32)
    torch.testing.assert_close(found, model(pixels()).heatmaps)


def test_whoever_predicts_first_may_tune_the_positions_later():
    """The interpolation is kept: made while predicting, it must still be one that gradients pass through."""
    from lvtune.bases.vit_positions import interpolation

    interpolation.cache_clear()
    base = resized()
    with torch.inference_mode():
        base(pixels())
    adapter = make_adapter("full", base)
    with attach(base, adapter):
        base(pixels()).square().mean().backward()
    name = next(name for name, _ in adapter.named_parameters() if name.endswith("position_embeddings"))
    assert dict(adapter.named_parameters())[name].grad.abs().sum() > 0


def test_the_codec_follows():
    base = resized()
    points = torch.tensor([[[100.25, 70.5]] * 17])
    maps, weight = base.codec.encode(points, torch.ones(1, 17))
    decoded, _ = base.codec.decode(maps)
    assert weight.all() and maps.shape[2:] == (24, 32)
    scale = torch.tensor([127 / 128, 95 / 96])
    torch.testing.assert_close(decoded * scale, points, atol=0.1, rtol=0)


def test_weights_and_fingerprint_stay():
    base, same = tiny_base(), tiny_base()
    before = fingerprint(base)
    base.set_input_size(LARGE)
    assert fingerprint(base) == before
    assert [n for n, _ in base.named_parameters()] == [n for n, _ in same.named_parameters()]
    assert base.depths() == same.depths()


def test_the_way_back_is_exact():
    base, x = resized(), pixels(SIZE)
    base.set_input_size((128, 128))
    base.set_input_size(SIZE)
    assert torch.equal(base(x), tiny_base()(x)) and trained_size(base.model) == SIZE


@BY_HEAD
def test_a_copy_computes_the_same_and_has_the_trained_positions(simple):
    base = resized(simple=simple)
    copy = type(base)(base.copy_model(), base.spec).freeze()
    assert torch.equal(copy(pixels()), base(pixels())) and fingerprint(copy) == fingerprint(base)
    assert as_base(base.copy_model()).input_size == LARGE


def test_baked_positions_are_plain_transformers():
    base = resized()
    model, expected = base.copy_model(), base(pixels())
    bake_positions(model)
    assert type(model.backbone.embeddings).__name__ == "VitPoseBackboneEmbeddings"
    assert model.backbone.embeddings.position_embeddings.shape == (1, 49, 48)
    torch.testing.assert_close(model.eval()(pixels()).heatmaps, expected)


@pytest.mark.parametrize("size", [(64, 50), (16, 64), (100, 100)])
def test_a_size_that_is_no_multiple_of_the_patch_is_refused(size):
    with pytest.raises(LvtuneError, match="multiples of the patch"):
        resized(size)


def test_other_families_take_their_own_size_alone():
    base = load_base("hand3d-vit", "random")
    with pytest.raises(LvtuneError, match="its own input size"):
        base.set_input_size((64, 64))
    base.set_input_size(base.input_size)


def test_load_base_takes_a_size():
    base, own = load_base("vitpose-ti", input_size=(160, 128)), load_base("vitpose-ti")
    assert base.input_size == (160, 128) and base.heatmap_size == (40, 32)
    assert fingerprint(base) == fingerprint(own) and not base.model.training
    assert not any(p.requires_grad for p in base.parameters())


@pytest.mark.parametrize("method", ["vlpose-light", "lora", "full", "vlpose", "last-blocks"])
def test_methods_act_and_merge_at_another_size(method):
    base = resized()
    adapter = make_adapter(method, base, stirred=0.01)
    plain = base(pixels())
    with attach(base, adapter):
        adapted = base(pixels())
    assert adapted.shape == plain.shape and not torch.equal(adapted, plain)
    assert torch.equal(base(pixels()), plain)
    if method in ("vlpose-light", "lora", "full", "last-blocks"):
        torch.testing.assert_close(merge(base, adapter).base(pixels()), adapted, atol=1e-4, rtol=1e-3)
    assert method in METHODS.names()


def test_grids_are_read_off_the_number_of_positions():
    assert [grid_of(n) for n in (48, 192, 196, 432, 64)] == [(8, 6), (16, 12), (14, 14), (24, 18), (8, 8)]
    with pytest.raises(LvtuneError, match="grid is unknown"):
        grid_of(50)
    positions = torch.randn(1, 49, 4)
    assert torch.equal(resize_positions(positions, (16, 16)), resize_positions(positions, (16, 16), (8, 6)))
