"""What the page's settings show after each choice; Gradio itself is not needed."""

from types import SimpleNamespace

import pytest
from demo_samples import LIMITS, ONE, TWO, picture, shared_base, visitor

from lvtune.demo.answer_files import VisitorFolders
from lvtune.demo.demo_events import Events
from lvtune.demo.questions import MEAN, Question
from lvtune.demo.shared_bases import SharedBase

SAME = "as it is"
GRADIO = SimpleNamespace(update=lambda **given: given, skip=lambda: SAME)


@pytest.fixture
def events(tmp_path):
    bases = {"vitpose-tiny": shared_base(), "other": SharedBase("other", None)}
    return Events(GRADIO, None, bases, LIMITS, VisitorFolders(tmp_path))


def test_attaching_shows_the_categories_and_detaching_hides_them(events):
    new, adapters, detach, on, category, line = events.attach(visitor(), ONE)
    assert new == visitor(ONE) and adapters == SAME
    assert detach == {"interactive": True} and on == {"interactive": True, "value": True}
    assert category == {"choices": [MEAN, "sketch", "cartoon", "mural"], "value": MEAN, "visible": True}
    assert f"{ONE} is attached" in line
    new, _, detach, on, category, line = events.detach(new)
    assert new == visitor() and detach == {"interactive": False} and on == {"interactive": False, "value": True}
    assert category["visible"] is False and "No adapter" in line
    assert events.attach(visitor(), TWO)[4]["visible"] is False  # it reads no sentences


def test_off_leaves_the_category_as_it_is(events):
    new, _, detach, on, category, line = events.switch(visitor(ONE), False)
    assert new == visitor(ONE, is_on=False) and category == SAME and detach["interactive"] and on["value"] is False
    assert "off" in line


def test_another_base_brings_its_own_adapters(events):
    new, adapters, detach, *_ = events.change_base(visitor(ONE), "other")
    assert (new.base, new.adapter) == ("other", None)
    assert adapters == {"choices": [], "value": None} and detach == {"interactive": False}
    back = events.change_base(new, "vitpose-tiny")
    assert back[1] == {"choices": [ONE, TWO], "value": ONE} and back[0].adapter is None


def test_a_fault_leaves_the_choice_as_it_is_and_is_safe_to_show(events):
    new, *same, line = events.attach(visitor(ONE), "<script>alert(1)</script>")
    assert new == visitor(ONE) and same == [SAME] * 4
    assert "error: adapter" in line and "<script>" not in line and "&lt;script&gt;" in line


def test_a_failure_of_the_page_itself_is_told_without_its_reason(events, monkeypatch, caplog, tmp_path):
    def broken(*_):
        raise RuntimeError("/secret/place")

    monkeypatch.setattr("lvtune.demo.demo_events.answer_picture", broken)
    path = picture(tmp_path / "uploads")
    message, shown, *_ = events._tried(lambda: events._picture(visitor(), path, Question(), "session"))
    assert shown is None and "error: the page failed" in message and "secret" not in message
    assert "/secret/place" in caplog.text  # for who runs the page
