"""Measures the house: rooms, arrows between them, arrows that run upwards, circles, and the size of the code.

    python tools/measure_house.py [FOLDER]     # FOLDER holds `lvtune/`; default: this repository

The rooms and their order are read from ``[tool.importlinter]`` in this repository's pyproject.toml, so that an older
state of the code is measured with the same rule. Every import counts, at the top of a file or inside a function; those
for type checking alone do not.
"""

from __future__ import annotations

import argparse
import ast
import sys
import tomllib
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
LONG_FUNCTION, LONG_FILE = 60, 350
ROOMS_OF_LOOSE_MODULES = {
    "automatic": "patcher", "changes": "bases", "coerce": "config", "combining": "adapters", "convert": "export",
    "errors": "core", "fitting": "patcher", "foreign": "bases", "hooks": "patcher", "ledger": "patcher",
    "merging": "patcher", "network": "core", "options": "config", "patcher": "patcher", "recipe": "api",
    "recipe_files": "config", "registry": "core", "routing": "patcher", "schema": "config", "selection": "patcher",
    "starts": "hub", "tables": "experiments",
}  # fmt: skip
"""Modules that once lay loose in the package, and the rooms that they are counted for."""


def layers() -> dict[str, int]:
    """Room to its height: 0 is the lowest."""
    with (REPO / "pyproject.toml").open("rb") as file:
        contract = tomllib.load(file)["tool"]["importlinter"]["contracts"][0]
    rows = [row.split(" | ") for row in reversed(contract["layers"])]
    return {room: height for height, row in enumerate(rows) for room in row}


def modules(package: Path) -> dict[str, Path]:
    """Dotted name to file."""
    found = {}
    for file in sorted(package.rglob("*.py")):
        name = ".".join(file.relative_to(package.parent).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = file
    return found


def imports(tree: ast.Module, known: set[str]) -> set[str]:
    """The package's modules that a file imports, without those for type checking alone."""
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (whole & known) | ({node.module} if not whole <= known else set())
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & known


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of two or more files that import each other, each sorted (Tarjan's strongly connected components)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in graph[node]:
            if other not in order:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == order[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in graph:
        if node not in order:
            visit(node)
    return found


def room_of(name: str) -> str:
    """The first part below the package; the package's own ``__init__`` is its face, not a room."""
    return name.split(".")[1] if "." in name else ""


def measure(root: Path) -> dict[str, int]:
    """All figures of the package in ``root``."""
    files = modules(root / "lvtune")
    trees = {name: ast.parse(file.read_text(encoding="utf-8")) for name, file in files.items()}
    graph = {name: imports(tree, set(files)) - {name} for name, tree in trees.items()}
    height = layers()

    def level(room: str) -> int | None:
        return height.get(ROOMS_OF_LOOSE_MODULES.get(room, room) if room not in height else room)

    arrows, upward = set(), []
    for name, others in graph.items():
        for other in others:
            here, there = room_of(name), room_of(other)
            if here == there or "" in (here, there) or here == "__main__":
                continue
            arrows.add((here, there))
            low, high = level(here), level(there)
            same = ROOMS_OF_LOOSE_MODULES.get(here, here) == ROOMS_OF_LOOSE_MODULES.get(there, there)
            if low is not None and high is not None and low <= high and not same:
                upward.append((name, other))
    functions = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    lines = {name: len(file.read_text(encoding="utf-8").splitlines()) for name, file in files.items()}
    return {
        "rooms": len({room_of(name) for name in files} - {"", "__main__"}),
        "arrows between rooms": len(arrows),
        "imports that run up or across": len(upward),
        "circles": len(circles(graph)),
        "files in the largest circle": max(map(len, circles(graph)), default=0),
        "files": len(files),
        f"files over {LONG_FILE} lines": sum(count > LONG_FILE for count in lines.values()),
        "lines": sum(lines.values()),
        f"functions over {LONG_FUNCTION} lines": sum(f.end_lineno - f.lineno >= LONG_FUNCTION for f in functions),
        "lines that raise": sum(isinstance(n, ast.Raise) for tree in trees.values() for n in ast.walk(tree)),
    }


def main(argv: list[str] | None = None) -> None:
    """Prints the figures, one on a line."""
    sys.setrecursionlimit(10_000)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=REPO, help="holds `lvtune/`; default: this repository")
    folder = parser.parse_args(argv).folder
    if not (folder / "lvtune" / "__init__.py").is_file():
        parser.error(f"no package lvtune in {folder}; expected a folder that holds `lvtune/`, such as {REPO.name}/")
    for what, count in measure(folder).items():
        print(f"{count:7,}  {what}")


if __name__ == "__main__":
    main()
