"""A labelled source in files of its own."""

import json
import shutil

from lvtune.domains.demo_art import FOLDER


def other_source(tmp_path, count=40):
    """Photographs of demo-art as a source of their own, in other files."""
    folder = tmp_path / "source"
    folder.mkdir()
    for part in ("train", "test"):
        values = json.loads((FOLDER / f"{part}.json").read_text())
        values["images"] = values["images"][:count]
        ids = {image["id"] for image in values["images"]}
        values["annotations"] = [one for one in values["annotations"] if one["image_id"] in ids]
        (folder / f"{part}.json").write_text(json.dumps(values))
        for image in values["images"]:
            shutil.copy(FOLDER / "images" / image["file_name"], folder)
    return folder
