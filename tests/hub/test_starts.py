"""Where tuning begins: at the base's own answer, at an adapter given, or at the one that ships."""

import pytest
import torch
from tiny import make_adapter, snapshot, tiny_bank, tiny_base, tiny_pixels

from lvtune.adapters.factory import create_adapter
from lvtune.bases.base_registry import load_base
from lvtune.config.options import DataOptions
from lvtune.core.errors import AdapterFileError, LvtuneError
from lvtune.data.skeletons import Skeleton
from lvtune.domains import get_domain
from lvtune.evaluation.split_scoring import score_split
from lvtune.hub import starts
from lvtune.hub.starts import warm_start
from lvtune.language.bank import SentenceBank
from lvtune.patcher.attaching import attach, use_adapter
from lvtune.storage.adapter_file import TENSORS_FILE
from lvtune.storage.store import save_adapter

BASE = "vitpose-tiny"


def answer(base, adapter, category=None):
    with torch.no_grad(), attach(base, adapter, name="on"), use_adapter(base, "on", category=category):
        return base(tiny_pixels(2))


def saved(tmp_path, method, base, **options):
    """Folder and adapter of something that was tuned."""
    adapter = make_adapter(method, base, stirred=0.05, seed=3, **options)
    save_adapter(adapter, tmp_path / "start", base)
    return tmp_path / "start", adapter


@pytest.fixture
def base():
    return tiny_base()


@pytest.mark.parametrize("method", ["lora", "head", "vlpose", "vlpose-light", "full", "ssf", "vpt"])
def test_an_adapter_begins_where_another_of_its_method_ended(tmp_path, base, method):
    folder, start = saved(tmp_path, method, base)
    adapter, before = make_adapter(method, base), snapshot(base.model)
    begun = warm_start(adapter, base, str(folder))
    assert begun.name == str(folder) and begun.is_chosen
    assert torch.equal(answer(base, adapter, "cartoon"), answer(base, start, "cartoon"))
    assert snapshot(base.model) == before
    adapter.load_state_dict(begun.fresh)
    assert torch.equal(answer(base, adapter), answer(base, make_adapter(method, base)))


def test_by_default_an_adapter_begins_as_created_where_nothing_ships(base):
    adapter = make_adapter("lora", base)
    fresh = {name: value.clone() for name, value in adapter.state_dict().items()}
    assert warm_start(adapter, base) is None and warm_start(adapter, base, "none") is None
    assert all(torch.equal(value, fresh[name]) for name, value in adapter.state_dict().items())


@pytest.mark.parametrize("options", [{}, {"language": 0, "bank": None}])
def test_light_reads_other_sentences_from_where_the_start_read_none(tmp_path, base, options):
    folder, start = saved(tmp_path, "vlpose-light", base, **options)
    others = tiny_bank(seed=5)
    adapter = make_adapter(
        "vlpose-light", base, alpha=4.0,
        bank=SentenceBank(("sketch",), ("lines on paper",), others.tokens[:1], others.mask[:1], "test"),
    )  # fmt: skip
    before = snapshot(base.model)
    warm_start(adapter, base, str(folder))
    assert snapshot(base.model) == before
    # whatever the new sentence is, it has no weight yet
    for category in (None, "sketch"):
        assert torch.allclose(answer(base, adapter, category), answer(base, start), atol=1e-4)


def test_full_begins_at_the_base_with_another_method_folded_in(tmp_path, base):
    folder, start = saved(tmp_path, "vlpose-light", base)
    adapter, before = make_adapter("full", base), snapshot(base.model)
    warm_start(adapter, base, str(folder))
    assert snapshot(base.model) == before
    assert torch.allclose(answer(base, adapter), answer(base, start), atol=1e-4)
    assert not torch.allclose(answer(base, adapter), answer(base, make_adapter("full", base)), atol=1e-2)


def test_key_points_known_by_name_begin_where_the_start_has_them(tmp_path, base):
    folder, start = saved(tmp_path, "vlpose-light", base)
    names = (start.skeleton.keypoints[3], "tail")
    own = Skeleton(name="own", keypoints=names, sigmas=(0.05, 0.05))
    adapter = make_adapter("vlpose-light", base, skeleton=own)
    warm_start(adapter, base, str(folder))
    assert torch.equal(adapter.predictor.weight[0], start.predictor.weight[3])
    assert not torch.equal(adapter.predictor.weight[1], start.predictor.weight[3])


@pytest.mark.parametrize(
    ("method", "options", "wanted", "told"),
    [
        ("lora", {"r": 2}, None, "a start whose"),
        ("head", {}, None, "a start of method lora for head"),
        ("lora", {}, "shipped", "the shipped start of lora for vitpose-tiny, which is not there"),
        ("lora", {}, "nowhere", "nowhere"),
    ],
)
def test_what_does_not_fit_is_told_and_nothing_is_taken_over(tmp_path, method, options, wanted, told):
    base = tiny_base()
    folder, _ = saved(tmp_path, "lora", base)
    adapter = make_adapter(method, base, **options)
    fresh = {name: value.clone() for name, value in adapter.state_dict().items()}
    with pytest.raises(LvtuneError, match=told):
        warm_start(adapter, base, wanted or str(folder))
    assert all(torch.equal(value, fresh[name]) for name, value in adapter.state_dict().items())


def test_a_start_of_another_base_is_refused(tmp_path, base):
    folder, _ = saved(tmp_path, "lora", base)
    other = tiny_base(seed=1)
    with pytest.raises(LvtuneError):
        warm_start(make_adapter("lora", other), other, str(folder))


def test_what_ships_is_taken_by_default_where_it_fits(tmp_path, base, monkeypatch):
    monkeypatch.setattr(starts, "FOLDER", tmp_path)
    adapter = make_adapter("lora", base, stirred=0.05)
    save_adapter(adapter, tmp_path / f"{BASE}-lora", base)
    assert starts.list_starts() == [f"{BASE}-lora"]
    begun = warm_start(make_adapter("lora", base), base)
    assert begun.name == f"the start that ships with {BASE}" and not begun.is_chosen
    # other options, other weights: no start, and no error since nobody asked for one
    misfits = [(base, {"r": 2}, "a start whose"), (tiny_base(seed=1), {}, "an adapter of another base")]
    for other, options, why in misfits:
        adapter = make_adapter("lora", other, **options)
        begun = warm_start(adapter, other)
        assert why in begun.misfit
        assert all(torch.equal(value, begun.fresh[name]) for name, value in adapter.state_dict().items())
    assert warm_start(make_adapter("head", base), base) is None
    with pytest.raises(LvtuneError, match="a start whose"):
        warm_start(make_adapter("lora", base, r=2), base, "shipped")
    # by its name for other methods that can read it
    whole = make_adapter("full", base)
    begun = warm_start(whole, base, f"{BASE}-lora")
    assert begun.name == f"{BASE}-lora" and begun.is_chosen
    assert torch.allclose(answer(base, whole), answer(base, make_adapter("lora", base, stirred=0.05)), atol=1e-4)


@pytest.mark.parametrize("damage", ["cut", "flipped", "config", "gone"])
def test_a_damaged_start_is_an_error_under_auto_too(tmp_path, base, monkeypatch, damage):
    """Not a silent "does not fit": the file is named."""
    monkeypatch.setattr(starts, "FOLDER", tmp_path)
    folder = save_adapter(make_adapter("lora", base, stirred=0.05), tmp_path / f"{BASE}-lora", base)
    file = folder / TENSORS_FILE
    data = bytearray(file.read_bytes())
    if damage == "flipped":
        data[-1] ^= 1
    elif damage == "config":
        data[data.index(b"method_config") + 20] ^= 1
    file.write_bytes(data[:-50] if damage == "cut" else data)
    if damage == "gone":
        file.unlink()
    adapter = make_adapter("lora", base)
    fresh = {name: value.clone() for name, value in adapter.state_dict().items()}
    for wanted in ("auto", "shipped", f"{BASE}-lora"):
        with pytest.raises(AdapterFileError, match=str(folder)):
            warm_start(adapter, base, wanted)
    assert all(torch.equal(value, fresh[name]) for name, value in adapter.state_dict().items())


def test_the_start_that_ships_finds_more_key_points_in_filtered_photographs():
    base = load_base("vitpose-ti")
    split = get_domain("demo-art").open("test", DataOptions(limit=60))
    adapter = create_adapter("vlpose-light", base, domain="demo-art").eval()
    before = score_split(base, split, flip_test=False).values["pck@0.2"]
    begun = warm_start(adapter, base)
    assert begun.name == "the start that ships with vitpose-ti" and not begun.misfit
    assert f"{base.name}-{adapter.method}" in starts.list_starts()
    with attach(base, adapter):
        after = score_split(base, split, flip_test=False).values["pck@0.2"]
    assert after > before + 2
    # the sentences have no weight yet
    with torch.no_grad(), attach(base, adapter, name="on"):
        pixels = torch.randn(1, 3, *base.input_size)
        answers = []
        for category in ("sketch", "ink_painting"):
            with use_adapter(base, "on", category=category):
                answers.append(base(pixels))
    assert torch.equal(*answers)
