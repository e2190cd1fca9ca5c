"""Adapters given away: the card, its checks, one commit, and every way a push can fail."""

from __future__ import annotations

import json
import time

import cv2
import huggingface_hub
import numpy as np
import pytest
import yaml
from adapter_samples import adapter
from hub_store import check_card, put
from huggingface_hub import ModelCard
from tiny import make_adapter, tiny_base

import lvtune
from lvtune.core.errors import LvtuneError, UsageError
from lvtune.hub.card import Publication, model_card
from lvtune.hub.publish import push_adapter
from lvtune.storage.adapter_file import PEFT_FILE, TENSORS_FILE, save
from lvtune.viz.before_after import write_before_after

REPORT = {
    "target": {
        "before": {"pck@0.2": 30.0, "pck@0.5": 60.0, "ap": 1.5},
        "after_on": {"pck@0.2": 40.0, "pck@0.5": 70.0, "ap": None},
    },
    "source": {"before": {"pck@0.2": 50.0}},
    "target_name": "photographs under filters",
    "recipe": {"method": "vlpose", "out": "/home/ann/out", "data": {"data": "/home/ann/art"}},
    "notes": ["3 boxes of /home/ann/art skipped"],
}
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def folder(tmp_path):
    """As `lvtune adapt` leaves it."""
    tensors, config = adapter()
    config["base"]["hub_id"] = "usyd-community/vitpose-base-simple"
    made = save(tensors, config, tmp_path / "art")
    pairs = [("sketch", np.full((90, 60, 3), 200, np.uint8), np.full((90, 60, 3), 90, np.uint8))]
    picture = write_before_after(pairs, made)
    (made / "report.json").write_text(json.dumps(REPORT))
    (made / "report.html").write_text("<html>")
    from lvtune.storage.adapter_file import read

    (made / "README.md").write_text(model_card(read(made)[1], REPORT, Publication(picture=picture.name)))
    return made


def files_of(hub, name="ann/art", branch="main"):
    return {path: blob.data for path, blob in hub.repos[name].files(branch).items() if not path.startswith(".git")}


def card_of(hub, name="ann/art", branch="main"):
    return ModelCard(files_of(hub, name, branch)["README.md"].decode())


def test_what_is_pushed(ann, folder):
    pushed = push_adapter(folder, "ann/art", license="apache-2.0")
    files = files_of(ann)
    assert set(files) == {TENSORS_FILE, "lvtune_config.json", "README.md", "report.json", "before-after.jpg"}
    for name in (TENSORS_FILE, "lvtune_config.json", "before-after.jpg"):
        assert files[name] == (folder / name).read_bytes()
    assert pushed.commit == ann.repos["ann/art"].branches["main"]
    assert (pushed.repo, pushed.source) == ("ann/art", f"ann/art@{pushed.commit}")
    assert len(ann.repos["ann/art"].commits) == 2, "one commit beside the first"
    assert b"/home/ann" not in b"".join(files.values()), "places on this machine stay here"
    assert json.loads(files["report.json"])["target"] == REPORT["target"]


def test_the_card_has_all_that_the_hub_reads(ann, folder):
    push_adapter(folder, "ann/art", license="apache-2.0")
    data = card_of(ann).data
    assert data.license == "apache-2.0"
    assert data.base_model == "usyd-community/vitpose-base-simple"
    assert data.base_model_relation == "adapter"
    assert data.library_name == "lvtune"
    assert data.pipeline_tag == "keypoint-detection"
    assert {"lvtune", "adapter", "vlpose", "demo-art"} <= set(data.tags)
    results = {result.metric_type: (result.metric_value, result.dataset_name) for result in data.eval_results}
    name = "photographs under filters"
    assert results == {"pck@0.2": (40.0, name), "pck@0.5": (70.0, name)}
    assert data.model_name == "vlpose adapter for vitpose-ti on demo-art"


def test_the_card_shows_before_and_after_and_five_lines_of_use(ann, folder):
    push_adapter(folder, "ann/art", license="apache-2.0")
    text = str(card_of(ann))
    assert "](before-after.jpg)" in text
    assert "key points moved most" in text
    assert "Filtered photographs" in text
    picture = cv2.imdecode(np.frombuffer(files_of(ann)["before-after.jpg"], np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[1] > 600, "two pictures side by side"
    code = text.partition("```python\n")[2].partition("\n```")[0]
    assert len(code.splitlines()) == 5
    assert 'lvtune.load_adapter("ann/art", base)' in code
    compile(code, "card", "exec")
    assert "lvtune predict PICTURE --adapter ann/art\n" in text


def test_the_hub_librarys_own_check_finds_nothing(ann, folder):
    push_adapter(folder, "ann/art", license="apache-2.0")
    assert ann.paths("POST").count("/api/validate-yaml") == 2, "ours before, the client's with the commit"
    card = card_of(ann)
    assert check_card(str(card)) == ([], [])
    if huggingface_hub.__version__ >= "2":  # before, it asks huggingface.co whatever the endpoint
        card.validate()
        ModelCard(str(card).replace("apache-2.0", "mine"), ignore_metadata_errors=True)
        with pytest.raises(ValueError, match="license"):
            ModelCard(str(card).replace("apache-2.0", "mine")).validate()


def test_the_check_of_the_tests_finds_faults():
    def errors(**head):
        return check_card(f"---\n{yaml.safe_dump(head)}---\n")[0]

    assert errors(license="mit", tags=["a"], base_model="a/b", pipeline_tag="keypoint-detection") == []
    for wrong in ({"license": "MIT licence"}, {"tags": "a"}, {"base_model": "vitpose b"}, {"pipeline_tag": "pose"},
                  {"base_model": None}, {"model-index": [{"name": "x"}]}):  # fmt: skip
        assert errors(**wrong), wrong
    assert check_card("# no head")[1] == ["empty or missing yaml metadata in repo card"]
    assert check_card("---\na: [\n---\n")[0]


def test_a_licence_is_needed(ann, folder):
    with pytest.raises(LvtuneError, match=r"without a licence.*type --license apache-2.0"):
        push_adapter(folder, "ann/art")
    assert "ann/art" not in ann.repos


def test_a_licence_is_asked_for_before_anybody_is(hub, folder):
    """Nobody is logged in: that is the second thing to be said."""
    for repo in ("ann/art", "art"):
        with pytest.raises(UsageError, match="without a licence"):
            push_adapter(folder, repo)
    base = tiny_base()
    with pytest.raises(UsageError, match="without a licence"):
        make_adapter("lora", base).push_to_hub("ann/art", base=base)
    assert hub.log == []


def test_a_dry_run_shows_the_card_and_asks_nobody(hub, folder):
    shown = push_adapter(folder, "ann/art", license="mit", dry_run=True)
    assert (shown.repo, shown.commit, shown.url, shown.source) == ("ann/art", "", "", "ann/art")
    assert shown.card.startswith("---\n") and "license: mit" in shown.card
    assert 'load_adapter("ann/art", base)' in shown.card
    assert set(shown.files) == {TENSORS_FILE, "lvtune_config.json", "README.md", "report.json", "before-after.jpg"}
    assert hub.log == []
    with pytest.raises(UsageError, match="without a licence"):
        push_adapter(folder, "ann/art", dry_run=True)


def test_the_card_of_a_dry_run_is_the_one_that_is_pushed(ann, folder):
    shown = push_adapter(folder, "ann/art", license="mit", dry_run=True)
    assert push_adapter(folder, "ann/art", license="mit").card == shown.card
    assert files_of(ann)["README.md"].decode() == shown.card


@pytest.mark.parametrize("data", [b"\xff\xfe", b"x" * (2**20 + 1)])
def test_cards_that_are_no_text(ann, folder, data):
    (folder / "README.md").write_bytes(data)
    assert "expected UTF-8 of at most 1,048,576 bytes" in error_of(folder)


@pytest.mark.parametrize("text", ["[]", "{", "[" * 10**5])
def test_reports_that_are_none(ann, folder, text):
    (folder / "report.json").write_text(text)
    assert "report.json" in error_of(folder)


def test_a_licence_that_the_hub_does_not_know(ann, folder):
    with pytest.raises(LvtuneError, match=r'the Hub refuses \("license" must be valid.*correct --license'):
        push_adapter(folder, "ann/art", license="my own")
    assert "ann/art" not in ann.repos, "nothing was made"


def test_a_card_that_somebody_wrote_in_keeps_their_words(ann, folder):
    text = (folder / "README.md").read_text()
    (folder / "README.md").write_text(text.replace("## Use", "Made in one rainy week.\n\n## Use"))
    push_adapter(folder, "ann/art", license="cc-by-4.0")
    card = card_of(ann)
    assert "Made in one rainy week." in str(card)
    assert card.data.license == "cc-by-4.0"
    assert {result.metric_value for result in card.data.eval_results} == {40.0, 70.0}
    assert check_card(str(card)) == ([], [])


def test_a_card_of_ones_own_gets_what_it_lacks(ann, folder):
    (folder / "README.md").write_text("---\nlicense: mit\ntags: [mine]\n---\n# Mine\n")
    push_adapter(folder, "ann/art")
    data = card_of(ann).data
    assert (data.license, data.tags, data.library_name) == ("mit", ["mine"], "lvtune")
    assert {result.metric_value for result in data.eval_results} == {40.0, 70.0}
    assert "# Mine" in str(card_of(ann))


def test_a_card_that_cannot_be_parsed(ann, folder):
    (folder / "README.md").write_text("---\nlicense: [\n---\n# Mine\n")
    with pytest.raises(LvtuneError, match=r"card .*README.md.*delete it for a fresh one"):
        push_adapter(folder, "ann/art", license="mit")


def test_an_adapter_at_hand(ann):
    base = tiny_base()
    made = make_adapter("lora", base)
    pushed = made.push_to_hub("art", license="mit")
    assert pushed.repo == "ann/art", "one's own where no user is named"
    assert PEFT_FILE in files_of(ann)
    assert "peft" in card_of(ann).data.tags
    assert pushed.base_model is None
    assert "base_model" not in card_of(ann).data.to_dict()
    assert lvtune.load_adapter(pushed.source, base).method == "lora"
    push_adapter(made, "ann/art", license="mit", base_model="usyd-community/vitpose-base")
    assert card_of(ann).data.base_model == "usyd-community/vitpose-base"


def test_an_adapter_that_was_loaded_still_tells_its_scores(ann):
    base = tiny_base()
    made = make_adapter("lora", base)
    made.saved_with = {"metrics": {name: REPORT[name] for name in ("target", "source", "target_name")}}
    made.push_to_hub("ann/art", license="mit")
    card = card_of(ann)
    assert {result.metric_value for result in card.data.eval_results} == {40.0, 70.0}
    assert "Filtered photographs" in str(card)


def test_pushed_again_what_is_no_longer_there_goes(ann, folder, tmp_path):
    push_adapter(folder, "ann/art", license="mit")
    save(*adapter(2.0), tmp_path / "bare")
    push_adapter(tmp_path / "bare", "ann/art", license="mit", message="Better")
    assert set(files_of(ann)) == {TENSORS_FILE, "lvtune_config.json", "README.md"}
    assert "before-after" not in str(card_of(ann))


def test_to_a_branch(ann, folder):
    push_adapter(folder, "ann/art", license="mit", revision="try")
    assert TENSORS_FILE not in files_of(ann)
    assert TENSORS_FILE in files_of(ann, branch="try")
    assert 'load_adapter("ann/art@try", base)' in str(card_of(ann, branch="try"))
    with pytest.raises(LvtuneError, match="type --revision try"):
        push_adapter(folder, "ann/art@try", license="mit")


def test_pictures(ann, folder, tmp_path):
    push_adapter(folder, "ann/art", license="mit", picture=False)
    assert "before-after.jpg" not in files_of(ann)
    assert "](before-after" not in str(card_of(ann))
    (tmp_path / "mine.png").write_bytes(b"png")
    push_adapter(folder, "ann/art", license="mit", picture=tmp_path / "mine.png")
    assert files_of(ann)["before-after.png"] == b"png"
    assert "](before-after.png)" in str(card_of(ann))
    assert "key points moved most" not in str(card_of(ann)), "who knows how it was picked"
    with pytest.raises(LvtuneError, match="correct --picture"):
        push_adapter(folder, "ann/art", license="mit", picture=tmp_path / "none.png")


def test_private(ann, folder):
    push_adapter(folder, "ann/secret", license="mit", private=True)
    assert ann.repos["ann/secret"].private
    push_adapter(folder, "ann/secret", license="mit", private=True)
    push_adapter(folder, "ann/secret", license="mit")
    assert ann.repos["ann/secret"].private, "pushing does not open it"
    push_adapter(folder, "ann/open", license="mit")
    with pytest.raises(LvtuneError, match=r"ann/open, which everybody can read"):
        push_adapter(folder, "ann/open", license="mit", private=True)


def error_of(folder, repo="ann/art", **options):
    started = time.perf_counter()
    with pytest.raises(LvtuneError) as caught:
        push_adapter(folder, repo, license="mit", **options)
    assert time.perf_counter() - started < 3
    assert "hf_secret" not in str(caught.value)
    return str(caught.value)


def test_nobody_is_logged_in(hub, folder):
    assert "without being logged in to the Hub" in error_of(folder)
    assert hub.paths("POST") == []


def test_a_token_that_is_not_valid(hub, folder, login):
    login("carol")
    assert "a token that the Hub does not know (401)" in error_of(folder)
    assert "a token that the Hub does not know (401)" in error_of(folder, "art")


def test_to_somebody_else(ann, folder):
    assert "a token that may not write to bob/art (403)" in error_of(folder, "bob/art")
    put(ann, "bob/art", folder)
    assert "a token that may not write to bob/art (403)" in error_of(folder, "bob/art")


def test_offline(ann, folder, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "pushing to ann/art with HF_HUB_OFFLINE set" in error_of(folder)
    assert ann.log == []


def test_no_network(ann, folder, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert "cannot be reached" in error_of(folder)


@pytest.mark.parametrize("path", ["/lfs/", "/commit/"])
def test_broken_off(ann, folder, path, monkeypatch):
    push_adapter(folder, "ann/art", license="mit")
    before = ann.repos["ann/art"].branches["main"]
    save(*adapter(2.0), folder)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    ann.fail("PUT" if path == "/lfs/" else "POST", path, drop_after=0)
    assert "pushing to ann/art, which broke off (" in error_of(folder)
    assert path == "/commit/" or ann.repos["ann/art"].branches["main"] == before


def test_refused(ann, folder):
    ann.fail("POST", "/commit/", 403)
    assert "may not write to ann/art (403)" in error_of(folder)
    ann.faults.clear()
    ann.fail("POST", "/api/repos/create", 500)
    assert "out of order (500)" in error_of(folder, "ann/other")


def test_what_is_no_adapter(ann, tmp_path):
    assert "without adapter_model.safetensors" in error_of(tmp_path)
    assert "no such adapter" in error_of(tmp_path / "nothing")
    assert ann.log == []
