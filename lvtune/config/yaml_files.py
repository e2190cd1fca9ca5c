"""Reads recipes from YAML files: those that ship with lvtune, by name, and those of users, by path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lvtune.core.errors import UsageError
from lvtune.core.registry import suggest
from lvtune.core.text import brief, cut

ROW_KEYS = ("row", "reference")
"""Keys of a recipe that is a row of a published table. They describe the row, not the run."""


def recipe_folder() -> Path:
    """Returns the folder of the recipes that ship with lvtune.

    The wheel holds the source tree's folder ``recipes/`` inside the package. In a source tree, and in an editable
    install of one, it lies beside the package.
    """
    package = Path(__file__).parents[1]
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def list_recipes() -> list[str]:
    """Returns the names of the shipped recipes: ``NAME``, then ``TABLE/ROW`` for the rows of published tables."""
    alone = {file.stem for file in recipe_folder().glob("*.yaml")}
    rows = {f"{file.parent.name}/{file.stem}" for file in recipe_folder().glob("*/*.yaml")}
    return sorted(alone) + sorted(name for name in rows if not name.endswith("/table"))


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Returns the options in a YAML recipe.

    Args:
        path: a file, or the name of a shipped recipe; a row of a table is ``TABLE/ROW``.

    Raises:
        UsageError: the file does not exist, is no YAML, or holds no table.
    """
    return {name: value for name, value in read_whole_yaml(path).items() if name not in ROW_KEYS}


def read_whole_yaml(path: str | Path) -> dict[str, Any]:
    """Returns all that a recipe file holds, the keys :data:`ROW_KEYS` included.

    Args:
        path: a file, or the name of a shipped recipe.

    Raises:
        UsageError: the file does not exist, is no YAML, or holds no table.
    """
    from lvtune.core.bounded_yaml import read_yaml_file

    file = _find(path)
    values = read_yaml_file(file, "recipe")
    if values is None:
        return {}
    if not isinstance(values, dict):
        given = f"recipe {cut(file, 200)}, which holds {brief(values)}"
        raise UsageError(given, "a table such as `base: vitpose-b`", "write `name: value` lines")
    return values


def _find(path: str | Path) -> Path:
    name = str(path).removesuffix(".yaml")
    for candidate in (Path(path), recipe_folder() / f"{name}.yaml"):
        if _is_file(candidate):
            return candidate
    known = list_recipes()
    raise UsageError(
        f"recipe '{cut(path, 200)}', which does not exist",
        f"a YAML file, or a shipped recipe: {', '.join(known) or 'none here'}",
        suggest(name, known, "check the path"),
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False  # too long for a file name, or a character that no name can hold
