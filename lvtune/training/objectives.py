"""Imports every objective of the toolkit, so that each is known by its name."""

from lvtune.training import (
    augmentation,
    ewc,
    hand_objective,
    heatmap,
    lfl,
    lwf,
    mean_teacher,
    mixstyle,
    peclr,
    plain_after,
    random_styles,
    replay,
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
    "ewc",
    "hand_objective",
    "heatmap",
    "lfl",
    "lwf",
    "mean_teacher",
    "mixstyle",
    "objective_config",
    "peclr",
    "plain_after",
    "random_styles",
    "register_objective",
    "replay",
    "text_contrast",
    "text_style",
]
