"""hand3d-vit: every registered method attaches, learns, is saved and taken off; where weights come from."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny import make_adapter, snapshot, tiny_bank
from tiny_hands import TinyHands, small_cpm_base, tiny_hand_base, tiny_hands

import lvtune
from lvtune.adapters.factory import create_adapter
from lvtune.adapters.method_registry import METHODS
from lvtune.api.recipe import Recipe
from lvtune.bases.base import as_base
from lvtune.bases.base_registry import load_base
from lvtune.bases.hand3d_vit import SPEC, HandVitBase
from lvtune.bases.vitpose import build_model, make_config
from lvtune.bases.vitpose_weights import SHIPPED
from lvtune.bases.weights_file import read_safetensors
from lvtune.config.options import DataOptions, TrainOptions
from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import LSP_14
from lvtune.domains import get_domain
from lvtune.evaluation.split_scoring import score_split
from lvtune.hub.adapter_loading import load_adapter
from lvtune.patcher.attaching import attach, use_adapter
from lvtune.storage.store import save_adapter
from lvtune.training.loop import tune
from lvtune.training.objectives import OBJECTIVES

BATCH = tiny_hands(4)
TRAINS_LIFTING = ("full", "head", "last-blocks")


def answer(base, adapter, category=None):
    with torch.no_grad(), attach(base, adapter), use_adapter(base, category=category):
        return base.hands(BATCH["pixel_values"], BATCH["side"])


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first[:4], second[:4], strict=True))


@pytest.mark.parametrize("method", METHODS.names())
def test_every_method_tunes_hands(method, tmp_path):
    base = tiny_hand_base()
    bare, before = base.hands(BATCH["pixel_values"], BATCH["side"]), snapshot(base)
    adapter = make_adapter(method, base)
    assert same(answer(base, adapter), bare)
    objective = OBJECTIVES.get("hand")()
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=5e-4 if method in TRAINS_LIFTING else 1e-2)
    losses = []
    with attach(base, adapter):
        for _ in range(5):
            loss = objective(base, BATCH)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert min(losses[2:]) < 0.99 * losses[0]
    tuned = answer(base, adapter, "mural" if adapter.bank else None)
    assert (tuned.xyz - bare.xyz).abs().max() > 1e-3
    assert same(base.hands(BATCH["pixel_values"], BATCH["side"]), bare) and snapshot(base) == before
    again = load_adapter(save_adapter(adapter, tmp_path), base)
    assert same(answer(base, again, "mural" if adapter.bank else None), tuned)


@pytest.mark.parametrize("method", TRAINS_LIFTING)
def test_methods_that_train_the_head_train_the_lifting(method):
    base = tiny_hand_base()
    adapter = make_adapter(method, base)
    lifting = {name: value.shape for name, value in base.tail[0].named_parameters()}
    own = {name.removeprefix("tail.0."): p for name, p in adapter.named_parameters() if name.startswith("tail.")}
    assert {name: value.shape for name, value in own.items()} == lifting
    with attach(base, adapter):
        OBJECTIVES.get("hand")()(base, BATCH).backward()
    assert all(p.grad is not None and p.grad.any() for p in own.values())
    assert not any(p is q for p in own.values() for q in base.model.parameters())
    options = Recipe().resolved(adapter.defaults).train
    assert {adapter.lr_scale(f"tail.0.{name}", options) for name in own} == {1}


def test_the_predictor_alone_leaves_the_lifting_frozen():
    adapter = make_adapter("head", tiny_hand_base(), part="predictor")
    assert sum(p.numel() for p in adapter.parameters()) == 16 * 21 + 21


def test_a_batch_may_mix_adapters_and_sides():
    base = tiny_hand_base()
    first, second = make_adapter("lora", base, stirred=0.2), make_adapter("full", base, stirred=0.02)
    with torch.no_grad(), attach(base, first, name="a"), attach(base, second, name="b"):
        whole = base.hands(BATCH["pixel_values"], BATCH["side"], adapters=["a", None, "b", "a"])
        for name, rows in (("a", [0, 3]), (None, [1]), ("b", [2])):
            part = base.hands(BATCH["pixel_values"][rows], BATCH["side"][rows], adapters=name)
            torch.testing.assert_close(whole.xyz[rows], part.xyz, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(whole.stages[-1][rows], part.heatmaps, atol=1e-5, rtol=1e-5)


def test_a_head_of_its_own_may_have_fewer_stages_than_the_base():
    base = small_cpm_base()
    adapter = make_adapter("vlpose", base, placement="none", bank=tiny_bank())
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad(), attach(base, adapter, name="words"):
        assert len(base.hands(pixels, adapters="words").stages) == 1
        mixed = base.hands(pixels, adapters=["words", None])
        assert len(mixed.stages) == 1 and mixed.heatmaps.shape == (2, 21, 8, 8)


def test_dropout_of_the_lifting_is_on_in_tuning_alone():
    base = tiny_hand_base()
    adapter = make_adapter("full", base)
    with torch.no_grad(), attach(base, adapter):
        base.train()
        first, second = (base.hands(BATCH["pixel_values"]).xyz for _ in range(2))
        assert not torch.equal(first, second)
        base.eval()
        assert torch.equal(base.hands(BATCH["pixel_values"]).xyz, base.hands(BATCH["pixel_values"]).xyz)


def test_half_precision():
    base = tiny_hand_base()
    expected = base.hands(BATCH["pixel_values"], BATCH["side"])
    base.to(torch.bfloat16)
    found = base.hands(BATCH["pixel_values"].bfloat16(), BATCH["side"])
    assert found.heatmaps.dtype == torch.bfloat16 and found.xyz.dtype == torch.float32
    assert (found.xyz - expected.xyz).abs().max() < 0.1 * expected.xyz.abs().max()


def test_the_loop_tunes_hands_and_adam_is_to_be_had():
    base, losses = tiny_hand_base(), {}
    for optimizer in ("adamw", "adam"):
        options = TrainOptions(steps=12, batch_size=4, lr=3e-3, optimizer=optimizer, weight_decay=0.1, warmup=0.0)
        recipe = Recipe(train=options).resolved({"layer_decay": 1.0})
        adapter = make_adapter("full", base)
        losses[optimizer] = tune(base, adapter, TinyHands(8), OBJECTIVES.get("hand")(), recipe.train, device="cpu").loss
        assert sum(losses[optimizer][-4:]) < sum(losses[optimizer][:4])
    assert losses["adam"][0] == losses["adamw"][0] and losses["adam"][-1] != losses["adamw"][-1]


def test_one_batch_is_learnt_by_heart():
    base = tiny_hand_base()
    truth = BATCH["xyz"] - BATCH["xyz"][:, :1]

    def epe():
        with torch.no_grad():
            found = base.joints(base.hands(BATCH["pixel_values"], BATCH["side"]), BATCH["scale"])
        return (found - truth).norm(dim=-1).mean()

    adapter, objective = make_adapter("full", base), OBJECTIVES.get("hand")()
    optimizer = torch.optim.Adam(adapter.parameters(), lr=3e-3)
    with attach(base, adapter):
        before = epe()
        for _ in range(150):  # how fast it falls depends on the processor's rounding
            loss = objective(base, BATCH)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert before > 60 and epe() < 10  # mm


def test_facts_and_sizes():
    base = load_base("hand3d-vit", "random")
    assert (base.input_size, base.heatmap_size, base.width) == ((128, 128), (32, 32), 192)
    assert base.encoder(torch.zeros(1, 3, 128, 128)).shape == (1, 192, 8, 8)  # 64 tokens
    assert len(base.blocks) == 12 and len(base.stages) == 2
    assert sum(p.numel() for p in base.tail[0].parameters()) == 1_637_279 + 2_238_403
    assert isinstance(as_base(base.model), HandVitBase)
    assert as_base(base.model).spec == SPEC


def test_weights_of_an_encoder_and_of_the_whole(tmp_path, caplog):
    donor = build_model(make_config("ti", keypoints=14, input_size=(128, 96)), (96, 96), 14, seed=5)
    save_file(donor.state_dict(), tmp_path / "vitpose.safetensors")
    base = load_base("hand3d-vit", str(tmp_path / "vitpose.safetensors"))
    assert "the head is new" in caplog.text
    weight = donor.backbone.encoder.layer[3].mlp.fc1.weight
    assert torch.equal(base.blocks[3].fc1.weight, weight)
    save_file(base.model.state_dict(), tmp_path / "whole.safetensors")
    again = load_base("hand3d-vit", str(tmp_path / "whole.safetensors"), seed=7)
    assert lvtune.fingerprint(again) == lvtune.fingerprint(base)


def test_weights_in_timms_names_are_resized_to_the_grid(tmp_path):
    import timm

    donor = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    save_file(donor.state_dict(), tmp_path / "timm.safetensors")
    base = load_base("hand3d-vit", str(tmp_path / "timm.safetensors"))
    qkv = donor.blocks[7].attn.qkv.weight
    assert torch.equal(base.blocks[7].key.weight, qkv[192:384])
    assert base.encoder.backbone.embeddings.position_embeddings.shape == (1, 65, 192)


def test_without_the_shipped_file_one_is_told_how_to_train(tmp_path, monkeypatch):
    monkeypatch.setattr("lvtune.bases.hand3d.SHIPPED", tmp_path)
    with pytest.raises(LvtuneError, match="--config hand3d-vit"):
        load_base("hand3d-vit")


def test_the_shipped_weights_are_small_half_precision_and_complete():
    file = SHIPPED / "hand3d-vit.safetensors"
    assert file.stat().st_size <= 20e6
    # a wheel keeps the mode, and others than who packed it read it
    assert file.stat().st_mode & 0o444 == 0o444
    assert {v.dtype for v in read_safetensors(file).values() if v.is_floating_point()} == {torch.float16}
    assert lvtune.fingerprint(load_base("hand3d-vit")) == lvtune.fingerprint(load_base("hand3d-vit", str(file)))


def test_the_shipped_weights_find_hands_as_their_facts_say():
    facts = json.loads((SHIPPED / "hand3d-vit.json").read_text())
    # of the mean training pose 64.6 mm, see benchmarks/hand_baselines.py
    assert facts["source"]["epe"] < 64.6 / 2 and facts["source"]["hands"] == facts["target"]["hands"] == 1000
    split = get_domain("hand-figures/green_screen").open("test", DataOptions(limit=32))
    scores = score_split(load_base("hand3d-vit"), split, category=None)
    assert scores.headline()["epe"] == pytest.approx(facts["source"]["epe"], rel=0.25)
    off = np.linalg.norm(scores.keypoints - split.table.column("keypoints")[..., :2], axis=-1)
    assert np.median(off) < 8  # pixels of 128


def test_bodies_are_refused():
    with pytest.raises(LvtuneError, match="hand-figures"):
        create_adapter("lora", tiny_hand_base(), skeleton=LSP_14)
