"""Label files of other tools: which tool a folder is from, and its labels in one form.

One tool a file; a new one registers a :class:`lvtune.data.formats.tool_registry.LabelFormat` and is imported here.
"""

from lvtune.data.formats import (
    coco_folder,
    cvat,
    deeplabcut,
    label_studio,
    labelme,
    lightning_pose,
    sleap,
    yolo_pose,
)
from lvtune.data.formats.label_project import Instance, LabelProject, Picture
from lvtune.data.formats.tool_registry import FORMATS, LabelFormat, detect, read_project

_READERS = (coco_folder, cvat, deeplabcut, label_studio, labelme, lightning_pose, sleap, yolo_pose)

__all__ = ["FORMATS", "Instance", "LabelFormat", "LabelProject", "Picture", "detect", "read_project"]
