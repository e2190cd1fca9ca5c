"""What happens on the page: each handler takes the visitor's own choice, and returns what he is shown."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lvtune.core.errors import LvtuneError
from lvtune.demo.answer_files import VisitorFolders
from lvtune.demo.demo_page import HINT, Parts, error_html, line_html, list_html
from lvtune.demo.hand_boxes import box_of_corners, with_box
from lvtune.demo.picture_answer import answer_picture, read_upload
from lvtune.demo.questions import BOXES, MEAN, POSE, Limits, Question
from lvtune.demo.shared_bases import SharedBase
from lvtune.demo.video_answer import answer_video
from lvtune.demo.visitor import Visitor

log = logging.getLogger(__name__)
_BROKEN = ("the page failed", "no failure", "the terminal of `lvtune demo` has the reason")


class Events:
    """Connects the parts of a page.

    Args:
        gr: the module gradio.
        parts: of the page.
        bases: what visitors choose from.
        limits: of the page.
        folders: where files to download are put.
    """

    def __init__(
        self, gr: Any, parts: Parts, bases: Mapping[str, SharedBase], limits: Limits, folders: VisitorFolders
    ) -> None:
        self._gr, self._parts, self._bases, self._limits, self._folders = gr, parts, bases, limits, folders

    def connect(self) -> None:
        """Says what follows what. The model answers one picture and one video at a time; others wait in a queue."""
        p, s, quiet = self._parts, self._parts.settings, {"api_visibility": "private"}
        chosen = [p.visitor, s.adapter, s.detach, s.on, s.category, s.status]
        again = (self._answer_again(), self._asked(p.picture), self._results(p.picture))
        for event, handler, given in (
            (s.base.input, self.change_base, [p.visitor, s.base]),
            (s.attach.click, self.attach, [p.visitor, s.adapter]),
            (s.detach.click, self.detach, [p.visitor]),
            (s.on.input, self.switch, [p.visitor, s.on]),
        ):
            done = event(handler, given, chosen, show_progress="hidden", **quiet)
            done.success(*again, concurrency_id="pictures", **quiet)
        s.category.input(*again, concurrency_id="pictures", **quiet)
        self._connect_picture(again, quiet)
        video = (self._answer_video(), self._asked(p.video), self._results(p.video))
        p.video.run.click(*video, concurrency_id="videos", **quiet)

    def _connect_picture(self, again: tuple[Any, ...], quiet: dict[str, Any]) -> None:
        parts, one = self._parts, self._parts.picture
        boxes = [parts.corner, one.boxes, one.hint]
        fresh = one.upload.input(self._no_boxes, None, boxes, show_progress="hidden", **quiet)
        fresh.then(*again, concurrency_id="pictures", **quiet)
        one.clear.click(self._no_boxes, None, boxes, show_progress="hidden", **quiet)
        one.upload.select(self._click(), [parts.corner, one.boxes], [*boxes, one.find], show_progress="hidden", **quiet)
        one.find.change(self._show_for, one.find, [one.most, one.by_hand], show_progress="hidden", **quiet)
        asked = (self._answer_picture(), self._asked(one), self._results(one))
        one.run.click(*asked, concurrency_id="pictures", **quiet)

    def _asked(self, tab: Any) -> list[Any]:
        last = tab.boxes if hasattr(tab, "boxes") else tab.every
        return [self._parts.visitor, tab.upload, tab.find, tab.most, self._parts.settings.category, last]

    def _results(self, tab: Any) -> list[Any]:
        return [tab.message, tab.shown, tab.notes, tab.table, tab.json, tab.csv]

    def attach(self, visitor: Visitor, title: str | None) -> list[Any]:
        """Attaches the adapter that is chosen in the list, for this visitor."""
        return self._changed(visitor, lambda: visitor.attach(title, self._bases))

    def detach(self, visitor: Visitor) -> list[Any]:
        """Detaches the visitor's adapter."""
        return self._changed(visitor, visitor.detach)

    def switch(self, visitor: Visitor, is_on: bool) -> list[Any]:
        """Switches the visitor's adapter on or off."""
        return self._changed(visitor, lambda: visitor.switch(bool(is_on)))

    def change_base(self, visitor: Visitor, title: str) -> list[Any]:
        """Changes the visitor's base."""
        return self._changed(visitor, lambda: visitor.with_base(title, self._bases))

    def _changed(self, visitor: Visitor, change: Callable[[], Visitor]) -> list[Any]:
        """Returns the new choice, and what the settings show of it."""
        gr = self._gr
        try:
            new = change()
        except LvtuneError as error:
            return [visitor, *[gr.skip()] * 4, error_html(error.given, error.expected, error.fix)]
        shared = self._bases[new.base]
        titles = list(shared.adapters)
        wanted: Any = gr.skip()
        if new.base != visitor.base:
            wanted = gr.update(choices=titles, value=next(iter(titles), None))
        known = shared.categories(new.adapter)
        category: Any = gr.skip()
        if new.adapter != visitor.adapter:
            category = gr.update(choices=[MEAN, *known], value=MEAN, visible=bool(known))
        has = new.adapter is not None
        return [new, wanted, gr.update(interactive=has), gr.update(interactive=has, value=new.is_on), category,
                line_html(new.line())]  # fmt: skip

    def _no_boxes(self) -> list[Any]:
        return [None, "", self._gr.update(value="", visible=False)]

    def _show_for(self, find: str) -> list[Any]:
        """Shows what belongs to the way of finding that is chosen."""
        return [self._gr.update(visible=find == POSE), self._gr.update(visible=find == BOXES)]

    def _click(self) -> Callable[..., list[Any]]:
        gr = self._gr

        def click(corner: Any, boxes: str, event: gr.SelectData) -> list[Any]:  # type: ignore[name-defined]
            """Takes a click in the picture as a corner of a box."""
            place = [float(value) for value in event.index]
            if corner is None:
                text = f"First corner at x {place[0]:g}, y {place[1]:g}; now click the opposite corner."
                return [place, boxes, gr.update(value=line_html(text), visible=True), gr.skip()]
            try:
                box = box_of_corners((corner[0], corner[1]), (place[0], place[1]))
            except LvtuneError as error:
                text = error_html(error.given, error.expected, error.fix)
                return [None, boxes, gr.update(value=text, visible=True), gr.skip()]
            said = gr.update(value=line_html(f"Box {box}."), visible=True)
            return [None, with_box(boxes, box), said, BOXES]

        click.__annotations__["event"] = gr.SelectData  # Gradio reads it to know that it is to give the event
        return click

    def _answer_picture(self) -> Callable[..., list[Any]]:
        gr = self._gr

        def run(visitor: Visitor, path: Any, find: str, most: int, category: str, boxes: str, request: Any) -> list:
            """Predicts the picture."""
            question = Question(find, int(most or 1), boxes or "", category)
            return self._tried(lambda: self._picture(visitor, path, question, str(request.session_hash)))

        run.__annotations__["request"] = gr.Request
        return run

    def _answer_again(self) -> Callable[..., list[Any]]:
        gr, run = self._gr, self._answer_picture()

        def again(visitor: Visitor, path: Any, find: str, most: int, category: str, boxes: str, request: Any) -> list:
            """Predicts the picture once more after a setting has changed; nothing where there is no picture."""
            if not path:
                return self._nothing("")
            if find == BOXES and not boxes:
                return self._tried(lambda: self._wait_for_boxes(path))
            return run(visitor, path, find, most, category, boxes, request)

        again.__annotations__["request"] = gr.Request
        return again

    def _answer_video(self) -> Callable[..., list[Any]]:
        gr = self._gr

        def run(
            visitor: Visitor, path: Any, find: str, most: int, category: str, every: int, request: Any,
            progress: Any = gr.Progress(),  # noqa: B008 - Gradio looks for it among the defaults
        ) -> list[Any]:  # fmt: skip
            """Predicts the video."""
            question = Question(find, int(most or 1), "", category, int(every or 1))
            told = lambda done, count: progress((done, max(done, count or done)), unit="frames")  # noqa: E731
            return self._tried(lambda: self._video(visitor, path, question, str(request.session_hash), told))

        run.__annotations__["request"] = gr.Request
        return run

    def _picture(self, visitor: Visitor, path: str | None, question: Question, session: str) -> list[Any]:
        folder = self._folders.fresh(session, "picture")
        shared = self._bases[visitor.base]
        answer = answer_picture(shared, visitor, path, question, folder, self._limits)
        return self._found(answer, (answer.before, answer.after))

    def _video(self, visitor: Visitor, path: str | None, question: Question, session: str, told: Any) -> list[Any]:
        folder = self._folders.fresh(session, "video")
        answer = answer_video(self._bases[visitor.base], visitor, path, question, folder, self._limits, told)
        return self._found(answer, str(answer.overlay))

    def _wait_for_boxes(self, path: str) -> list[Any]:
        read_upload(path, self._limits)  # a file that is no picture is told at once
        return self._nothing(line_html(HINT))

    def _found(self, answer: Any, shown: Any) -> list[Any]:
        return [line_html(answer.caption), shown, list_html(answer.notes), answer.table,
                *(self._file(path) for path in (answer.files.json, answer.files.csv))]  # fmt: skip

    def _file(self, path: Path | None) -> Any:
        return self._gr.update(value=None if path is None else str(path), interactive=path is not None)

    def _nothing(self, message: str) -> list[Any]:
        return [message, None, "", {"data": []}, self._file(None), self._file(None)]

    def _tried(self, answer: Callable[[], list[Any]]) -> list[Any]:
        """Returns the answer, or an error in plain words; a visitor never sees a traceback."""
        try:
            return answer()
        except LvtuneError as error:
            return self._nothing(error_html(error.given, error.expected, error.fix))
        except Exception:  # whatever a library raises
            log.exception("internal error of the page")
            return self._nothing(error_html(*_BROKEN))
