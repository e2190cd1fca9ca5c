"""vlpose-light: how it is held in memory and named in files, which are not the same."""

import torch
from tiny import make_adapter, tiny_bank, tiny_base, tiny_pixels

from lvtune.adapters.factory import create_adapter
from lvtune.hub.adapter_loading import load_adapter
from lvtune.patcher.attaching import attach, use_adapter
from lvtune.storage.adapter_file import read
from lvtune.storage.store import save_adapter
from lvtune.training.optim import param_groups

LINEAR = (
    "attention/attention/query", "attention/attention/key", "attention/attention/value", "attention/output/dense",
    "mlp/fc1", "mlp/fc2",
)  # fmt: skip


def test_each_layer_has_its_tensors_in_the_file(tmp_path):
    base = tiny_base()
    adapter = make_adapter("vlpose-light", base, stirred=0.1)
    tensors, _ = read(save_adapter(adapter, tmp_path / "out", base))
    layers = [f"layers.backbone/encoder/layer/{i}/{name}" for i in range(len(base.blocks)) for name in LINEAR]
    expected = {f"{layer}.{part}" for layer in layers for part in "ABU"}
    expected |= {"predictor.weight", "predictor.bias", "text_proj.weight"}
    assert {name for name in tensors if not name.startswith("bank.")} == expected
    assert torch.equal(tensors[f"{layers[-1]}.U"], adapter.U[-1])


def test_a_loaded_one_answers_as_the_one_saved(tmp_path):
    base, pixels = tiny_base(), tiny_pixels(2)
    adapter = make_adapter("vlpose-light", base, stirred=0.1)
    again = load_adapter(save_adapter(adapter, tmp_path / "out", base), base)
    answers = []
    for one in (adapter.eval(), again):
        with torch.no_grad(), attach(base, one), use_adapter(base, category=[adapter.bank.categories[0], None]):
            answers.append(base(pixels))
    assert torch.equal(*answers)


def test_no_module_is_held_per_layer():
    adapter = make_adapter("vlpose-light", tiny_base())
    # itself, A, B, predictor, text_proj
    assert len(list(adapter.modules())) == 5
    assert sum(p.numel() for p in adapter.parameters()) == sum(v.numel() for v in adapter.tensors().values())


def test_what_reads_the_sentence_takes_larger_steps():
    base = tiny_base()
    adapter = create_adapter("vlpose-light", base, bank=tiny_bank())
    groups = param_groups(adapter, 0.1, lambda name: adapter.lr_scale(name, None))
    assert [p is adapter.U for group in groups if group["lr_scale"] == 3.0 for p in group["params"]] == [True]
    held = {id(p) for group in groups for p in group["params"]}
    assert held == {id(p) for p in adapter.parameters()}
