"""Reading the JSON of a request: what JSON readers disagree about is refused before anybody relies on it."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NoReturn

from fastapi import Request
from fastapi.routing import APIRoute

from z_image_turbo.errors import InvalidRequest, UnsupportedMediaType
from z_image_turbo.pictures import is_unicode

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from fastapi import Response

NESTING_MAX = 32


class StrictRoute(APIRoute):
    """A route whose body, where it has one, is a JSON object that `read_object` takes."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler with the body read beforehand."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def strictly(request: Request) -> Response:
            wanted = _StrictRequest(request.scope, request.receive)
            await wanted.json()
            return await handle(wanted)

        return strictly


class _StrictRequest(Request):
    async def json(self) -> dict[str, Any]:
        if not hasattr(self, "_json"):
            body = await self.body()
            if body and not is_json(self.headers.get("content-type", "")):
                raise UnsupportedMediaType("send the body as application/json.", field="Content-Type")
            self._json = read_object(body)
        return self._json  # type: ignore[no-any-return]


def is_json(content_type: str) -> bool:
    """Tell whether a Content-Type stands for JSON."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`; raise `InvalidRequest`.

    Numbers are finite, texts are Unicode, and nothing is nested deeper than `NESTING_MAX`, so that all of it
    can be written again. Of a key that comes twice the last one counts.
    """
    if not body:
        raise InvalidRequest("The body is empty; send a JSON object.")
    try:
        value = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except RecursionError:
        raise _nested_too_deeply() from None
    except UnicodeDecodeError:
        raise InvalidRequest("The body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"The body is not JSON: {error.msg} at character {error.pos}.") from None
    except ValueError:  # an integer of thousands of digits
        raise InvalidRequest("The body holds a number that is too long.") from None
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.")
    _require_plain(value)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidRequest(f"The body is not JSON: there is no {name} in it.")


def _require_plain(value: dict[str, Any]) -> None:
    level: list[Any] = [value]
    for _ in range(NESTING_MAX):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += [*one, *one.values()]
            elif isinstance(one, list):
                inner += one
            elif isinstance(one, str) and not is_unicode(one):
                raise InvalidRequest("The body holds characters that are not Unicode (lone surrogates).")
            elif isinstance(one, float) and not math.isfinite(one):
                raise InvalidRequest("The body holds a number that is too large.")
        level = inner
        if not level:
            return
    raise _nested_too_deeply()


def _nested_too_deeply() -> InvalidRequest:
    return InvalidRequest(f"The body is nested more than {NESTING_MAX} levels deep.")
