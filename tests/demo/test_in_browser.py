"""The page as its visitors use it, in headless Chromium."""

from __future__ import annotations

import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from demo_samples import pixels, running_page

import lvtune
from lvtune.prediction.drawings import png

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]
WAIT = 240_000
"""Milliseconds; a busy machine may take long."""
PHOTO = sorted((Path(lvtune.__file__).parent / "domains/demo_art/images").glob("*.jpg"))[0]


class Tab:
    """One visitor, with cookies of his own."""

    def __init__(self, browser, page):
        self.page = page
        self.context = browser.new_context(viewport={"width": 1400, "height": 1100}, permissions=["camera"])
        self.context.set_default_timeout(WAIT)
        self.tab = self.context.new_page()
        self.asked, self.faults = [], []
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.on("pageerror", lambda error: self.faults.append(str(error)))
        self.tab.goto(page.url)
        self.tab.wait_for_selector("#run")

    def upload(self, file, place="picture"):
        if self.tab.locator(f"#{place} button[aria-label^=Remove], #{place} button[aria-label=Clear]").count():
            self.tab.locator(f"#{place} button[aria-label^=Remove], #{place} button[aria-label=Clear]").click()
            self.tab.wait_for_function("document.querySelector('#message').innerText.trim() === ''")
        self.tab.set_input_files(f"#{place} input[type=file]", str(file))

    def said(self, *words, place="message"):
        """Waits until all words are said there, and returns the text."""
        deadline = time.monotonic() + WAIT / 1000
        while not all(word in (text := self.tab.inner_text(f"#{place}")) for word in words):
            assert time.monotonic() < deadline, f"{words} in: {text}"
            self.tab.wait_for_timeout(100)
        return text

    def answers(self, wanted):
        """Waits until the poses to download are the wanted ones."""
        deadline = time.monotonic() + WAIT / 1000
        while not agree(found := self.poses(), wanted):
            assert time.monotonic() < deadline, found
            self.tab.wait_for_timeout(200)
        return found

    def choose(self, place, option):
        self.tab.click(f"#{place} input")
        self.tab.get_by_role("option", name=option, exact=True).click()

    def attach(self, name):
        self.choose("adapter", name)
        self.tab.click("#attach")
        self.said(f"{name} is attached to vitpose-ti and on", place="status")

    def poses(self, place="json"):
        with self.tab.expect_download() as download:
            self.tab.click(f"#{place}")
        return json.loads(Path(download.value.path()).read_text())

    def leave(self):
        """Closes the tab; nothing was asked of another machine, and nothing went wrong unseen."""
        own = (self.page.url, "data:", "blob:")
        outside = [url for url in self.asked if not url.startswith(own)]
        self.context.close()
        assert outside == [] and self.page.reached == ""
        assert self.faults == [] and "Traceback" not in self.page.said


@pytest.fixture
def visitor(browser, page):
    one = Tab(browser, page)
    yield one
    one.leave()


def expected(page, adapter, file=PHOTO, **options):
    """What `lvtune predict` finds."""
    folder = None if adapter is None else str(page.folder.parent / adapter)
    return [pose.to_dict() for pose in lvtune.predict(str(file), base="vitpose-ti", adapter=folder, **options)]


def agree(found, wanted):
    points = [[[p["x"], p["y"], p["score"]] for pose in poses for p in pose["keypoints"]] for poses in (found, wanted)]
    return np.allclose(points[0], points[1], atol=0.02)


def test_upload_adapter_on_off_and_detached(visitor, page):
    alone, with_mouse = expected(page, None), expected(page, "mouse")
    assert not agree(alone, with_mouse)
    visitor.upload(PHOTO)
    visitor.said("Left: the picture. Right: vitpose-ti alone")
    assert agree(visitor.poses(), alone) and visitor.poses()[0]["image"] == PHOTO.name
    visitor.attach("mouse")
    visitor.said("Left: vitpose-ti alone. Right: with mouse")
    assert agree(visitor.poses(), with_mouse)
    assert "base alone" in visitor.tab.inner_text("#table")
    visitor.tab.click("#on input")
    visitor.said("mouse is attached but off", place="status")
    visitor.said("Right: vitpose-ti alone")
    assert agree(visitor.poses(), alone)
    visitor.tab.click("#on input")
    visitor.said("Right: with mouse")
    assert agree(visitor.poses(), with_mouse)
    visitor.tab.click("#detach")
    visitor.said("No adapter is attached", place="status")
    visitor.said("Right: vitpose-ti alone")
    assert agree(visitor.poses(), alone)


def test_before_and_after_lie_over_each_other(visitor, tmp_path):
    for size in ((300, 120), (120, 300), (1000, 900)):
        name = tmp_path / f"{size[0]}.png"
        name.write_bytes(png(pixels(size=size)))
        visitor.upload(name)
        visitor.said("Left")
        visitor.tab.wait_for_selector("#shown img.fixed")
        before, after = (image.bounding_box() for image in visitor.tab.locator("#shown img").all())
        assert before == after


def test_the_sentence_of_a_category_is_read(visitor, page):
    visitor.upload(PHOTO)
    visitor.said("Left")
    assert not visitor.tab.is_visible("#category")
    visitor.attach("mural")
    visitor.said("with mural")
    assert agree(visitor.poses(), expected(page, "mural"))
    visitor.choose("category", "sketch")
    wanted = expected(page, "mural", category="sketch")
    assert not agree(expected(page, "mural"), wanted)
    assert visitor.answers(wanted)[0]["category"] == "sketch"


def test_bad_files_are_told_and_the_next_good_one_works(visitor, tmp_path):
    for name, data, words in (
        ("text.jpg", b"no picture at all", "text.jpg: not an image, or broken"),
        ("cut.png", PHOTO.read_bytes()[:3000], "cut.png: a truncated JPEG"),
        ("large.png", png(np.zeros((2100, 2000, 3), np.uint8)), "large.png"),
    ):
        (tmp_path / name).write_bytes(data)
        visitor.upload(tmp_path / name)
        text = visitor.said("error:", words)
        assert str(visitor.page.folder) not in text and "Traceback" not in visitor.tab.content()
    visitor.upload(PHOTO)
    visitor.said("Left: the picture")


def test_too_many_bytes_are_refused(visitor, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (900, 900, 3), np.uint8)
    (tmp_path / "noise.png").write_bytes(png(noise))
    assert (tmp_path / "noise.png").stat().st_size > 2**20
    visitor.tab.set_input_files("#picture input[type=file]", str(tmp_path / "noise.png"))
    visitor.tab.get_by_text("maximum", exact=False).first.wait_for()
    assert not any(path.stat().st_size > 2**20 for path in visitor.page.kept)


def test_two_clicks_make_a_box(visitor, page, tmp_path):
    visitor.upload(PHOTO)
    visitor.said("Left")
    image = visitor.tab.locator("#picture img")
    place = image.bounding_box()
    middle = place["width"] / 2, place["height"] / 2
    image.click(position={"x": middle[0] - 50, "y": middle[1] - 40})
    visitor.said("First corner", place="hint")
    image.click(position={"x": middle[0] + 50, "y": middle[1] + 60})
    visitor.said("Box ", place="hint")
    text = visitor.tab.input_value("#boxes textarea, #boxes input")
    box = [float(word) for word in text.split(",")]
    height, width = cv2.imread(str(PHOTO)).shape[:2]
    assert np.allclose(box, [width / 2 - 50, height / 2 - 40, 100, 100], atol=2)  # small pictures are not enlarged
    visitor.tab.click("#run")
    found = visitor.answers(expected(page, None, boxes={str(PHOTO): [box]}))
    assert np.allclose(found[0]["bbox"], box)
    visitor.tab.fill("#boxes textarea, #boxes input", "1, 2, 3")
    visitor.tab.click("#run")
    visitor.said("error: box '1, 2, 3'")


def test_the_estimator_finds_them(visitor, page):
    visitor.upload(PHOTO)
    visitor.said("Left")
    visitor.tab.get_by_label("find them").first.check()
    visitor.tab.wait_for_selector("#most", state="visible")
    wanted = expected(page, None, find="pose")
    assert not agree(expected(page, None), wanted)
    visitor.tab.click("#run")
    visitor.answers(wanted)


def test_two_visitors_at_once(browser, page):
    first, second = Tab(browser, page), Tab(browser, page)
    wanted = {"mouse": expected(page, "mouse"), "mural": expected(page, "mural"), None: expected(page, None)}
    first.attach("mouse")
    assert "No adapter is attached" in second.tab.inner_text("#status")
    for visitor in (first, second):  # both wait in the queue at the same time
        visitor.upload(PHOTO)
    first.said("with mouse")
    second.said("vitpose-ti alone")
    assert agree(first.poses(), wanted["mouse"]) and agree(second.poses(), wanted[None])
    second.attach("mural")
    second.said("with mural")
    for visitor in (second, first):
        visitor.tab.click("#run")
    second.tab.click("#detach")
    second.said("No adapter is attached", place="status")
    second.said("Right: vitpose-ti alone")
    assert agree(second.poses(), wanted[None])
    assert "mouse is attached" in first.tab.inner_text("#status")
    first.said("with mouse")
    assert agree(first.poses(), wanted["mouse"])
    second.leave()
    assert agree(first.poses(), wanted["mouse"])
    first.leave()


def test_a_photo_by_the_camera(visitor):
    visitor.tab.get_by_label("Capture from camera").click()
    visitor.tab.get_by_text("Click to Access Webcam").click()
    # the button is there before the camera's first frame
    visitor.tab.wait_for_function("document.querySelector('#picture video')?.videoWidth > 0")
    visitor.tab.wait_for_timeout(1000)
    visitor.tab.get_by_label("capture photo").click()
    visitor.said("Left: the picture. Right: vitpose-ti alone")
    assert len(visitor.poses()[0]["keypoints"]) == 14


def test_uploads_and_results_are_kept_no_longer_than_was_said(browser, tmp_path):
    with running_page(tmp_path / "run", "--keep-minutes", "0.05") as short:
        visitor = Tab(browser, short)
        visitor.upload(PHOTO)
        # the answer, or on a busy machine that the file is gone already
        visitor.tab.wait_for_function("document.querySelector('#message').innerText.trim() !== ''")
        deadline = time.monotonic() + WAIT / 1000
        while short.kept:  # the visitor stays, but his files go
            assert time.monotonic() < deadline, short.kept
            time.sleep(0.2)
        visitor.context.close()
        short.process.terminate()
        assert short.process.wait(60) == 143 and not list((short.folder / "tmp").glob("lvtune-demo-*"))


def test_a_short_video(visitor, page, tmp_path):
    pytest.importorskip("av", reason="PyAV is not installed: pip install 'lvtune[video]'")
    from videos import write_video

    photo = cv2.resize(cv2.imread(str(PHOTO))[..., ::-1], (128, 128))
    file = write_video(tmp_path / "walk.mp4", 20, size=(128, 128), draw=lambda number, size: np.roll(photo, number, 1))
    visitor.attach("mouse")
    visitor.tab.get_by_role("tab", name="Video").click()
    visitor.tab.click("#video-run")
    visitor.said("error: no video", place="video-message")
    visitor.upload(file, "video")
    visitor.tab.locator("#video-find").get_by_label("fills the picture").check()
    visitor.tab.wait_for_selector("#video video")
    visitor.tab.click("#video-run")
    visitor.said("Poses by mouse", place="video-message")
    visitor.said("The first 0.5 of 0.8 seconds", place="video-notes")
    assert [pose["frame"] for pose in visitor.poses("video-json")] == list(range(13))
    assert visitor.tab.locator("#video-shown video").get_attribute("src").endswith("overlay.mp4")
    (tmp_path / "text.mp4").write_bytes(b"no video")
    visitor.tab.locator("#video button[aria-label=Clear], #video button[aria-label^=Remove]").click()
    visitor.tab.set_input_files("#video input[type=file]", str(tmp_path / "text.mp4"))
    visitor.tab.wait_for_selector("#video video")
    visitor.tab.click("#video-run")
    visitor.said("error: text.mp4", place="video-message")


def test_files_of_a_visitor_who_leaves_are_deleted(browser, page):
    visitor = Tab(browser, page)
    before = {path for path in page.kept if "results" in path.parts}
    visitor.upload(PHOTO)
    visitor.said("Left")
    own = {path for path in page.kept if "results" in path.parts} - before
    assert own
    visitor.leave()
    deadline = time.monotonic() + WAIT / 1000
    while any(path.exists() for path in own):
        assert time.monotonic() < deadline
        time.sleep(0.2)
