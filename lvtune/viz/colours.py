"""Colours of data in figures.

Okabe and Ito, Color Universal Design, 2008: readers with any kind of colour vision can tell them apart.
"""

from __future__ import annotations

OKABE_ITO = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Blue, vermilion, green, purple, orange and sky blue."""
SERIES = (*OKABE_ITO, "#6a3d9a", "#808080")
"""For more groups than the palette has: violet and grey after it."""
BEFORE, AFTER, WORSE = "#8a8f98", OKABE_ITO[0], OKABE_ITO[1]
"""Grey for scores before adapting, blue for those with the adapter on, vermilion where it lost."""
