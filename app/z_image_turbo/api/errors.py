"""One place that turns errors into answers, in the dialect of the API that was called."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from z_image_turbo.errors import BodyTooLarge, Cancelled, InvalidRequest, ServiceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastapi import FastAPI, Request

SERVER_FAULT = 500
TOO_MANY = 429
SDAPI_PREFIX = "/sdapi/"
SDAPI_INVALID = 422  # what the clients of this API know for a wrong request


def answer(path: str, error: ServiceError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return the answer for `error` to a call of `path`, with `headers` that belong to it."""
    status = error.status
    if path.startswith(SDAPI_PREFIX):
        if isinstance(error, InvalidRequest):
            status = SDAPI_INVALID
        body = _sdapi_body(error)
    else:
        body = openai_body(error)
    headers = dict(headers or {})
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, Cancelled):
        headers["X-Should-Retry"] = "false"  # OpenAI's clients try again after a 409 unless told otherwise
    return JSONResponse(body, status, headers)


def add_error_handlers(app: FastAPI) -> None:
    """Have `app` answer service errors, and requests that do not fit the models, through `answer`."""

    @app.exception_handler(ServiceError)
    async def on_service_error(request: Request, error: ServiceError) -> JSONResponse:
        return answer(request.url.path, error)

    @app.exception_handler(HTTPException)
    async def on_http_exception(request: Request, error: HTTPException) -> JSONResponse:
        return answer(request.url.path, _described(error), error.headers)

    @app.exception_handler(RequestValidationError)
    async def on_invalid_request(request: Request, error: RequestValidationError) -> JSONResponse:
        return answer(request.url.path, _as_service_error(error.errors()))


def too_large() -> BodyTooLarge:
    """Return the error for a body of more bytes than the call takes."""
    return BodyTooLarge("The body is larger than this call takes.")


def _described(error: HTTPException) -> ServiceError:
    """Return what the framework found wrong as an error of ours."""
    if error.status_code == InvalidRequest.status:
        return InvalidRequest(error.detail)
    if error.status_code == BodyTooLarge.status:
        return too_large()
    described = ServiceError(error.detail)
    described.status = error.status_code
    described.word = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    return described


def _as_service_error(problems: Sequence[Any]) -> InvalidRequest:
    """Describe the first thing that does not fit, without its value: a body may hold credentials."""
    problem = problems[0]
    field = ".".join(part for part in problem["loc"][1:] if isinstance(part, str))
    return InvalidRequest(f"{problem['msg']}.", field=field or None)


def openai_body(error: ServiceError) -> dict[str, Any]:
    """Return what OpenAI's clients read of an error, in an answer or in a stream."""
    kind = "server_error" if error.status >= SERVER_FAULT else "invalid_request_error"
    kind = "rate_limit_error" if error.status == TOO_MANY else kind
    return {"error": {"message": error.message, "type": kind, "param": error.field, "code": error.word}}


def _sdapi_body(error: ServiceError) -> dict[str, Any]:
    return {"error": "HTTPException", "detail": error.message, "body": "", "errors": error.word}
