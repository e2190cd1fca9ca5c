"""Settings in which figures are rendered: a plain one, single changes of it, and all changes together."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class FigureSetting:
    """Ranges from which the surroundings of a picture are drawn."""

    background: str = "green"
    """``green``, a screen; ``clutter``, shapes and textures."""
    skin: tuple[float, float] = (0.0, 0.45)
    """Least and largest tone, 0 the lightest, 1 the darkest."""
    hue: float = 0.03
    """Spread of the skin's colour about its tone."""
    light: tuple[float, float] = (0.75, 1.0)
    """Least and largest strength of the lamp."""
    ambient: tuple[float, float] = (0.45, 0.6)
    """Light from everywhere, as a share of the lamp's."""
    low_angle: float = 35.0
    """How far the lamp may stand off the camera, in degrees."""
    tint: float = 0.03
    """Spread of the lamp's colour."""
    blur: float = 0.4
    """Largest standard deviation of the lens's blur, in 1/128 of the picture; above 1 some of it is motion blur."""
    noise: tuple[float, float] = (1.0, 4.0)
    """Least and largest standard deviation of the camera's noise, of 255."""


SOURCE = FigureSetting()
SETTINGS: dict[str, FigureSetting] = {
    "green_screen": SOURCE,
    "clutter": replace(SOURCE, background="clutter"),
    "skin": replace(SOURCE, skin=(0.4, 1.0), hue=0.12),
    "light": replace(SOURCE, light=(0.35, 1.3), ambient=(0.08, 0.35), low_angle=85.0, tint=0.25),
    "blur": replace(SOURCE, blur=2.2, noise=(4.0, 14.0)),
    "wild": FigureSetting("clutter", (0.0, 1.0), 0.12, (0.35, 1.3), (0.08, 0.5), 85.0, 0.25, 2.2, (2.0, 14.0)),
}
"""Category to setting; the first is the source, ``wild`` the target: everything else changed at once."""
GROUPS = {"source": ("green_screen",), "target": ("wild",), "single_shifts": ("clutter", "skin", "light", "blur")}
