"""LiteLLM: prints what it saw of the service, as JSON."""

import base64
import json
import os
import struct
from typing import Any

import litellm

BASE = {
    "api_base": os.environ["SERVICE_URL"] + "/v1",
    "api_key": os.environ["SERVICE_KEY"],
    "prompt": "a red circle on a blue background",
}


def size_of(text: str) -> list[int]:
    data = base64.b64decode(text)
    assert data.startswith(b"\x89PNG")
    return list(struct.unpack(">II", data[16:24]))


def drawn(model: str, **wanted: Any) -> list[list[int]]:
    answer = litellm.image_generation(model=model, size="256x128", **wanted, **BASE)
    return [size_of(image.b64_json) for image in answer.data]


def refused() -> list[Any]:
    try:
        litellm.image_generation(model="openai/z-image-turbo", size="1000x1000", **BASE)
    except litellm.exceptions.BadRequestError as error:
        return ["BadRequestError", error.status_code, "multiple of 16" in str(error)]
    return []


print(
    json.dumps(
        {
            "openai": drawn("openai/z-image-turbo", n=2),
            "seeded": drawn("openai/z-image-turbo", extra_body={"seed": 4, "negative_prompt": "blur"}),
            "hosted_vllm": drawn("hosted_vllm/z-image-turbo", response_format="b64_json"),
            "refused": refused(),
        }
    )
)
