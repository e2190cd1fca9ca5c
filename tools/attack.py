"""Attacks lvtune for some minutes and prints a table: area, trials, failures. SECURITY.md holds such a table.

    python tools/attack.py --minutes 30

Every trial follows from the seed; a failure names it. The exit code is 1 if there is one. The tests in tests/attacks/
run the same functions with small numbers.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
    os.environ[name] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

if TYPE_CHECKING:
    from attacks.tally import Tally


@dataclass(frozen=True)
class Area:
    """A part of the attack."""

    name: str
    run: Callable[[int, int, Path], Tally]
    """(count, seed, empty folder)."""
    count: int
    """Trials of one round, a minute or less."""
    once: bool = False
    """True: the count is that of the whole attack, however long it is."""


def areas() -> list[Area]:
    """Returns all areas, those that run once first."""
    from attacks.bombs import bombs, code
    from attacks.commands import COMMANDS
    from attacks.cycles import cycles
    from attacks.damaged_files import damaged
    from attacks.file_kinds import KINDS
    from attacks.hub_faults import killed_pushes, pulls, pushes
    from attacks.kills import every_state, kill_at_random, kill_everywhere

    found = [Area("cycles", cycles, 2000, once=True)]
    for command in COMMANDS.values():
        found.append(
            Area(
                f"states: {command.name}",
                lambda count, seed, folder, one=command: every_state(one, folder),
                1,
                once=True,
            )
        )
        kills = lambda count, seed, folder, one=command: kill_everywhere(one, folder, most=count, seed=seed)  # noqa: E731
        # a run is long: some of its operations in each round, all of them where there are few
        is_run = command.name == "adapt"
        found.append(Area(f"kills: {command.name}", kills, 12 if is_run else 10**6, once=not is_run))
    found.append(Area("kills: push", killed_pushes, 10**6, once=True))
    for command in COMMANDS.values():
        kills = lambda count, seed, folder, one=command: kill_at_random(one, folder, count, seed)  # noqa: E731
        found.append(Area(f"kills at random: {command.name}", kills, 10))
    for kind in KINDS:
        reads = lambda count, seed, folder, one=kind: damaged(one, count, seed, folder)  # noqa: E731
        found.append(Area(f"damaged: {kind.name}", reads, 300))
    found += [Area("bombs", bombs, 1), Area("code", code, 200), Area("pulls", pulls, 100), Area("pushes", pushes, 50)]
    return found


def main() -> int:
    """Runs areas until the time is over; each at least once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="time for all areas; each runs at least once")
    parser.add_argument("--seed", type=int, default=0, help="of the first round; each round has another one")
    parser.add_argument("--only", default="", help="areas whose name contains this")
    parser.add_argument("--share", type=float, default=1.0, help="of the trials of a round, for a quick look")
    args = parser.parse_args()
    chosen = [area for area in areas() if args.only in area.name]
    started, results, seed = time.monotonic(), {}, args.seed
    with tempfile.TemporaryDirectory(prefix="lvtune-attack-") as place:
        os.environ["LVTUNE_CACHE"] = str(Path(place) / "cache")
        is_first = True
        while is_first or time.monotonic() - started < 60 * args.minutes:
            for area in chosen:
                if not is_first and (area.once or time.monotonic() - started > 60 * args.minutes):
                    continue
                folder = Path(tempfile.mkdtemp(dir=place)).resolve()
                begun = time.monotonic()
                found = area.run(max(1, round(area.count * args.share)), seed, folder)
                found.seconds = time.monotonic() - begun
                results.setdefault(found.area, type(found)(found.area)).add(found)
                print(f"{found.area}: {found.trials} trials, {len(found.failures)} failures", file=sys.stderr)
            is_first, seed = False, seed + 1
            if all(area.once for area in chosen):
                break
    return _print_table(list(results.values()), args.seed, time.monotonic() - started)


def _print_table(results: list[Tally], seed: int, seconds: float) -> int:
    import lvtune

    print(f"lvtune {lvtune.__version__}, seed {seed}, {seconds / 60:.1f} minutes\n")
    print("| area | trials | failures |\n|---|--:|--:|")
    for one in results:
        print(f"| {one.area} | {one.trials:,} | {len(one.failures)} |")
    failures = [failure for one in results for failure in one.failures]
    print(f"| **all** | **{sum(one.trials for one in results):,}** | **{len(failures)}** |")
    for failure in failures:
        print(f"\n{failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
