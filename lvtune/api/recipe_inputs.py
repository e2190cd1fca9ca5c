"""The files that a recipe names: a run writes over none of them."""

from __future__ import annotations

from pathlib import Path

from lvtune.api.recipe import Recipe
from lvtune.storage.output_folder import files_at, input_files


def recipe_files(recipe: Recipe) -> list[Path]:
    """Returns the files that a recipe reads, besides pictures: labels, weights, start, sentences, ..."""
    data, words = recipe.data, recipe.language.sentences
    names = [recipe.weights, recipe.start, recipe.domain, recipe.evaluate.ranker, *data.test_pictures]
    names += [words] if isinstance(words, str) else []
    pictures = [place for place in recipe.look if Path(place).is_file()]
    more = (recipe.unlabelled, recipe.grow, recipe.after, recipe.keeping.replay_pictures, *recipe.earlier_data.values())
    names += [name for name in more if name]
    encoder = recipe.language.encoder.partition(":")[2]
    return [*input_files(data), *files_at(*names, encoder, *pictures)]
