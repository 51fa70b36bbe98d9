"""The OpenAPI description is true: whatever is asked by it, or against it, is answered as it says."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis.errors import Unsatisfiable
from PIL.Image import Image
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from starlette.types import Receive, Scope, Send

from tests.app.conftest import MakeSettings, create, until
from tests.app.fakes import FakeEngine
from z_image_turbo.api.docs import OPENAPI_PATH
from z_image_turbo.engine import OnStep
from z_image_turbo.lifecycle import State
from z_image_turbo.pictures import Picture
from z_image_turbo.service import Service

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "8"))  # of each call; `make test-long` takes more
OPERATOR = ["/drain", "/undrain"]  # they would end the service for those that follow

CHECKS = {
    "checks": {
        "not_a_server_error": {"expected-statuses": ["2xx", "4xx", 501]},  # which is described
        "positive_data_acceptance": {"enabled": False},  # limits are settings, which the schema does not know
    },
}


class Painter(FakeEngine):
    """Never gives the source back: it may be black, which is refused as a result."""

    def draw(self, pictures: Sequence[Picture], on_step: OnStep) -> list[Image]:
        # Never by the prompts that make the fake fail: constants of the code are what is tried first.
        plain = [replace(picture, source=None, prompt="a cat") for picture in pictures]
        return super().draw(plain, on_step)


@pytest.fixture(scope="module")
def described(settings_for: MakeSettings, page_dir: Path) -> Iterator[FastAPI]:
    service = Service(settings_for(docs=True, name="described"), Painter())
    app = create(service, page_dir)
    with TestClient(app):
        until(lambda: service.lifecycle.state is State.READY)
        yield app


@pytest.fixture(scope="module")
def api(described: FastAPI) -> schemathesis.BaseSchema:
    async def started_already(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await described(scope, receive, send)
            return
        for stage in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{stage}.complete"})

    config = SchemathesisConfig.from_dict(CHECKS)
    return schemathesis.openapi.from_asgi(OPENAPI_PATH, started_already, config=config)


def operations(api: schemathesis.BaseSchema) -> Iterator[Any]:
    for found in api.get_all_operations():
        assert isinstance(found, Ok), found.err()
        operation = found.ok()
        if operation.path not in OPERATOR:
            yield operation


def can_be_told(case: Any) -> bool:
    """Tell whether a form can say what is meant: a list of one, or of none, looks like what is in it."""
    fields = case.body.values() if isinstance(case.body, dict) else ()
    listed = any(isinstance(value, list) and len(value) < 2 for value in fields)
    return not (case.media_type == "multipart/form-data" and listed)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["by", "against"])
def test_every_call_is_answered_as_it_is_described(
    api: schemathesis.BaseSchema, mode: GenerationMode
) -> None:
    broken = {}
    for operation in operations(api):

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            assume(can_be_told(case))
            case.call_and_validate(timeout=60)

        try:
            ask()
        except Unsatisfiable:
            pass  # a call without anything to get wrong
        except FailureGroup as group:
            broken[operation.label] = "\n".join(str(failure) for failure in group.exceptions)
    assert not broken, "\n\n".join(f"{label}: {text}" for label, text in broken.items())


def test_the_description_and_its_page_are_there_when_asked_for(described: FastAPI) -> None:
    client = TestClient(described)
    assert client.get(OPENAPI_PATH).json()["info"]["title"] == "Z-Image-Turbo"
    page = client.get("/docs").text
    assert "POST /v1/images/generations" in page
    assert "<script" not in page
    assert "http" not in page
