"""The shapes of the OpenAI API, as its clients read them."""

from typing import Literal

from typing_extensions import TypedDict

from z_image_turbo.api.answers import DRAWING, OpenAIError, Responses, errors

STREAMED: Responses = {
    200: {
        "description": "the pictures; with `stream` events that hold one each, or the error that ended it",
        "content": {"text/event-stream": {}},
    }
}
DRAWN = STREAMED | errors(OpenAIError, 400, *DRAWING)
NOT_FOUND = errors(OpenAIError, 404, 422)


class InputTokens(TypedDict):
    """Of what the input is made."""

    image_tokens: int
    text_tokens: int


class Usage(TypedDict):
    """What was used, in tokens; those of the prompt are an estimate."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: InputTokens


class DrawnImage(TypedDict):
    """A picture in base64 and its seed."""

    b64_json: str
    seed: int


class Common(TypedDict):
    """What answers and events say of all their pictures."""

    output_format: str
    size: str
    quality: Literal["auto"]
    background: Literal["opaque"]


class Images(Common):
    """The answer to a request for pictures."""

    created: int
    data: list[DrawnImage]
    usage: Usage


class Model(TypedDict):
    """A model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class Models(TypedDict):
    """The list of models."""

    object: Literal["list"]
    data: list[Model]
