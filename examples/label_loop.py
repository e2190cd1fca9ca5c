"""The loop of labelling, played once with labels that are known: adapt, ask what to label next, label it, adapt again.

    python examples/label_loop.py ANNOTATIONS.json [FIRST] [NEXT] [STEPS]

ANNOTATIONS.json is COCO's, its pictures beside it. FIRST of its pictures (10) have labels at first, and NEXT more (20)
are labelled in the second round. The others stay without labels all the time, and are learnt from.
"""

import json
import sys
from pathlib import Path

import lvtune
from lvtune.api.next_pictures import choose_next

labels, numbers = Path(sys.argv[1]), [int(word) for word in sys.argv[2:]]
first, more, steps = numbers + [10, 20, 100][len(numbers) :]
known = json.loads(labels.read_text())
images = sorted(known["images"], key=lambda image: image["id"] * 7919 % 104729)  # in an order that means nothing
held_out, pool = images[: len(images) // 5], images[len(images) // 5 :]
out = Path("lvtune-out/label-loop")


def write(name: str, chosen: list, with_labels: bool = True) -> str:
    """Writes a COCO file of some pictures beside the labels."""
    ids = {image["id"] for image in chosen}
    mine = [item for item in known["annotations"] if item["image_id"] in ids]
    values = {**known, "images": chosen, "annotations": mine if with_labels else []}
    file = labels.with_name(f"{name}.json")
    file.write_text(json.dumps(values))
    return str(file)


def adapt(chosen: list, folder: Path) -> dict:
    """Tunes on some labelled pictures and all others without labels; returns the report."""
    data = {"data": str(labels.parent), "annotations": write("loop-train", chosen)}
    data["test_annotations"] = write("loop-test", held_out)
    rest = write("loop-rest", [image for image in pool if image not in chosen], with_labels=False)
    values = {"domain": "custom", "data": data, "unlabelled": rest, "train": {"steps": steps}, "out": str(folder)}
    return lvtune.adapt(lvtune.Recipe.from_dict(values), say=print).to_dict()


labelled = pool[:first]
one = adapt(labelled, out / "round1")
rest = write("loop-rest", [image for image in pool if image not in labelled], with_labels=False)
asked = choose_next(rest, out / "round1", count=more, out=out / "next", say=print)
names = {Path(row["picture"]).name for row in asked.pictures}
labelled += [image for image in pool if Path(image["file_name"]).name in names]  # a person would correct next/coco
two = adapt(labelled, out / "round2")
for title, report in (("first labels", one), (f"{len(names)} more labels", two)):
    print(f"{title}: {report['target']['after_on']}")
