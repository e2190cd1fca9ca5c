"""Imports every objective of the toolkit, so that each is known by its name."""

from lvtune.training import (
    augmentation,
    hand_objective,
    heatmap,
    mean_teacher,
    mixstyle,
    peclr,
    random_styles,
    text_contrast,
    text_style,
)
from lvtune.training.heatmap import HeatmapObjective
from lvtune.training.objective import OBJECTIVES, Objective, ObjectiveContext, objective_config, register_objective

__all__ = [
    "OBJECTIVES",
    "HeatmapObjective",
    "Objective",
    "ObjectiveContext",
    "augmentation",
    "hand_objective",
    "heatmap",
    "mean_teacher",
    "mixstyle",
    "objective_config",
    "peclr",
    "random_styles",
    "register_objective",
    "text_contrast",
    "text_style",
]
