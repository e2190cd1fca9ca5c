"""Attention to gated visual prompts: for few prompts and for many, the same values and gradients."""

import pytest
import torch
from pyramids import tiny as tiny_of
from tiny import make_adapter, tiny_base, tiny_pixels

from lvtune.adapters import visual_prompts as module
from lvtune.adapters.visual_prompts import gated_visual_prompts
from lvtune.patcher.attaching import attach

FAMILIES = ("vitpose", "vit", "swin", "pvt", "pvtv2")


def made(family, block=1, prompts=3):
    base = tiny_base() if family == "vitpose" else tiny_of(family)
    base.model.double()
    block, draw = base.blocks[block], torch.Generator().manual_seed(0)
    new = lambda *size: torch.randn(*size, generator=draw, dtype=torch.float64).requires_grad_()  # noqa: E731
    return block, (new(2, 5, block.width), new(prompts, block.width), new(block.heads))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("prompts", [1, 4])
def test_products_with_the_prompts_alone_give_what_the_blocks_own_order_gives(family, prompts):
    block, given = made(family, prompts=prompts)
    attend = module._Attention(block)
    plain, folded = attend.plain(*given), attend.folded(*given)
    torch.testing.assert_close(folded, plain, rtol=1e-10, atol=1e-10)
    like = torch.linspace(-1, 1, plain.numel(), dtype=plain.dtype).view_as(plain)
    for one, other in zip(*(torch.autograd.grad(y, given, like) for y in (plain, folded)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)
    assert plain.abs().max() > 1e-3


@pytest.mark.parametrize(("prompts", "rows"), [(1, 4), (15, 60), (16, None), (40, None)])
def test_few_prompts_multiply_all_tokens_with_few_rows(prompts, rows, monkeypatch):
    block, (normed, tokens, gates) = made("vitpose", prompts=prompts)  # 4 heads, width 48
    seen, compute = [], module.linear
    monkeypatch.setattr(module, "linear", lambda x, weight, *rest: seen.append(weight) or compute(x, weight, *rest))
    gated_visual_prompts(block, lambda: tokens, lambda: gates).delta(normed)
    assert [tuple(weight.shape) for weight in seen] == ([] if rows is None else [(rows, 48), (48, rows)])


@pytest.mark.parametrize("prompts", [2, 40])
def test_a_gate_of_zero_adds_nothing_to_the_last_bit(prompts):
    block, (normed, tokens, gates) = made("vitpose", prompts=prompts)
    assert not gated_visual_prompts(block, lambda: tokens, lambda: 0 * gates).delta(normed).any()
    base = tiny_base()
    with torch.no_grad():
        bare = base(tiny_pixels())
        with attach(base, make_adapter("vpt", base, visual_prompts=prompts)):
            assert torch.equal(base(tiny_pixels()), bare)
