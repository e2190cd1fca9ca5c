"""A predictor that reads the sentence: labels that contradict each other are told apart by it, and by nothing else."""

from dataclasses import replace

import pytest
import torch
from tiny import make_adapter, tiny_bank, tiny_base, tiny_pixels

from lvtune.adapters.factory import create_adapter
from lvtune.adapters.method_registry import METHODS
from lvtune.core.errors import UsageError
from lvtune.hub.adapter_loading import load_adapter
from lvtune.language.bank import SentenceBank
from lvtune.patcher.attaching import attach, use_adapter
from lvtune.patcher.merging import merge
from lvtune.storage.store import save_adapter

READING = ("vlpose", "vlpose-light")
OPTIONS = {"predictor_reads": True, "sentence_dropout": 0.0}
NAMES = ("sketch", "mural")


def conventions(base) -> dict[str, list[int]]:
    """Two ways to number the same key points: as the base has them, and with left and right exchanged."""
    return {"sketch": list(range(17)), "mural": list(base.skeleton.flip_index)}


def answers(base, adapter, pixels, category):
    with torch.no_grad(), attach(base, adapter.eval()), use_adapter(base, category=category):
        return base(pixels)


def tuned(method: str, base, **options):
    """Tuned on the base's own answers under both numberings, so that only the sentence tells which is asked for."""
    adapter = make_adapter(method, base, **options)
    reads, pixels = METHODS.get(method).reads_language, tiny_pixels(8, seed=1)
    with torch.no_grad():
        own = base(pixels)
    optimizer = torch.optim.Adam([p for p in adapter.parameters() if p.requires_grad], lr=0.01)
    adapter.train()
    with attach(base, adapter):
        for _ in range(80):
            loss = 0.0
            for name, order in conventions(base).items():
                with use_adapter(base, category=name if reads else None):
                    loss = loss + (base(pixels) - own[:, order]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return adapter.eval()


def followed(base, asked: dict[str, torch.Tensor], pixels) -> float:
    """Share of answers to unseen pictures nearer to the numbering asked for than to the other."""
    with torch.no_grad():
        own = base(pixels)
    ways, right = conventions(base), []
    for name, other in (NAMES, NAMES[::-1]):
        near, far = ((asked[name] - own[:, ways[way]]).square().flatten(1).mean(1) for way in (name, other))
        right += (near < far).tolist()
    return sum(right) / len(right)


@pytest.mark.parametrize("method", READING)
def test_the_sentence_is_followed_and_nothing_else_tells(method):
    base, pixels = tiny_base(), tiny_pixels(12, seed=5)
    adapter = tuned(method, base, **OPTIONS)
    own = {name: answers(base, adapter, pixels, name) for name in NAMES}
    assert followed(base, own, pixels) >= 0.95
    exchanged = {"sketch": own["mural"], "mural": own["sketch"]}
    assert followed(base, exchanged, pixels) <= 0.05
    same = answers(base, adapter, pixels, None)
    assert followed(base, dict.fromkeys(NAMES, same), pixels) == 0.5


def test_what_reads_nothing_is_at_chance():
    base, pixels = tiny_base(), tiny_pixels(12, seed=5)
    same = answers(base, tuned("lora", base), pixels, None)
    assert followed(base, dict.fromkeys(NAMES, same), pixels) == 0.5


@pytest.mark.parametrize("method", READING)
def test_it_starts_from_nothing_and_is_not_there_unless_asked_for(method):
    base, pixels = tiny_base(), tiny_pixels()
    assert not [name for name in make_adapter(method, base).tensors() if name.startswith("reading")]
    adapter = make_adapter(method, base, predictor_reads=True)
    assert torch.allclose(answers(base, adapter, pixels, "mural"), base(pixels), atol=1e-5)
    plain = create_adapter(method, base, bank=tiny_bank(), seed=3)
    again = create_adapter(method, base, bank=tiny_bank(), seed=3)
    assert all(torch.equal(v, again.tensors()[n]) for n, v in plain.tensors().items())


@pytest.mark.parametrize("method", READING)
def test_saved_and_loaded_it_answers_alike_in_a_mixed_batch(method, tmp_path):
    base, pixels = tiny_base(), tiny_pixels(3)
    adapter = make_adapter(method, base, stirred=0.1, **OPTIONS)
    again = load_adapter(save_adapter(adapter, tmp_path / "out", base), base)
    asked = ["mural", None, "sketch"]
    assert torch.equal(answers(base, adapter, pixels, asked), answers(base, again, pixels, asked))
    alone = torch.cat([answers(base, adapter, pixels[i : i + 1], name) for i, name in enumerate(asked)])
    assert torch.allclose(answers(base, adapter, pixels, asked), alone, atol=1e-4)


def test_merged_and_fixed_it_answers_alike():
    base, pixels = tiny_base(), tiny_pixels()
    adapter = make_adapter("vlpose-light", base, stirred=0.1, **OPTIONS)
    wanted = answers(base, adapter, pixels, "mural")
    with torch.no_grad():
        fixed = adapter.fixed(base, "mural")
    assert torch.allclose(answers(base, fixed, pixels, None), wanted, atol=1e-4)
    merged = merge(base, adapter, category="mural")
    with torch.no_grad():
        assert torch.allclose(merged.base(pixels), wanted, atol=1e-3)


def test_a_sentence_that_was_added_is_read_by_what_it_shares_with_the_tuned_ones():
    base, pixels = tiny_base(), tiny_pixels(12, seed=5)
    bank = replace(tiny_bank(), mask=torch.ones(3, 5, dtype=torch.bool), tokens=tiny_bank(seed=2).tokens)
    adapter = tuned("vlpose-light", base, bank=bank, **OPTIONS)
    mean, carrier = bank.tokens.mean((0, 1)), torch.randn(20, generator=torch.Generator().manual_seed(9))
    told = {"new_sketch": bank.tokens[0], "new_mural": bank.tokens[2]}
    # the same said in other words: half as clear, and all of it moved by a manner of speaking
    tokens = torch.stack([mean + 0.5 * (t - mean) + 0.5 * carrier for t in told.values()])
    wider = SentenceBank(
        (*bank.categories, *told), (*bank.sentences, "", ""), torch.cat([bank.tokens, tokens]),
        torch.ones(5, 5, dtype=torch.bool), "test", tuned=3,
    )  # fmt: skip
    again = create_adapter("vlpose-light", base, bank=wider, **OPTIONS)
    again.load_tensors(adapter.tensors())
    assert torch.equal(answers(base, again, pixels, "mural"), answers(base, adapter, pixels, "mural"))
    own = {name: answers(base, again, pixels, f"new_{name}") for name in NAMES}
    assert followed(base, own, pixels) >= 0.9


@pytest.mark.parametrize(
    ("method", "options"), [("vlpose", {"decoder": "baseline"}), ("vlpose-light", {"language": 0})]
)
def test_it_needs_sentences(method, options):
    with pytest.raises(UsageError, match="predictor that reads sentences"):
        create_adapter(method, tiny_base(), bank=tiny_bank(), predictor_reads=True, **options)
    assert METHODS.get(method).options_for_conflicts(options) == {}
    assert METHODS.get(method).options_for_conflicts({}) == OPTIONS


def test_such_adapters_do_not_add_up():
    base = tiny_base()
    pair = [make_adapter("vlpose-light", base, predictor_reads=True) for _ in range(2)]
    with pytest.raises(UsageError, match="sum of adapters"):
        type(pair[0]).summed(pair, [0.5, 0.5], base)
