"""The layout of the page: what stands where, and what it is called. What happens stands in ``demo_events.py``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from lvtune.demo import video_answer
from lvtune.demo.questions import BOXES, MEAN, POSE, WHOLE, Limits
from lvtune.demo.shared_bases import SharedBase
from lvtune.demo.shown_poses import HEAD
from lvtune.demo.visitor import Visitor

CSS = """
.gradio-container {max-width: 1500px !important}
.lvtune-line {font-size: 0.95rem; line-height: 1.5; padding: 0.1rem 0}
.lvtune-line ul {margin: 0.3rem 0 0 1.2rem; padding: 0; list-style: disc}
.lvtune-error {border-left: 4px solid #b91c1c; background: #fef2f2; color: #7f1d1d; padding: 0.6rem 0.8rem;
               border-radius: 4px; font-size: 0.95rem}
.dark .lvtune-error {background: #2b1414; color: #fecaca}
#picture .image-frame img {object-fit: scale-down !important} /* Gradio counts clicks as if it were so */
footer {display: none !important}
.gradio-container table, .gradio-container table * {font-family: inherit !important}
"""
_INTRO = """# lvtune demo
A frozen pose estimator (the base), with and without an adapter. What you upload stays on the computer that runs this
page; it is deleted after {minutes:g} minutes, and when the page is stopped."""
_FIND = [
    ("one person or animal that fills the picture", WHOLE), ("find them", POSE), ("boxes by hand", BOXES),
]  # fmt: skip
HINT = "To draw a box, click two opposite corners in the picture; or type it: x, y, width, height in pixels, several " \
    "boxes with ; between them."  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """The components of the page that events read and write."""

    visitor: Any
    """The choice of this visitor (:class:`lvtune.demo.visitor.Visitor`)."""
    corner: Any
    """The first of two corners that he clicks; None: he has not clicked."""
    settings: SimpleNamespace
    """``base, adapter, attach, detach, on, category, status``."""
    picture: SimpleNamespace
    """``upload, find, most, by_hand, boxes, clear, hint, run, message, shown, notes, table, json, csv``."""
    video: SimpleNamespace
    """``upload, find, most, every, run, message, shown, notes, table, json, csv``."""


def lay_out(gr: Any, bases: Mapping[str, SharedBase], limits: Limits) -> Parts:
    """Lays out the page inside the Gradio block that is open.

    Args:
        gr: the module gradio.
        bases: what visitors choose from.
        limits: of the page.
    """
    first = next(iter(bases))
    gr.Markdown(_INTRO.format(minutes=limits.minutes))
    visitor, corner = gr.State(Visitor(first)), gr.State(None)
    with gr.Row():
        with gr.Column(scale=1, min_width=260):
            settings = _settings(gr, bases, first)
        with gr.Column(scale=4, min_width=480):
            with gr.Tab("Picture"):
                picture = _picture(gr)
            with gr.Tab("Video"):
                video = _video(gr, limits)
    return Parts(visitor, corner, settings, picture, video)


def _settings(gr: Any, bases: Mapping[str, SharedBase], first: str) -> SimpleNamespace:
    titles = list(bases[first].adapters)
    base = gr.Dropdown(list(bases), value=first, label="Base", info="It never changes.", elem_id="base",
                       interactive=len(bases) > 1)  # fmt: skip
    adapter = gr.Dropdown(titles, value=next(iter(titles), None), label="Adapter", elem_id="adapter",
                          info=None if titles else "No adapter was given: start the page with lvtune demo "
                                                   "FOLDER")  # fmt: skip
    with gr.Row():
        attach = gr.Button("Attach", variant="primary", size="sm", min_width=80, elem_id="attach",
                           interactive=bool(titles))  # fmt: skip
        detach = gr.Button("Detach", size="sm", min_width=80, elem_id="detach", interactive=False)
    on = gr.Checkbox(value=True, label="Adapter on", interactive=False, elem_id="on")
    category = gr.Dropdown([MEAN], value=MEAN, label="Category", visible=False, elem_id="category",
                           info="The adapter reads the sentence of this category; mean: the mean of all "
                                "sentences.")  # fmt: skip
    status = gr.HTML(line_html(Visitor(first).line()), elem_id="status")
    return SimpleNamespace(
        base=base, adapter=adapter, attach=attach, detach=detach, on=on, category=category, status=status
    )


def _picture(gr: Any) -> SimpleNamespace:
    with gr.Row():
        with gr.Column(min_width=300):
            upload = gr.Image(
                type="filepath", sources=["upload", "webcam", "clipboard"], label="Picture", height=330,
                elem_id="picture", buttons=["fullscreen"],
            )  # fmt: skip
            find = gr.Radio(_FIND, value=WHOLE, label="Persons or animals", elem_id="find")
            most = gr.Slider(1, 10, value=1, step=1, label="Look for at most", visible=False, elem_id="most")
            with gr.Row(visible=False) as by_hand:
                boxes = gr.Textbox(label="Boxes", info=HINT, placeholder="10, 20, 100, 200", elem_id="boxes", scale=5)
                clear = gr.Button("Clear", size="sm", min_width=60, scale=1, elem_id="clear")
            hint = gr.HTML("", elem_id="hint", visible=False)
            run = gr.Button("Find the key points", variant="primary", elem_id="run")
        with gr.Column(min_width=300):
            message = gr.HTML("", elem_id="message")
            shown = gr.ImageSlider(
                show_label=False, type="numpy", interactive=False, max_height=480, elem_id="shown",
                buttons=["fullscreen"],
            )  # fmt: skip
            notes = gr.HTML("", elem_id="notes")
            json, csv = _downloads(gr, "")
            table = _table(gr, HEAD, "table")
    return SimpleNamespace(
        upload=upload, find=find, most=most, by_hand=by_hand, boxes=boxes, clear=clear, hint=hint, run=run,
        message=message, shown=shown, notes=notes, table=table, json=json, csv=csv,
    )  # fmt: skip


def _video(gr: Any, limits: Limits) -> SimpleNamespace:
    with gr.Row():
        with gr.Column(min_width=300):
            upload = gr.Video(sources=["upload"], label=f"Video; the first {limits.seconds:g} seconds are predicted",
                              height=360, elem_id="video", buttons=[])  # fmt: skip
            find = gr.Radio(_FIND[:2], value=POSE, label="Persons or animals", elem_id="video-find")
            most = gr.Slider(1, 10, value=1, step=1, label="Look for at most", elem_id="video-most")
            every = gr.Slider(1, 10, value=1, step=1, label="Take every n-th frame", elem_id="every")
            run = gr.Button("Find the key points", variant="primary", elem_id="video-run")
        with gr.Column(min_width=300):
            message = gr.HTML("", elem_id="video-message")
            shown = gr.Video(label="With the poses", interactive=False, height=460, elem_id="video-shown",
                             autoplay=True, loop=True, buttons=["download"])  # fmt: skip
            notes = gr.HTML("", elem_id="video-notes")
            json, csv = _downloads(gr, "video-")
            table = _table(gr, video_answer.HEAD, "video-table")
    return SimpleNamespace(
        upload=upload, find=find, most=most, every=every, run=run, message=message, shown=shown, notes=notes,
        table=table, json=json, csv=csv,
    )  # fmt: skip


def _downloads(gr: Any, prefix: str) -> tuple[Any, Any]:
    with gr.Row():
        return tuple(
            gr.DownloadButton(
                f"Download {kind.upper()}", size="sm", min_width=90, interactive=False, elem_id=f"{prefix}{kind}"
            )
            for kind in ("json", "csv")
        )


def _table(gr: Any, head: tuple[str, ...], name: str) -> Any:
    widths = ["50px", "140px", *["105px"] * 2, *["70px"] * 2]
    return gr.Dataframe(headers=list(head), interactive=False, max_height=420, wrap=True, elem_id=name,
                        buttons=["copy"], label="Key points", column_widths=widths)  # fmt: skip


def line_html(text: str) -> str:
    """Returns a line as HTML; the text may hold anything."""
    from markupsafe import escape

    return f'<div class="lvtune-line">{escape(text)}</div>'


def list_html(items: list[str]) -> str:
    """Returns a list as HTML; nothing for an empty one."""
    from markupsafe import escape

    points = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f'<div class="lvtune-line"><ul>{points}</ul></div>' if points else ""


def error_html(given: str, expected: str, fix: str) -> str:
    """Returns an error in its three parts as HTML."""
    from markupsafe import escape

    return f'<div class="lvtune-error" role="alert">error: {escape(f"{given}; expected {expected}; {fix}")}</div>'
