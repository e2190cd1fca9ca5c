"""The sentences of an earlier adapter beside those of a further domain."""

from dataclasses import replace

import pytest
import torch
from tiny import tiny_bank

from lvtune.core.errors import UsageError
from lvtune.language.bank import SentenceBank
from lvtune.language.earlier_sentences import join_sentences


def bank_of(*rows, dim=20, encoder="test"):
    """A bank of (category, sentence, number of tokens, value of the tokens)."""
    length = max(count for _, _, count, _ in rows)
    tokens, mask = torch.zeros(len(rows), length, dim), torch.zeros(len(rows), length, dtype=torch.bool)
    for i, (_, _, count, value) in enumerate(rows):
        tokens[i, :count], mask[i, :count] = value, True
    return SentenceBank(tuple(r[0] for r in rows), tuple(r[1] for r in rows), tokens, mask, encoder)


def test_each_sentence_is_there_once_with_its_own_tokens():
    earlier, new = tiny_bank(), bank_of(("fresco", "a fresco", 7, 0.5))
    joined, renamed = join_sentences(earlier, new)
    assert joined.categories == ("sketch", "cartoon", "mural", "fresco") and not renamed
    assert torch.equal(joined.tokens[:3, :5], earlier.tokens) and torch.equal(joined.tokens[3:], new.tokens)
    assert joined.mask.sum(1).tolist() == [*earlier.mask.sum(1).tolist(), 7]
    again, _ = join_sentences(joined, new)
    assert again.categories == joined.categories and torch.equal(again.tokens, joined.tokens)


def test_the_new_domain_keeps_the_name_of_a_category_with_another_sentence():
    earlier = bank_of(("default", "a mouse", 2, 1.0), ("default-before", "a rat", 2, 2.0))
    new = bank_of(("default", "a fly", 2, 3.0))
    joined, renamed = join_sentences(earlier, new)
    assert renamed == {"default": "default-before-2"}
    found = dict(zip(joined.categories, joined.sentences, strict=True))
    assert found == {"default": "a fly", "default-before": "a rat", "default-before-2": "a mouse"}
    assert joined.tokens[joined.index("default-before-2"), 0, 0] == 1.0


def test_sentences_that_were_added_after_the_tuning_are_left_out():
    assert join_sentences(replace(tiny_bank(), tuned=2), bank_of(("a", "b", 1, 0.0)))[0].categories == (
        "sketch", "cartoon", "a",
    )  # fmt: skip


@pytest.mark.parametrize("given", [{"encoder": "other"}, {"dim": 8}])
def test_other_text_encoders_do_not_mix(given):
    with pytest.raises(UsageError, match="the same text encoder"):
        join_sentences(tiny_bank(), bank_of(("a", "b", 1, 0.0), **given))
