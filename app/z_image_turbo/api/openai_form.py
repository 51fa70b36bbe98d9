"""A form that stands for a model of pydantic: how it is described in OpenAPI, and how it is read."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from starlette.datastructures import FormData, UploadFile

from z_image_turbo.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel

FLAGS = {"true": True, "false": False, "1": True, "0": False}


def as_form(
    model: type[BaseModel], files: Iterable[str], optional_files: Iterable[str] = ()
) -> dict[str, Any]:
    """Return the description of a body that is a form with the fields of `model` and with files."""
    schema = model.model_json_schema()
    kinds = schema.pop("$defs", {})
    schema["properties"] = {name: _plain(field, kinds) for name, field in schema["properties"].items()}
    for name in files:
        schema["properties"][name] = {"type": "string", "format": "binary"}
        schema.setdefault("required", []).append(name)
    for name in optional_files:
        schema["properties"][name] = {"type": "string", "format": "binary"}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def read_fields(form: FormData, model: type[BaseModel]) -> dict[str, Any]:
    """Return the texts of a form as values of the JSON types that the fields of `model` have.

    What is no such value stays a text, which the model refuses; an empty text is as none. Raises
    `InvalidRequest` where a field of the model comes twice.
    """
    values: dict[str, Any] = {}
    for name, field in model.model_json_schema()["properties"].items():
        found = form.getlist(name)
        if len(found) > 1:
            raise InvalidRequest("must come once only.", field=name)
        if found and found[0] != "":
            values[name] = _value(found[0], _options(field))
    return values


async def read_file(form: FormData, name: str) -> bytes:
    """Return the one file that a form holds under `name` or `name[]`; raise `InvalidRequest`."""
    files = [part for key in (name, f"{name}[]") for part in form.getlist(key)]
    if len(files) != 1 or not isinstance(files[0], UploadFile):
        raise InvalidRequest("must be exactly one file.", field=name)
    return await files[0].read()


def _value(part: UploadFile | str, options: list[dict[str, Any]]) -> object:
    if not isinstance(part, str):
        return part
    kinds = [option.get("type") for option in options]
    if kinds == ["boolean"]:
        return FLAGS.get(part.lower(), part)
    with contextlib.suppress(ValueError):
        if kinds == ["integer"]:
            return int(part)
        if kinds == ["number"]:
            return float(part)
        if len(kinds) > 1 and part.startswith(("[", "{")):
            return json.loads(part)
    return part


def _plain(field: dict[str, Any], kinds: dict[str, Any]) -> dict[str, Any]:
    """Return `field` without null, which a form cannot say, and without references."""
    first = _options(field)[0]
    return kinds[first["$ref"].rpartition("/")[2]] if "$ref" in first else first


def _options(field: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in field.get("anyOf", [field]) if one != {"type": "null"}]
