"""The objective of hands against sums worked out apart, its options, and what it refuses."""

import pytest
import torch
from tiny import tiny_base
from tiny_hands import small_cpm_base, tiny_hand_base, tiny_hands

from lvtune.api.recipe import Recipe
from lvtune.bases.hand_nets import HandOutput
from lvtune.core.errors import LvtuneError
from lvtune.data.hand_frame import from_canonical, normalise, to_canonical
from lvtune.training.hand_objective import HandConfig, HandObjective

BATCH = tiny_hands(4)


@pytest.fixture(scope="module")
def base():
    return tiny_hand_base()


def output_of(base, batch, stages=1):
    """An output that is the truth in all its parts."""
    maps, _ = base.codec.encode(batch["keypoints"], batch["visible"])
    target, _ = normalise(batch["xyz"], batch["scale"])
    canonical, rotation = to_canonical(target, batch["side"])
    return HandOutput(maps, target, canonical, rotation, (maps,) * stages, maps)


@pytest.mark.parametrize("target", ["xyz", "canonical"])
def test_the_truth_costs_nothing(base, target):
    objective, output = HandObjective(HandConfig(target=target)), output_of(base, BATCH)
    assert objective.heat(base, output, BATCH) == 0
    assert objective.pose(output, BATCH) < 1e-10
    assert torch.allclose(from_canonical(output.canonical, output.rotation, BATCH["side"]), output.xyz, atol=1e-5)


def test_heatmaps_are_the_mean_of_squares_over_all_elements(base):
    output = output_of(base, BATCH)
    wrong = output.heatmaps.clone()
    wrong[0, 3, 5, 6] += 2.0
    wrong[1, 4, 1, 1] += 1.0
    batch = {**BATCH, "visible": BATCH["visible"].clone()}
    batch["visible"][1, 4] = 0  # nobody knows where it is
    _, weight = base.codec.encode(batch["keypoints"], batch["visible"])
    assert weight[0, 3] == 1 and weight[1, 4] == 0
    found = HandObjective().heat(base, output._replace(heatmaps=wrong, stages=(wrong,)), batch)
    assert found.item() == pytest.approx(4.0 / wrong.numel(), rel=1e-5)


def test_stages_are_added_up_or_the_last_one_counts():
    base = small_cpm_base()
    batch = tiny_hands(2)
    output = base.hands(batch["pixel_values"], batch["side"])
    each = [HandObjective().heat(base, output._replace(stages=(maps,)), batch) for maps in output.stages]
    every = HandObjective(HandConfig(stages="all")).heat(base, output, batch)
    last = HandObjective(HandConfig(stages="last")).heat(base, output, batch)
    torch.testing.assert_close(every, sum(each))
    assert last == each[-1] and len(set(map(float, each))) == 3


def test_joints_in_lengths_of_the_bone_relative_to_the_root(base):
    output = output_of(base, BATCH)
    moved = output.xyz.clone()
    moved[2, 8, 1] += 3.0
    found = HandObjective().pose(output._replace(xyz=moved), BATCH)
    assert found.item() == pytest.approx(9.0 / (4 * 21 * 3), rel=1e-4)
    # neither where the hand is nor how large it is changes the target
    other = {**BATCH, "xyz": 3 * BATCH["xyz"] + 100, "scale": 3 * BATCH["scale"]}
    torch.testing.assert_close(HandObjective().pose(output._replace(xyz=moved), other), found)


def test_shape_and_rotation_apart(base):
    output = output_of(base, BATCH)
    shape = output.canonical.clone()
    shape[0, 4, 0] += 2.0
    turned = output.rotation.clone()
    turned[1] = -turned[1]
    objective = HandObjective(HandConfig(target="canonical"))
    assert objective.pose(output._replace(canonical=shape), BATCH).item() == pytest.approx(4.0 / (4 * 63), rel=1e-4)
    # each entry of a rotation doubles its sign: 4 · 3 over 4 hands of 9 entries
    assert objective.pose(output._replace(rotation=turned), BATCH).item() == pytest.approx(12.0 / 36, rel=1e-4)
    blind = HandObjective().pose(output._replace(canonical=shape, rotation=turned), BATCH)
    assert blind < 1e-10


def test_hands_without_3d_count_by_their_heatmaps(base):
    xyz = BATCH["xyz"].clone()
    xyz[1] = float("nan")
    output = output_of(base, BATCH)
    moved = output.xyz + 1.0
    batch = {**BATCH, "xyz": xyz, "scale": torch.where(torch.arange(4) == 1, torch.nan, BATCH["scale"])}
    assert HandObjective().pose(output._replace(xyz=moved), batch).item() == pytest.approx(1.0, rel=1e-4)
    none = {**BATCH, "xyz": torch.full_like(xyz, float("nan"))}
    loss = HandObjective()(base, none)
    assert loss.isfinite() and HandObjective().pose(output, none) == 0


def test_weights_and_the_whole(base):
    def loss(**options):
        return HandObjective(HandConfig(**options))(base, BATCH)

    heat, pose = loss(pose=0.0), loss(heat=0.0)
    torch.testing.assert_close(loss(), heat + pose)
    torch.testing.assert_close(loss(heat=3.0, pose=0.5), 3 * heat + 0.5 * pose)


def test_what_does_not_fit_is_told(base):
    with pytest.raises(LvtuneError, match="vitpose-tiny") as error:
        HandObjective()(tiny_base(), BATCH)
    assert "--objective heatmap" in error.value.fix
    flat = {name: value for name, value in BATCH.items() if name not in ("xyz", "scale", "side")}
    with pytest.raises(LvtuneError, match="without 3D joints"):
        HandObjective()(base, flat)


def test_recipes_name_objectives_and_their_options():
    recipe = Recipe.from_dict({"objective": "hand", "objective_options": {"stages": "last", "heat": "2"}})
    assert recipe.objective_options == {"stages": "last", "heat": 2.0}
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    with pytest.raises(LvtuneError, match=r"did you mean 'objective\.stages'"):
        Recipe.from_dict({"objective": "hand", "objective_options": {"stage": "last"}})
    with pytest.raises(LvtuneError, match="did you mean 'hand'"):
        Recipe.from_dict({"objective": "hnd", "objective_options": {"heat": 1}})
    with pytest.raises(LvtuneError, match="--objective NAME"):
        Recipe.from_dict({"objective_options": {"heat": 1}})
