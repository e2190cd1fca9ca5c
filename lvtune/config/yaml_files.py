"""Recipes as YAML files: those that ship, by name, and anybody's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lvtune.core.errors import LvtuneError
from lvtune.core.registry import suggest


def recipe_folders() -> list[Path]:
    """Where shipped recipes lie: in the wheel, and in a source tree."""
    inside, tree = Path(__file__).parents[1] / "recipes", Path(__file__).parents[2]
    # beside an installed package, a folder "recipes" would be somebody else's
    folders = [inside, tree / "recipes"] if (tree / "pyproject.toml").is_file() else [inside]
    return [folder for folder in folders if folder.is_dir()]


def list_recipes() -> list[str]:
    """Names of the shipped recipes."""
    alone = {file.stem for folder in recipe_folders() for file in folder.glob("*.yaml")}
    rows = {f"{f.parent.name}/{f.stem}" for folder in recipe_folders() for f in folder.glob("*/*.yaml")}
    return sorted(alone) + sorted(name for name in rows if not name.endswith("/table"))


ROW_KEYS = ("row", "reference")
"""Keys of a recipe that is a row of a published table; they say nothing about the run itself."""


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The options in a YAML recipe.

    Args:
        path: a file, or the name of a shipped recipe; a row of a table is ``TABLE/ROW``.

    Raises:
        LvtuneError: no such file, not YAML, or not a table.
    """
    return {name: value for name, value in read_whole_yaml(path).items() if name not in ROW_KEYS}


def read_whole_yaml(path: str | Path) -> dict[str, Any]:
    """All that a YAML file of :func:`read_yaml` holds, the facts of a table's row included.

    Args:
        path: a file, or the name of a shipped recipe.

    Raises:
        LvtuneError: no such file, not YAML, or not a table.
    """
    import yaml

    name = str(path).removesuffix(".yaml")
    candidates = [Path(path)] + [folder / f"{name}.yaml" for folder in recipe_folders()]
    file = next((c for c in candidates if c.is_file()), None)
    if file is None:
        known = list_recipes()
        raise LvtuneError(
            f"recipe '{path}', which does not exist",
            f"a YAML file, or a shipped recipe: {', '.join(known) or 'none here'}",
            suggest(name, known, "check the path"),
        )
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise LvtuneError(f"recipe {file}: {reason}", "a YAML file", "mend the file there") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise LvtuneError(f"recipe {file}", "a table such as `base: vitpose-b`", "write `name: value` lines")
    return values
