"""What happens on the page: which click calls what, and what it changes."""

# No `from __future__ import annotations`: Gradio reads the annotations.
import json
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import gradio as gr

from z_image_turbo.errors import Cancelled, ServiceError
from z_image_turbo.page_drawing import Easel, SourceUnreadable, Stage
from z_image_turbo.page_form import FREE, FormParts, in_language, ratio_of, restoring_script, size_choices
from z_image_turbo.page_guard import GuardedBlocks
from z_image_turbo.page_memory import Entry, keep_gallery, kept_language, read_gallery
from z_image_turbo.page_stage import gallery, message, pictures, welcome, working
from z_image_turbo.page_texts import LANGUAGES, Texts, language_of, say
from z_image_turbo.settings import Settings

log = logging.getLogger(__name__)

Update = dict[Any, Any]
QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


class Desk:
    """The listeners of the page.

    What they keep is in the browser: the next request may reach another instance.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of the page
        self,
        page: GuardedBlocks,
        easel: Easel,
        settings: Settings,
        parts: FormParts,
        header: gr.HTML,
        stage: gr.HTML,
        strip: gr.HTML,
        form: gr.BrowserState,
        gallery: gr.BrowserState,
    ) -> None:
        """Know the components; `wire` connects them."""
        self._page = page
        self._easel = easel
        self._settings = settings
        self._parts = parts
        self._header = header
        self._stage = stage
        self._strip = strip
        self._form = form
        self._gallery = gallery

    def wire(self) -> None:
        """Connect the components."""
        parts = self._parts
        kept = [self._form, self._gallery]
        words = [*parts.spoken, self._stage, self._strip]
        self._page.load(self.restore, kept, [*words, self._gallery], **QUIET)
        self._header.select(self.speak, kept, [*words, self._form], **QUIET)
        parts.generate.click(
            self.draw,
            [*parts.remembered, parts.source, parts.strength, self._form, self._gallery],
            [parts.generate, parts.cancel, self._stage, self._strip, self._gallery],
            api_name="draw_on_page",
            api_visibility="private",
            concurrency_limit=None,
            trigger_mode="once",
            show_progress="hidden",
        )
        parts.cancel.click(self.cancel, **QUIET)
        parts.examples.click(lambda sample: sample[0], parts.examples, parts.prompt, **QUIET)
        gr.on(
            [self._stage.select, self._strip.select],
            self.act,
            [self._form, self._gallery],
            self._acted_on,
            **QUIET,
        )
        self._wire_in_browser()

    def _wire_in_browser(self) -> None:
        """Connect what needs no server."""
        parts = self._parts
        sizes = json.dumps(size_choices(self._settings))
        browser = {"fn": None, "api_visibility": "private", "show_progress": "hidden"}
        sides = [parts.width, parts.height]
        self._page.load(
            js=restoring_script(self._settings),
            inputs=[self._form, *parts.remembered],
            outputs=[*parts.remembered, parts.ratio],
            **browser,
        )
        parts.dice.click(js="() => -1", outputs=parts.seed, **browser)
        parts.ratio.input(
            js=f"(ratio, width, height) => ({sizes})[ratio] ?? [width, height]",
            inputs=[parts.ratio, *sides],
            outputs=sides,
            **browser,
        )
        gr.on(
            [side.input for side in sides],
            js=f"(width, height) => Object.entries({sizes}).find(([, size]) => size[0] === width "
            f"&& size[1] === height)?.[0] ?? '{FREE}'",
            inputs=sides,
            outputs=parts.ratio,
            **browser,
        )
        gr.on(
            [field.change for field in parts.remembered],
            js="(prompt, width, height, count, seed, steps, form) => "
            "({...form, prompt, width, height, count, seed, steps})",
            inputs=[*parts.remembered, self._form],
            outputs=self._form,
            **browser,
        )

    def restore(self, kept_form: object, kept_gallery: object, request: gr.Request) -> list[Any]:
        """Show what the browser kept, in the language chosen or that of the browser."""
        entries = self._entries(kept_gallery)
        updates = self._in(self._language(kept_form, request), entries)
        updates[self._parts.spoken.index(self._parts.generate)]["interactive"] = True
        return [*updates, keep_gallery(entries)]

    def speak(
        self, kept_form: object, kept_gallery: object, event: gr.EventData, request: gr.Request
    ) -> list[Any]:
        """Bring the page into the language that was clicked on."""
        form = (kept_form if isinstance(kept_form, dict) else {}) | {"language": event.value}
        return [*self._in(self._language(form, request), self._entries(kept_gallery)), form]

    def _in(self, language: str, entries: list[Entry]) -> list[Any]:
        texts = LANGUAGES[language]
        shown = pictures(entries[:1], 0, texts) if entries else welcome(texts)
        return [*in_language(language, self._settings), shown, gallery(entries, texts)]

    async def draw(  # noqa: PLR0913, PLR0917 - the fields of the form
        self,
        prompt: str,
        width: float | None,
        height: float | None,
        count: float,
        seed: float | None,
        steps: float,
        source: str | None,
        strength: float,
        kept_form: object,
        kept_gallery: object,
        request: gr.Request,
    ) -> AsyncIterator[Update]:
        """Draw what the form says, and tell how it goes on the stage."""
        parts = self._parts
        texts = LANGUAGES[self._language(kept_form, request)]
        if not prompt.strip():
            yield {self._stage: message("", texts["no_prompt"], texts)}
            return
        yield {
            parts.generate: gr.update(interactive=False),
            parts.cancel: gr.update(visible=True),
            self._stage: working(None, "", (int(width or 1), int(height or 1)), texts),
        }
        try:
            order = await self._easel.order(
                source,
                strength,
                prompt=prompt,
                width=_whole(width),
                height=_whole(height),
                count=_whole(count),
                seed=_whole(seed),
                steps=_whole(steps),
            )
            size = (order.width, order.height)
            async with aclosing(self._easel.draw(order, request, self._page, previews=True)) as told:
                async for happened in told:
                    if isinstance(happened, Stage):
                        shown = working(happened.progress, happened.preview, size, texts)
                        yield {self._stage: shown}
                    else:
                        yield self._finished(happened, kept_gallery, texts)
        except Cancelled:
            yield {self._stage: message("", texts["cancelled"], texts)} | self._idle()
        except ServiceError as error:
            yield {self._stage: message(texts["failed"], self._say(error, texts), texts)} | self._idle()
        except Exception:
            log.exception("an error on the page that nobody expected")
            yield {self._stage: message(texts["failed"], texts["broken"], texts)} | self._idle()

    def _finished(self, drawn: list[Entry], kept_gallery: object, texts: Texts) -> Update:
        entries = drawn + self._entries(kept_gallery)
        return self._idle() | {
            self._stage: pictures(drawn, 0, texts),
            self._strip: gallery(entries, texts),
            self._gallery: keep_gallery(entries),
        }

    def _idle(self) -> Update:
        return {
            self._parts.generate: gr.update(interactive=True),
            self._parts.cancel: gr.update(visible=False),
        }

    async def cancel(self, request: gr.Request) -> None:
        """Give up what this tab draws."""
        self._easel.cancel(request)

    def act(
        self, kept_form: object, kept_gallery: object, event: gr.EventData, request: gr.Request
    ) -> list[Any]:
        """Do what the clicked button of a picture says."""
        parts = self._parts
        texts = LANGUAGES[self._language(kept_form, request)]
        entries = self._entries(kept_gallery)
        changes: Update = {}
        index = int(event.value) if str(event.value).isdecimal() else -1
        if not 0 <= index < len(entries):
            gr.Warning(texts["gone"])
        else:
            entry = entries[index]
            match event.action:
                case "show":
                    changes[self._stage] = pictures([entry], index, texts)
                case "use_seed":
                    changes[parts.seed] = entry.seed
                case "use_prompt":
                    changes |= {parts.prompt: entry.prompt, parts.steps: entry.steps}
                    changes |= {parts.width: entry.width, parts.height: entry.height}
                    changes[parts.ratio] = ratio_of(entry.width, entry.height, self._settings)
                case "start_from" if Path(entry.file).parents[1] == self._page.folder:
                    changes |= {parts.source: entry.file, parts.source_fold: gr.update(open=True)}
                case "start_from":
                    gr.Warning(texts["gone"])
        return [changes.get(part, gr.skip()) for part in self._acted_on]

    @property
    def _acted_on(self) -> list[gr.blocks.Block]:
        parts = self._parts
        form = [parts.prompt, parts.ratio, parts.width, parts.height, parts.seed, parts.steps]
        return [*form, parts.source, parts.source_fold, self._stage]

    def _entries(self, kept: object) -> list[Entry]:
        return read_gallery(kept, self._page.folder, self._settings.files_age_hours)

    def _language(self, form: object, request: gr.Request) -> str:
        return kept_language(form) or language_of(request.headers.get("accept-language", ""))

    def _say(self, error: ServiceError, texts: Texts) -> str:
        if isinstance(error, SourceUnreadable):
            return texts["no_source"].format(pixels=self._settings.source_pixels_max // 10**6)
        return say(error, texts)


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)
