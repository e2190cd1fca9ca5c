"""Adapts to pictures of your own, annotated as COCO does, with key points of your own.

    python examples/own_data.py PICTURES ANNOTATIONS.json "a photo of a dancer on a dark stage"

ANNOTATIONS.json holds ``images``, ``annotations`` (``image_id``, ``bbox``, ``keypoints``) and one category
with ``keypoints`` (their names) and ``skeleton``. One file is split 80/20 by picture.
"""

import sys

import lvtune

pictures, annotations, sentence = sys.argv[1:4]
recipe = lvtune.Recipe.from_dict(
    {
        "domain": "custom",
        "data": {"data": pictures, "annotations": annotations},
        "language": {"sentences": {"default": sentence}},
        "train": {"steps": 100},
        "out": "lvtune-out/own",
    }
)
report = lvtune.adapt(recipe, say=print)
for metric, after in report.to_dict()["target"]["after_on"].items():
    print(f"{metric}: {after}")

for pose in lvtune.predict(pictures, adapter="lvtune-out/own", out="lvtune-out/own-poses"):
    print(pose.image, dict(zip(pose.skeleton.keypoints, pose.keypoints.round(1).tolist(), strict=True)))
