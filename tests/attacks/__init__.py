"""The attack on lvtune: each area is a function of (count, seed, folder) that returns what failed.

``tools/attack.py`` runs them at length; the tests of this folder run the same functions with small numbers.
"""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
# helpers of other tests are used here as they are
sys.path[:0] = [str(TESTS / name) for name in (".", "data/formats", "hub", "storage")]
