"""Sentences that describe the data sets of hands, by domain and category."""

from __future__ import annotations

HANDS: dict[str, dict[str, str]] = {
    "freihand": {
        "green_screen": "a photo of a hand before a green screen",
        "homogenized": "a photo of a hand in front of a background blended in to match its colours",
        "colored_by_samples": "a photo of a hand coloured anew in front of a new background",
        "colored_at_will": "a photo of a hand coloured at will in front of a new background",
        "photo": "a photo of a hand",
    },
    "rhd": {"rendered": "a computer rendering of a person's hand"},
    "stb": {"sk": "a photo of a left hand in a room", "bb": "a grainy photo of a left hand in a room"},
    "hand-figures": {
        "green_screen": "a computer rendering of a hand before a green screen",
        "clutter": "a computer rendering of a hand before a cluttered background",
        "skin": "a computer rendering of a hand with another colour of skin before a green screen",
        "light": "a computer rendering of a hand in harsh light before a green screen",
        "blur": "a blurred and noisy computer rendering of a hand before a green screen",
        "wild": "a blurred computer rendering of a hand in harsh light before a cluttered background",
    },
}
