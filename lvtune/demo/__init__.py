"""``lvtune demo``: a page in the browser that shows pictures and videos with and without an adapter.

All visitors share the bases and the adapters; each of them chooses for his own calls. Gradio draws the page and is
imported only in ``serving.py``, ``demo_page.py`` and ``demo_events.py``.
"""
