"""Where torch or Accelerate has given up a private function that is used, the error says so."""

import pytest
import torch
from accelerate.state import AcceleratorState, PartialState
from torch import nn

from lvtune.core import private_api
from lvtune.core.errors import LvtuneError
from lvtune.patcher.attaching import attach
from lvtune.training.engine import make_accelerator

TOO_NEW = r"torch .* has no torch.*{name}; expected a version that lvtune is tested with \(2\.11 to 2\.15\)"


def test_they_tell_what_they_should():
    assert private_api.backward_pass_id() == -1
    seen, x = [], torch.ones(1, requires_grad=True)
    (x * 2).register_hook(lambda gradient: seen.append(private_api.backward_pass_id()))
    y = x * 2
    y.register_hook(lambda gradient: seen.append(private_api.backward_pass_id()))
    y.sum().backward()
    assert len(seen) == 1 and seen[0] >= 0
    assert not private_api.is_exporting()
    plain = nn.Sequential(nn.Linear(2, 2))
    assert not private_api.is_compiled(plain)
    plain[0].compile(backend="eager")
    assert private_api.is_compiled(plain)
    assert private_api.is_compiled(nn.Sequential(torch.compile(nn.Linear(2, 2), backend="eager")))


def test_export_is_seen():
    class Told(nn.Module):
        def forward(self, x):
            return x + 1 if private_api.is_exporting() else x

    assert torch.export.export(Told(), (torch.zeros(1),)).module()(torch.zeros(1)).item() == 1
    assert Told()(torch.zeros(1)).item() == 0


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (torch._C, "_current_graph_task_id", private_api.backward_pass_id),
        (torch.compiler, "_is_exporting_flag", private_api.is_exporting),
        (nn.Module, "_compiled_call_impl", lambda: private_api.is_compiled(nn.Linear(2, 2))),
    ],
)
def test_a_torch_without_them_is_told(monkeypatch, owner, name, call):
    monkeypatch.delattr(owner, name)
    with pytest.raises(LvtuneError, match=TOO_NEW.format(name=name)) as error:
        call()
    assert error.value.fix == "pip install 'torch>=2.11,<2.16'"


@pytest.mark.parametrize(
    ("owner", "name"),
    [(PartialState, "_shared_state"), (AcceleratorState, "_reset_state")],
)
def test_an_accelerate_without_them_is_told(monkeypatch, owner, name):
    monkeypatch.delattr(owner, name)
    with pytest.raises(LvtuneError, match=rf"accelerate .* has no accelerate\..*{name}"):
        make_accelerator("cpu", "no")


def test_a_tuning_step_is_refused_and_not_guessed(monkeypatch):
    from tiny import make_adapter, tiny_base, tiny_pixels

    base = tiny_base(layers=1)
    with attach(base, make_adapter("lora", base)):
        base(tiny_pixels(1))
        monkeypatch.delattr(torch.compiler, "_is_exporting_flag")
        with pytest.raises(LvtuneError, match="_is_exporting_flag"):
            base(tiny_pixels(1))
