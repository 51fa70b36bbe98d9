"""The web page, made with Gradio. Its pictures go through the same queue as everybody's.

Import it only after the environment is prepared: Gradio reads GRADIO_* when it is imported.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from z_image_turbo.drawing import Drawing
from z_image_turbo.page_desk import Desk
from z_image_turbo.page_drawing import Easel
from z_image_turbo.page_events import name_events
from z_image_turbo.page_form import FormParts, build_compose, build_options, words
from z_image_turbo.page_guard import GuardedBlocks
from z_image_turbo.page_memory import FORM_KEY, GALLERY_KEY, blank_form
from z_image_turbo.page_programs import add_programs
from z_image_turbo.page_stage import header, welcome
from z_image_turbo.page_texts import ENGLISH

if TYPE_CHECKING:
    from fastapi import FastAPI

    from z_image_turbo.service import Service

EVENTS_MAX = 4096  # that Gradio has under way at once, those that wait in the service's queue included
HERE = Path(__file__).parent
CSS = HERE / "page.css"
SCRIPT = HERE / "page.js"
SYSTEM_FONTS = [
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Noto Sans",
    "PingFang SC",
    "Microsoft YaHei",
    "sans-serif",
]
CLICKS = """
element.addEventListener('click', event => {
  const button = event.target.closest('[data-action]');
  if (button) trigger('select', {action: button.dataset.action, value: button.dataset.index});
});
"""


def mount_page(app: FastAPI, service: Service, temp_dir: Path) -> None:
    """Serve the page of `service` at `/`, below all routes that `app` has so far."""
    settings = service.settings
    page = build_page(service, temp_dir)
    name_events()
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        app_kwargs={"openapi_url": None},
        i18n=words,
        theme=theme(),
        css=CSS.read_text(encoding="utf-8"),
        head=f"<script>{SCRIPT.read_text(encoding='utf-8')}</script>",
        show_error=False,  # of unexpected ones the text; a gr.Error is always shown
        max_file_size=settings.upload_bytes_max,
        enable_monitoring=False,  # it would be open to everybody
        run_history=False,
        ssr_mode=False,
        mcp_server=settings.mcp,
        footer_links=["api", "settings"],
    )
    # Gradio checks that files named in a request were uploaded only after launch(), which mounting replaces.
    page.has_launched = True


def theme() -> gr.themes.Base:
    """Return the colours and fonts; nothing is loaded from elsewhere."""
    return gr.themes.Base(
        primary_hue="indigo",
        neutral_hue="slate",
        radius_size="lg",
        font=SYSTEM_FONTS,
        font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"],
    ).set(
        input_radius="12px",
        body_text_color_subdued="#5b6478",
        body_text_color_subdued_dark="#9aa4b8",
        block_info_text_color="#5b6478",
        block_info_text_color_dark="#9aa4b8",
        block_label_text_color="#3b4356",
        block_title_text_color="#3b4356",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_large_radius="14px",
        input_background_fill="#f4f6fb",
        input_background_fill_dark="#1b2130",
        checkbox_label_background_fill="#f4f6fb",
        checkbox_label_background_fill_dark="#1b2130",
        button_secondary_background_fill_dark="#1f2737",
        slider_color_dark="#818cf8",
    )


def build_page(service: Service, temp_dir: Path) -> GuardedBlocks:
    """Return the page; the pictures it shows become files in `temp_dir`, which must be Gradio's own."""
    settings = service.settings
    easel = Easel(Drawing(service), settings, temp_dir)
    page = GuardedBlocks(title="Z-Image-Turbo", analytics_enabled=False)
    with page:
        page.guard(settings.name, temp_dir)
        memory = {
            "form": gr.BrowserState(blank_form(settings), storage_key=FORM_KEY, secret=settings.page_secret),
            "gallery": gr.BrowserState([], storage_key=GALLERY_KEY, secret=settings.page_secret),
        }
        head = gr.HTML(header(), elem_id="header", js_on_load=CLICKS)
        with gr.Row(elem_id="studio"):
            with gr.Column(elem_id="compose"):
                prompt, examples, generate, cancel = build_compose(settings)
            with gr.Column(elem_id="easel"):
                stage = gr.HTML(welcome(ENGLISH), elem_id="picture", js_on_load=CLICKS)
                gallery = gr.HTML("", elem_id="gallery", js_on_load=CLICKS)
            with gr.Column(elem_id="options"):
                options = build_options(settings)
        parts = FormParts(prompt=prompt, examples=examples, generate=generate, cancel=cancel, **options)
        Desk(page, easel, settings, parts, head, stage, gallery, **memory).wire()
        add_programs(page, easel, settings)
    # The bound is the service's own queue, which refuses with a reason.
    page.queue(max_size=None)
    page._queue.max_thread_count = EVENTS_MAX  # noqa: SLF001 - launch() has a parameter for it, mounting has none
    service.expect(lambda: page.is_expecting)
    return page
