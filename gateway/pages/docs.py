"""/docs shows the OpenAPI document, /openapi.json is it. Nothing is from elsewhere."""

from collections.abc import Iterator, Mapping
from typing import Any

from starlette.routing import Router

from gateway.openapi import Document
from gateway.pages.show import environment
from gateway.pages.static_files import StaticFile, content_of, fixed, static_files
from gateway.writer import to_json

_VERBS = ("get", "post", "put", "patch", "delete")


def files_of(document: Document) -> Router:
    """Return the application of all files; what it does not serve is an HTTPException."""
    page = (
        environment()
        .get_template("docs.html")
        .render(
            info=document["info"],
            groups=list(_groups(document)),
            schemas=list(_schemas(document)),
        )
    )
    own = (
        StaticFile(path="/openapi.json", body=to_json(document), media_type="application/json"),
        StaticFile(path="/docs", body=page.encode(), media_type="text/html; charset=utf-8"),
        StaticFile(
            path="/docs.css",
            body=content_of("docs.css"),
            media_type="text/css; charset=utf-8",
        ),
    )
    return Router(
        routes=[fixed(file) for file in (*own, *static_files().values())],
        redirect_slashes=False,
    )


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
