"""What distinguishes sentences: centred, of one length; those added later are read in terms of the tuned ones."""

from dataclasses import replace

import pytest
import torch
from tiny import tiny_bank

from lvtune.core.errors import DataError
from lvtune.language.bank import SentenceBank
from lvtune.language.bank_cache import cached_bank
from lvtune.language.distinct import distinct


def wider(tuned: int | None) -> SentenceBank:
    bank, more = tiny_bank(), tiny_bank(seed=7)
    return SentenceBank(
        (*bank.categories, "x", "y", "z"), (*bank.sentences, *more.sentences),
        torch.cat([bank.tokens, more.tokens]), torch.cat([bank.mask, more.mask]), "test", tuned,
    )  # fmt: skip


def test_rows_are_of_one_length_and_the_mean_is_zero():
    rows = distinct(tiny_bank())
    assert rows.shape == (4, 20)
    assert torch.allclose(rows[:3].norm(dim=1), torch.full((3,), 20**0.5))
    assert not rows[3].any()


def test_added_sentences_leave_the_tuned_ones_as_they_are():
    own = distinct(tiny_bank())[:3]
    assert torch.allclose(distinct(wider(3))[:3], own)
    assert not torch.allclose(distinct(wider(None))[:3], own, atol=1e-2)


def test_of_added_sentences_only_the_span_of_the_tuned_ones_is_read():
    rows = distinct(wider(3))
    basis = torch.linalg.qr(rows[:3].T)[0][:, :2]
    assert torch.allclose(rows[3:6] @ basis @ basis.T, rows[3:6], atol=1e-4)


def test_a_single_tuned_sentence_stays_what_it_was():
    assert torch.allclose(distinct(wider(1))[0], distinct(replace(wider(1), tuned=None, categories=("a",),
                          sentences=("",), tokens=wider(1).tokens[:1], mask=wider(1).mask[:1]))[0])  # fmt: skip


def test_the_number_of_tuned_ones_is_kept_in_files_and_checked():
    bank = wider(3)
    again = SentenceBank.from_tensors(bank.to_tensors(), bank.categories, bank.sentences, bank.encoder)
    assert again.tuned == 3
    assert "tuned" not in tiny_bank().to_tensors()
    assert cached_bank(bank) is not cached_bank(wider(4))
    with pytest.raises(DataError):
        wider(7)
