"""Lists the test functions that take two seconds or more, for tests/slow_tests.txt.

pytest --durations=0 > durations.txt
python tools/list_slow_tests.py durations.txt > slow.txt
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

SECONDS = 2.0
_LINE = re.compile(r"(\d+\.\d+)s (?:call|setup|teardown)\s+(\S+?::\w+)")


def slow_tests(durations: str) -> list[str]:
    """Reads pytest's list of durations; returns the functions whose calls and set-ups add up to ``SECONDS``."""
    spent: dict[str, float] = defaultdict(float)
    for seconds, name in _LINE.findall(durations):
        spent[name] += float(seconds)
    return sorted(name for name, seconds in spent.items() if seconds >= SECONDS)


if __name__ == "__main__":
    print("\n".join(slow_tests(Path(sys.argv[1]).read_text(encoding="utf-8"))))
