"""Several methods at once, as one adapter."""

import itertools
import threading

import pytest
import torch
from pyramids import tiny as tiny_of
from tiny import TinyPictures, make_adapter, snapshot, tiny_bank, tiny_base, tiny_pixels

import lvtune
from lvtune.adapters.factory import create_adapter
from lvtune.api.recipe import Recipe
from lvtune.core.errors import LvtuneError
from lvtune.data.dataset import collate
from lvtune.data.skeletons import LSP_14
from lvtune.patcher.attaching import attach, use_adapter
from lvtune.storage import adapter_file
from lvtune.training.heatmap import HeatmapObjective

PIXELS = tiny_pixels()


def made(method, base, **options):
    options.setdefault("seed", 3)
    return make_adapter(method, base, stirred=0.05, **options)


def answer(base, adapter, category=None):
    with torch.no_grad(), attach(base, adapter, "own"), use_adapter(base, category=category):
        return base(PIXELS)


def close(found, expected, tolerance=1e-5):
    return (found - expected).abs().max() <= tolerance * expected.abs().max()


def test_lora_under_vlpose_is_vlpose_on_the_base_with_lora_in_it():
    base = tiny_base()
    # prompts read the base's own projections, whatever is done to what these give
    lora = made("lora", base, targets=("fc1", "fc2"), predictor=False)
    vlpose = made("vlpose", base)
    both = lvtune.stack([lora, vlpose])
    merged = lvtune.merge(base, lora).base
    vlpose_there = make_adapter("vlpose", merged)
    vlpose_there.load_tensors(vlpose.tensors())
    for category in (None, "mural"):
        expected = answer(merged, vlpose_there, category)
        assert close(answer(base, both, category), expected)
        assert not close(answer(base, vlpose, category), expected, 1e-3)


@pytest.mark.parametrize("first", ["bitfit", "norm", "lora", "dora", "vlpose-light", "ssf"])
@pytest.mark.parametrize("second", ["ssf", "vlpose-light", "lora", "norm"])
def test_the_second_acts_on_the_base_with_the_first_in_it(first, second):
    base = tiny_base()
    options = {"lora": {"predictor": False}, "dora": {"predictor": False}, "ssf": {"predictor": False}}
    under = made(first, base, **options.get(first, {}))
    over = made(second, base, seed=4, **({"predictor": False} if second == "ssf" else {}))
    both = lvtune.stack([under, over])
    merged = lvtune.merge(base, under).base
    there = make_adapter(second, merged, **({"predictor": False} if second == "ssf" else {}))
    there.load_tensors(over.tensors())
    expected = answer(merged, there)
    assert close(answer(base, both), expected)
    assert not close(answer(base, over), expected, 1e-3)


def test_the_order_counts_where_one_scales_what_the_other_adds():
    base = tiny_base()
    ssf, bitfit = made("ssf", base, predictor=False), made("bitfit", base, norms=False)
    one, other = (answer(base, lvtune.stack(order)) for order in ([bitfit, ssf], [ssf, bitfit]))
    assert not close(one, other, 1e-4)


def test_all_of_its_kind_that_meet_act_together():
    base = tiny_base()
    deep = [made("vpt", base, seed=s, visual_prompts=n, zero_init=False, predictor=False) for s, n in ((1, 2), (2, 3))]
    one = made("vpt", base, visual_prompts=5, zero_init=False, predictor=False)
    rows = [torch.cat(pair) for pair in zip(*(adapter.prompts for adapter in deep), strict=True)]
    one.load_tensors({f"prompts.{i}": row.detach() for i, row in enumerate(rows)})
    assert close(answer(base, lvtune.stack(deep)), answer(base, one))
    shallow = [
        made("vpt", base, seed=s, visual_prompts=n, placement="shallow", predictor=False) for s, n in ((1, 2), (2, 3))
    ]
    one = made("vpt", base, visual_prompts=5, placement="shallow", predictor=False)
    one.load_tensors({"prompts.0": torch.cat([adapter.prompts[0].detach() for adapter in reversed(shallow)])})
    assert close(answer(base, lvtune.stack(shallow)), answer(base, one))


def test_one_name_one_file_and_off_again_bit_for_bit(tmp_path):
    base = tiny_base()
    lora, vlpose = made("lora", base), made("vlpose", base)
    before, own = snapshot(base), [{n: v.clone() for n, v in one.tensors().items()} for one in (lora, vlpose)]
    both = lvtune.stack([lora, vlpose])
    assert snapshot(base) == before
    folder = lvtune.save_adapter(both, tmp_path / "both")
    _, config = adapter_file.read(folder)
    assert config["method"] == "stack" and config["method_config"]["members"] == ["lora", "vlpose"]
    assert config["training"]["combination"]["kind"] == "stack"
    again = lvtune.load_adapter(folder, base)
    assert torch.equal(answer(base, again, "mural"), answer(base, both, "mural"))
    with attach(base, lora, "lora"), attach(base, again, "both"), attach(base, vlpose, "vlpose"), torch.no_grad():
        names = ["both", "lora", None, "vlpose"]
        mixed = base(PIXELS, adapters=names, category=["sketch", None, None, "mural"])
        with use_adapter(base, category="sketch"):
            first = base(PIXELS, adapters="both")[0]
        singles = [
            first,
            *(base(PIXELS, adapters=n, category=p)[i] for i, n, p in ((1, "lora", None), (2, None, None))),
        ]
        singles.append(base(PIXELS, adapters="vlpose", category="mural")[3])
    assert close(mixed, torch.stack(singles))
    assert snapshot(base) == before
    for adapter, tensors in zip((lora, vlpose), own, strict=True):
        assert all(torch.equal(v, tensors[n]) for n, v in adapter.tensors().items())


def test_a_stack_in_a_stack_lies_flat():
    base = tiny_base()
    parts = [made("bitfit", base), made("lora", base, predictor=False), made("vlpose", base)]
    flat = lvtune.stack(parts)
    nested = lvtune.stack([lvtune.stack(parts[:2]), parts[2]])
    assert nested.config == flat.config
    assert torch.equal(answer(base, nested), answer(base, flat))


def test_a_stack_of_mergeable_members_merges():
    base = tiny_base()
    parts = [made("bitfit", base), made("lora", base, predictor=False), made("ssf", base)]
    both = lvtune.stack(parts)
    merged = lvtune.merge(base, both)
    assert close(merged.base(PIXELS), answer(base, both))
    read = lvtune.stack([made("bitfit", base), made("vlpose-light", base)])
    assert close(lvtune.merge(base, read, category="mural").base(PIXELS), answer(base, read, "mural"))
    with pytest.raises(LvtuneError, match="merging stack"):
        lvtune.merge(base, lvtune.stack([parts[0], made("vlpose", base)]))


def test_a_part_that_others_keep_from_acting_is_told_and_the_last_predictor_is_used():
    base = tiny_base()
    lora, head, full, norm = (made(m, base) for m in ("lora", "head", "full", "norm"))
    both = lvtune.stack([lora, head])
    silent = made("lora", base, predictor=False)
    silent.load_tensors({n: v for n, v in lora.tensors().items() if "lora_" in n})
    assert torch.equal(answer(base, both), answer(base, lvtune.stack([silent, head])))
    for members in ([head, lora], [lora, full], [full, lora], [norm, head], [made("vlpose", base), lora]):
        with pytest.raises(LvtuneError, match="never acts") as error:
            lvtune.stack(members)
        assert "last" in error.value.fix


def test_what_does_not_go_together_is_told():
    base, other = tiny_base(), tiny_base(seed=1)
    refusals = {
        "for several bases": [made("lora", base), made("norm", other)],
        "key points of coco": [made("norm", base), made("lora", base, skeleton=LSP_14)],
        "different sentences": [
            made(m, base, bank=tiny_bank(seed=i)) for i, m in enumerate(("vlpose-light", "vlpose"))
        ],
        "no adapter": [],
    }
    for message, adapters in refusals.items():
        with pytest.raises(LvtuneError, match=message):
            lvtune.stack(adapters)


def test_members_predict_other_key_points_together(tmp_path):
    base = tiny_base()
    both = lvtune.stack([made("lora", base, skeleton=LSP_14), made("vlpose", base, skeleton=LSP_14)])
    assert answer(base, both).shape[1] == 14
    again = lvtune.load_adapter(lvtune.save_adapter(both, tmp_path), base)
    assert again.skeleton == LSP_14 and torch.equal(answer(base, again), answer(base, both))
    fresh = make_adapter("stack", base, skeleton=LSP_14)
    assert answer(base, fresh).shape[1] == 14
    with pytest.raises(LvtuneError, match="a member that trains a predictor"):
        make_adapter("stack", base, skeleton=LSP_14, members=("lora", "norm"))


def test_members_and_their_options_from_a_command_line():
    base = tiny_base()
    given = {"members": "bitfit,lora,vlpose", "options": "2.r=2,2.targets=(query),3.visual_prompts=4"}
    stack = make_adapter("stack", base, **given)
    assert [type(member).method for member in stack.members] == ["bitfit", "lora", "vlpose"]
    assert stack.members[1].config.r == 2 and stack.members[2].config.visual_prompts == 4
    assert stack.members[1].predictor is None and stack.members[2].predictor is not None
    mistakes = {
        "a stack of lora, stack": {"members": ("lora", "stack")},
        "a stack of nothing": {"members": ()},
        "option '3.r'": {"members": ("lora", "vlpose"), "options": {"3.r": 4}},
        "unknown option 'method.rr'": {"options": {"1.rr": 4}},
        "unknown method 'lroa'": {"members": ("lroa",)},
    }
    for message, options in mistakes.items():
        with pytest.raises(LvtuneError, match=message):
            make_adapter("stack", base, **options)
    with pytest.raises(LvtuneError, match="without sentences"):
        create_adapter("stack", base)
    assert create_adapter("stack", base, members=("bitfit", "lora")).bank is None


def test_members_are_tuned_together_each_at_its_own_rate():
    base = tiny_base()
    stack = make_adapter("stack", base, members=("bitfit", "vlpose"))
    train = Recipe().resolved().train
    rates = {name: stack.lr_scale(name, train) for name, _ in stack.named_parameters()}
    assert rates["members.1.predictor.weight"] == 1.0
    assert rates["members.1.prompts"] == stack.members[1].config.visual_prompt_lr_scale
    assert {rate for name, rate in rates.items() if name.startswith("members.0.")} == {2.0}
    assert {id(p) for p in stack.undecayed()} == {id(p) for p in stack.members[1].undecayed()}
    batch = collate([TinyPictures()[i] for i in range(4)])
    optimizer = torch.optim.AdamW(stack.parameters(), lr=3e-3)
    losses = []
    with attach(base, stack):
        base.train()
        for _ in range(8):
            optimizer.zero_grad()
            loss = HeatmapObjective()(base, batch)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        base.eval()
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("family", ["swin", "pvt", "pvtv2", "vit"])
def test_other_families(family):
    base = tiny_of(family)
    pixels = torch.randn(2, 3, *base.input_size, generator=torch.Generator().manual_seed(1))
    lora, vlpose = made("lora", base, predictor=False, targets=("fc1", "fc2")), made("vlpose", base)
    both = lvtune.stack([lora, vlpose])
    merged = lvtune.merge(base, lora).base
    there = make_adapter("vlpose", merged)
    there.load_tensors(vlpose.tensors())
    with torch.no_grad(), attach(base, both), attach(merged, there):
        expected, found = merged(pixels), base(pixels)
    assert close(found, expected)


def test_prompts_of_one_attention_that_would_push_each_other_out_are_told():
    base = tiny_of("vit")  # one matrix for queries, keys and values: rows need an attention of ours
    several = [made("vpt", base, seed=s, visual_prompts=2, zero_init=False, predictor=False) for s in (1, 2)]
    with pytest.raises(LvtuneError, match="never acts"):
        lvtune.stack(several)


def test_threads_with_stacks_and_singles():
    base = tiny_base()
    adapters = {"a": lvtune.stack([made("bitfit", base), made("lora", base)]), "b": made("ssf", base)}
    expected = {name: answer(base, adapter) for name, adapter in adapters.items()}
    for name, adapter in adapters.items():
        attach(base, adapter, name)
    wrong = []

    def ask(names):
        for name in names:
            with torch.no_grad():
                if not close(base(PIXELS, adapters=name), expected[name]):
                    wrong.append(name)

    threads = [threading.Thread(target=ask, args=(["a", "b"] * 3,)) for _ in itertools.repeat(None, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lvtune.detach(base)
    assert wrong == []
