"""The pages: /docs shows the OpenAPI document, /openapi.json is it. Nothing is from elsewhere."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from gateway.openapi import Document
from gateway.writer import to_json

_FOLDER = Path(__file__).parent
#: A page may use files of this origin, and nothing else; nobody may frame it.
PAGE_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-frame-options": "DENY",
}
#: Browsers ask whether what they have is still the newest.
_ASK_AGAIN = "no-cache"
_VERBS = ("get", "post", "put", "patch", "delete")


def pages_of(document: Document) -> Router:
    """Return the application of the pages; what it does not serve is an HTTPException."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    page = templates.get_template("docs.html").render(
        info=document["info"],
        groups=list(_groups(document)),
        schemas=list(_schemas(document)),
    )
    style = (_FOLDER / "static" / "docs.css").read_bytes()
    return Router(
        routes=[
            _fixed("/openapi.json", to_json(document), "application/json"),
            _fixed("/docs", page.encode(), "text/html; charset=utf-8"),
            _fixed("/docs.css", style, "text/css; charset=utf-8"),
        ],
        redirect_slashes=False,
    )


def _fixed(path: str, body: bytes, media_type: str) -> Route:
    """Return the route of what is the same for everybody as long as the process runs."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {**PAGE_HEADERS, "etag": tag, "cache-control": _ASK_AGAIN}

    async def show(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(body, media_type=media_type, headers=headers)

    return Route(path, show, methods=["GET"])


def _groups(document: Document) -> Iterator[dict[str, Any]]:
    """Yield the operations by tag."""
    for tag in document["tags"]:
        operations = [
            _operation(document, path, verb, item[verb])
            for path, item in document["paths"].items()
            for verb in _VERBS
            if verb in item and tag["name"] in item[verb]["tags"]
        ]
        if operations:
            yield {**tag, "operations": operations}


def _operation(document: Document, path: str, verb: str, given: Mapping[str, Any]) -> Any:
    body = given.get("requestBody", {}).get("content", {}).get("application/json")
    return {
        "id": given["operationId"],
        "verb": verb.upper(),
        "path": path,
        "summary": given["summary"],
        "description": given.get("description", ""),
        "is_public": {} in given.get("security", document["security"]),
        "parameters": given["parameters"],
        "fields": [] if body is None else list(_fields(document, body["schema"])),
        "curl": _curl(path, verb, given, body),
        "responses": [
            {"status": status, **response, "schema": _link(response)}
            for status, response in given["responses"].items()
        ],
        "reply": _reply_example(given),
    }


def _curl(path: str, verb: str, given: Mapping[str, Any], body: Any) -> str:
    """Return a line for a shell, with examples for what has to be given."""
    query = []
    for parameter in given["parameters"]:
        example = parameter.get("example")
        value = example[0] if isinstance(example, list) else example
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(value))
        elif value is not None:
            query.append(f"{parameter['name']}={value}")
    address = "$GATEWAY" + path + ("?" + "&".join(query) if query else "")
    parts = ["curl"] + ([f"-X {verb.upper()}"] if verb not in {"get", "post"} else [])
    if {} not in given.get("security", [None]):
        parts.append('-H "Authorization: Bearer $TOKEN"')
    if body is not None:
        parts.append("-H 'Content-Type: application/json'")
        parts.append(f"-d '{to_json(body['example']).decode()}'")
    return " ".join([*parts, f'"{address}"'])


def _reply_example(given: Mapping[str, Any]) -> str:
    for status, response in given["responses"].items():
        content = response.get("content", {}).get("application/json", {})
        if status.startswith("2") and "example" in content:
            return to_json(content["example"]).decode()
    return ""


def _schemas(document: Document) -> Iterator[dict[str, Any]]:
    """Yield the types of objects and enums."""
    for name, schema in document["components"]["schemas"].items():
        yield {
            "name": name,
            "description": schema.get("description", ""),
            "fields": list(_fields(document, schema)),
        }


def _fields(document: Document, schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the fields of an object, those of a reference included."""
    name = schema.get("$ref", "").rpartition("/")[2]
    if name:
        schema = document["components"]["schemas"][name]
    for field, inner in schema.get("properties", {}).items():
        yield {
            "name": field,
            "kind": _kind(inner),
            "type": _target(inner),
            "is_required": field in schema.get("required", []),
            "description": inner.get("description", ""),
        }


def _kind(schema: Mapping[str, Any]) -> str:
    """Return what a value is, in a word or two."""
    if "items" in schema:
        return f"list of {_kind(schema['items'])}"
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    kind = str(schema.get("type", "object"))
    return f"{kind} ({schema['format']})" if "format" in schema else kind


def _target(schema: Mapping[str, Any]) -> str:
    """Return the name of the type that a field refers to; empty for none."""
    inner = schema.get("items", schema)
    return str(inner.get("$ref", "")).rpartition("/")[2]


def _link(response: Mapping[str, Any]) -> str:
    for content in response.get("content", {}).values():
        return str(content["schema"].get("$ref", "")).rpartition("/")[2]
    return ""
