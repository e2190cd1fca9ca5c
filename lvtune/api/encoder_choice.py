"""Chooses the text encoder where the recipe leaves it open: the publication's where it is at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from lvtune.api.method_choice import AUTO, SHIPPED_ENCODER, published_encoder
from lvtune.core.decision import Decision
from lvtune.core.errors import NetworkError

if TYPE_CHECKING:
    from lvtune.api.recipe import Recipe
    from lvtune.language.bank import SentenceBank


def embedded(recipe: Recipe, embed: Callable[[Recipe], SentenceBank]) -> tuple[Recipe, SentenceBank, list[Decision]]:
    """Embeds the sentences; returns the recipe with the encoder that was taken, the bank, and why.

    Args:
        recipe: whole; with published settings its text encoder may be ``auto``.
        embed: embeds the sentences with the encoder that a recipe names.

    Raises:
        LvtuneError: what ``embed`` raises; an encoder of the publication that cannot be reached raises nothing.
    """
    if recipe.language.encoder != AUTO:
        return recipe, embed(recipe), []
    wanted = published_encoder(recipe.method)
    try:
        return (first := _with(recipe, wanted)), embed(first), [
            Decision("text encoder", wanted, "the encoder of the publication")
        ]  # fmt: skip
    except NetworkError as error:
        why = (
            f"its embedded sentences ship; {wanted}, the encoder of the publication, is not available ({error.given}); "
            f"--language.encoder {wanted}:FOLDER takes weights of yours"
        )
        other = _with(recipe, SHIPPED_ENCODER)
        return other, embed(other), [Decision("text encoder", SHIPPED_ENCODER, why)]


def _with(recipe: Recipe, encoder: str) -> Recipe:
    return replace(recipe, language=replace(recipe.language, encoder=encoder))
