"""Own data that label one picture in two ways: what is chosen for them is said, and what the user said stays."""

import json
from dataclasses import replace

import pytest
from tiny import tiny_bank

from lvtune.adapters.method_registry import METHODS
from lvtune.api.conflict_defaults import for_conflicting_labels
from lvtune.api.recipe import Recipe
from lvtune.domains import custom_domain
from lvtune.domains.demo_art import FOLDER


@pytest.fixture(scope="module")
def conflicting(tmp_path_factory):
    """Four photographs, each labelled as it is and with left and right exchanged."""
    folder = tmp_path_factory.mktemp("labels")
    table = json.loads((FOLDER / "train.json").read_text())
    kind, images = table["categories"][0], table["images"][:4]
    names = kind["keypoints"]
    swap = [names.index(n.replace("left", "@").replace("right", "left").replace("@", "right")) for n in names]
    notes = []
    for note in (n for n in table["annotations"] if n["image_id"] in {image["id"] for image in images}):
        points = [note["keypoints"][3 * i : 3 * i + 3] for i in range(len(names))]
        for number, order in ((1, range(len(names))), (2, swap)):
            flat = [value for i in order for value in points[i]]
            notes.append({**note, "id": len(notes) + 1, "category_id": number, "keypoints": flat})
    kinds = [{**kind, "id": number, "name": name} for number, name in ((1, "own"), (2, "viewer"))]
    for part in ("train", "test"):
        text = json.dumps({"images": images, "annotations": notes, "categories": kinds})
        (folder / f"{part}.json").write_text(text)
    return folder


def options(folder) -> dict:
    return {"data": str(FOLDER / "images"), "annotations": str(folder)}


def chosen(folder, method: str, **values):
    recipe = Recipe.from_dict({"method": method, "data": options(folder), **values})
    train = custom_domain(recipe.data).open("train", recipe.data)
    return for_conflicting_labels(recipe, METHODS.get(method), train)


@pytest.mark.parametrize("method", ["vlpose", "vlpose-light"])
def test_the_predictor_reads_and_each_picture_is_scored_by_its_own_sentence(conflicting, method):
    recipe, decisions = chosen(conflicting, method)
    assert recipe.method_options == {"predictor_reads": True, "sentence_dropout": 0.0}
    assert recipe.evaluate.category == "own"
    assert "8 of 8 instances" in decisions[0].line()
    assert "name a category when you predict" in decisions[1].line()


def test_what_the_user_said_stays(conflicting):
    said = {"method_options": {"sentence_dropout": 0.2}, "evaluate": {"category": "mean"}}
    recipe, decisions = chosen(conflicting, "vlpose-light", **said)
    assert recipe.method_options == {"predictor_reads": True, "sentence_dropout": 0.2}
    assert recipe.evaluate.category == "mean"
    assert len(decisions) == 1


@pytest.mark.parametrize(("method", "said"), [("lora", {}), ("vlpose-light", {"language": 0})])
def test_who_cannot_read_is_told(conflicting, method, said):
    recipe, (decision,) = chosen(conflicting, method, **({"method_options": said} if said else {}))
    assert recipe.method_options == said
    assert "cannot read it" in decision.line()


def test_other_domains_are_left_alone():
    recipe = Recipe.from_dict({"method": "vlpose-light"})
    from lvtune.domains import get_domain

    train = get_domain("demo-art").open("train", recipe.data)
    assert for_conflicting_labels(recipe, METHODS.get("vlpose-light"), train) == (recipe, [])


def test_a_run_is_prepared_with_it(conflicting, monkeypatch):
    from lvtune.api import job

    bank = replace(tiny_bank(), categories=("own", "viewer", "third"))
    monkeypatch.setattr(job, "embed", lambda *args: bank)
    made = job.prepare(Recipe.from_dict({"data": options(conflicting), "start": "none", "train": {"steps": 1}}))
    assert made.adapter.reading is not None
    assert made.category == "category"
    assert any(decision.what == "labels that contradict each other" for decision in made.decisions)
