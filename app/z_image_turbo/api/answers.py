"""The shapes of errors, for the description of the interfaces."""

from typing import Any, Literal

from pydantic import BaseModel

Responses = dict[int | str, dict[str, Any]]


class OpenAIProblem(BaseModel):
    """What OpenAI's clients read of an error."""

    message: str
    type: Literal["invalid_request_error", "rate_limit_error", "server_error"]
    param: str | None
    code: str


class OpenAIError(BaseModel):
    """An error of the OpenAI API."""

    error: OpenAIProblem


class WebUIError(BaseModel):
    """An error of the web UI's API; `errors` is the word that OpenAI's `code` would be."""

    error: str
    detail: str
    body: str
    errors: str


MEANINGS = {
    400: "the request cannot be served as it is",
    403: "the call is not for this caller",
    404: "another model, or no such call",
    405: "the path does not take this method",
    409: "the job was given up by another call, or the state does not allow this one",
    413: "the body is too large",
    415: "the body is of another kind than the call takes",
    422: "the request cannot be served as it is",
    429: "too many jobs of this caller wait",
    500: "no picture came out",
    501: "nothing is behind this call",
    503: "no job is taken for now",
}
DRAWING = (404, 409, 413, 415, 422, 429, 500, 503)  # the statuses of every call that draws


def errors(model: type[BaseModel], *statuses: int) -> Responses:
    """Return the description of answers with `statuses` in the envelope `model`."""
    return {status: {"model": model, "description": MEANINGS[status]} for status in statuses}
