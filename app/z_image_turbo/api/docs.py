"""The APIs described, for those who turn it on: `/openapi.json`, and a page that needs no network."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

if TYPE_CHECKING:
    from collections.abc import Iterator

OPENAPI_PATH = "/openapi.json"
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color-scheme:light dark}details{border-top:1px solid #8884;padding:.4rem 0}summary{cursor:pointer}"
    "code{font-size:.95em}td{padding:.1rem .8rem .1rem 0;vertical-align:top}"
)

router = APIRouter(include_in_schema=False)


@router.get("/docs", response_class=HTMLResponse)
async def page(request: Request) -> str:
    """Show every call with its fields and answers."""
    return as_page(request.app.openapi())


def as_page(described: dict[str, Any]) -> str:
    """Return a page that shows the OpenAPI description without a script or anything from elsewhere."""
    schemas = described["components"]["schemas"]
    calls = "".join(
        _call(method, path, operation, schemas)
        for path, methods in sorted(described["paths"].items())
        for method, operation in methods.items()
    )
    title = escape(described["info"]["title"])
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>"
        f"<h1>{title}</h1><p>As a file: <a href=.{OPENAPI_PATH}>{OPENAPI_PATH}</a></p>{calls}</html>"
    )


def _call(method: str, path: str, operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    parameters = [(one["name"], one["schema"]) for one in operation.get("parameters", [])]
    fields = [*parameters, *_fields(operation.get("requestBody", {}), schemas)]
    rows = [(name, _type(schema)) for name, schema in fields]
    answers = [(status, answer["description"]) for status, answer in sorted(operation["responses"].items())]
    return (
        f"<details><summary><code>{method.upper()} {escape(path)}</code></summary>"
        f"<p>{escape(operation.get('description', ''))}</p>{_table(rows)}{_table(answers)}</details>"
    )


def _fields(body: dict[str, Any], schemas: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for content in body.get("content", {}).values():
        schema = content["schema"]
        schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        yield from schema.get("properties", {}).items()


def _type(schema: dict[str, Any]) -> str:
    kinds = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    return " or ".join(str(one.get("type") or one.get("$ref", "").rpartition("/")[2]) for one in kinds)


def _table(rows: list[tuple[str, str]]) -> str:
    cells = (f"<tr><td><code>{escape(left)}</code><td>{escape(right)}" for left, right in rows)
    return f"<table>{''.join(cells)}</table>" if rows else ""
