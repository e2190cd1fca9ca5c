"""Each row of VLPose's tables beside the released configurations (repository VLPose, commit f312a9f).

The facts were read from ``configs/_ours_/humanart/pretrain``: ``humanart.py`` (optimiser, schedule, batch, data),
``cvl/vit-{S,B,L,H}.py`` (sizes, drop-path, frozen branch) and ``cvl/first_amiddle_last_add_concat_attn_*`` (visual
prompts, frozen stages). Of SwinPose, PVT and fine-tuning nothing was released; their drop-path is that of MMPose's
configurations (Swin T 0.2, B 0.3, L 0.5; PVT 0.1).
"""

from __future__ import annotations

import pytest

from lvtune.adapters.method_registry import METHODS
from lvtune.api.recipe import Recipe
from lvtune.config.options import AUGMENT_FALLBACK, TRAIN_FALLBACK
from lvtune.experiments.published_tables import list_tables, load_table

DROP_PATH = {
    "vitpose-s": 0.1, "vitpose-b": 0.3, "vitpose-l": 0.5, "vitpose-h": 0.55,
    "swinpose-t": 0.2, "swinpose-b": 0.3, "swinpose-l": 0.5, "pvtpose-s": 0.1, "pvtv2pose-b": 0.1,
}  # fmt: skip
VISUAL_PROMPTS = {"vitpose-s": 50, "vitpose-b": 20, "vitpose-l": 10, "vitpose-h": 5}
TRAIN = {
    "epochs": 210, "batch_size": 512, "optimizer": "adamw", "lr": 5e-4, "weight_decay": 0.1, "warmup_steps": 500,
    "schedule": "step", "clip": 1.0, "layer_decay": 0.8, "ema": 0.0,
}  # fmt: skip
AUGMENT = {"flip": 0.5, "half_body": 0.3, "shift": 0.16, "shift_p": 0.3, "scale": (0.5, 1.5), "rotate": 80,
           "rotate_p": 0.6, "color": 0.0}  # fmt: skip
SYSTEM = {  # of every released configuration with language
    "matcher": "concat", "decoder": "dual-released", "zero_init": False, "heads": 8, "dropout": 0.1,
    "visual_prompt_lr_scale": 1.0, "sentence_dropout": 0.0, "placement": "deep",
}  # fmt: skip
FROZEN_PARTS = {"frozen_batchnorm": False, "visual_prompt_decay": True, "layer_count": 12}
"""What the released code does: BatchNorm follows the batch, visual prompts (3 dimensions) decay, 12 blocks count."""
CORRECTED = {"frozen_batchnorm": True, "visual_prompt_decay": False, "layer_count": 0}
VARIED = {  # the one option that a row of an ablation is about
    "vlpose-decoders": ("decoder", {}),
    "vlpose-matchers": ("matcher", {}),
    "vlpose-visual-prompts": (
        "placement",
        {"deep-20": "deep", "deep-5": "deep", "deep-10": "deep", "deep-50": "deep", "shallow-20": "shallow"},
    ),
}
COUNTS = {"deep-5": 5, "deep-10": 10, "deep-50": 50}

TABLES = [name for name in list_tables() if name.startswith("vlpose-")]
ROWS = [(table, row.name) for table in TABLES for row in load_table(table).rows]
VLPOSE = [(table, row) for table, row in ROWS if load_table(table).row(row).recipe.get("method") == "vlpose"]
FULL = [(table, row) for table, row in ROWS if load_table(table).row(row).recipe.get("method") == "full"]


def recipe_of(table, row):
    recipe = Recipe.from_dict(load_table(table).row(row).recipe)
    assert recipe.settings == "own"  # a row is complete in itself
    return recipe


def expected_options(table, row, base):
    plain = row.removesuffix("-corrected")
    facts = SYSTEM | (CORRECTED if plain != row else FROZEN_PARTS)
    facts |= {"visual_prompts": VISUAL_PROMPTS.get(base), "drop_path": DROP_PATH[base] if plain == row else 0.0}
    if table in VARIED:
        option, values = VARIED[table]
        facts |= {option: values.get(plain, plain)}
    if plain in COUNTS:
        facts["visual_prompts"] = COUNTS[plain]
    if plain == "ff":  # its encoder is trained, so drop-path is no fault
        facts["drop_path"] = DROP_PATH[base]
    return facts


@pytest.mark.parametrize(("table", "row"), VLPOSE)
def test_a_row_of_the_system(table, row):
    recipe = recipe_of(table, row)
    config = METHODS.get("vlpose").Config(**recipe.method_options)
    for name, value in expected_options(table, row, recipe.base).items():
        if value is not None:  # counts for Swin and PVT are not in our sources
            assert getattr(config, name) == value, name
    assert recipe.language.encoder == ("blip" if table != "vlpose-text-encoders" else row.removesuffix("-corrected"))
    assert recipe.evaluate.flip_test and (recipe.evaluate.category == "own") == ("shuffled" not in row)


@pytest.mark.parametrize(("table", "row"), [*VLPOSE, *FULL])
def test_training_is_as_in_the_shared_configuration(table, row):
    recipe = recipe_of(table, row)
    train = recipe.resolved(METHODS.get(recipe.method).defaults).train
    facts = TRAIN
    if row.endswith("-ft-corrected"):  # that of ViTPose's own configuration of the size, as MMPose has it
        facts = TRAIN | {"layer_decay": {"vitpose-b": 0.75, "vitpose-l": 0.8, "vitpose-h": 0.85}[recipe.base]}
    if recipe.method == "full" and not recipe.base.startswith("vitpose"):
        # the released layer-wise decay knows the names of a ViT's blocks alone
        facts = TRAIN | {"layer_decay": 1.0}
    assert {name: getattr(train, name) for name in facts} == facts
    assert {name: getattr(train.augment, name) for name in AUGMENT} == AUGMENT
    assert train.augment.around == AUGMENT_FALLBACK.around == "box" and TRAIN_FALLBACK.optimizer == "adamw"


@pytest.mark.parametrize(("table", "row"), FULL)
def test_a_row_of_full_tuning(table, row):
    recipe = recipe_of(table, row)
    config = METHODS.get("full").Config(**recipe.method_options)
    counted = 12 if recipe.base.startswith("vitpose") and not row.endswith("-corrected") else 0
    assert (config.drop_path, config.layer_count) == (DROP_PATH[recipe.base], counted)
    assert not config.freeze_batchnorm  # all of it is trained


@pytest.mark.parametrize("table", TABLES)
def test_beside_each_row_stands_the_corrected_one(table):
    rows = load_table(table).rows
    for row, after in zip(rows, [*rows[1:], None], strict=True):
        if row.recipe.get("method") != "vlpose" or row.name.endswith("-corrected"):
            continue
        assert after is not None and after.name == f"{row.name}-corrected", row.name
        assert after.reference is None  # published figures belong to what was released
        assert "released settings" in row.facts.label and "corrected" in after.facts.label
        one, other = (dict(r.recipe) for r in (row, after))
        options = [set(r.pop("method_options").items()) for r in (one, other)]
        assert one == other
        assert {name for name, _ in options[0] ^ options[1]} <= {*FROZEN_PARTS, "drop_path"}


@pytest.mark.parametrize(("table", "row"), ROWS)
def test_detector_boxes_are_read_as_published_and_as_they_are(table, row):
    read = load_table(table)
    data = Recipe.from_dict(read.row(row).recipe).data
    assert (data.boxes, data.box_format) == ("published", "both")
    columns = {name: column.report for name, column in read.columns.items()}
    assert columns["humanart_det"].endswith("/ap (detector boxes as published)")
    assert columns["humanart_corners"].endswith("/ap (detector boxes)")
    assert "humanart_corners" not in (read.row(row).reference or {})
