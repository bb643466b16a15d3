"""/docs shows the OpenAPI document, /openapi.json is it. Nothing is from elsewhere."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from starlette.routing import Router

from libs.http.files import StaticFile, fixed
from libs.http.reference.document import Document
from libs.http.strict_json import to_json

_FOLDER = Path(__file__).parent
_VERBS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, kw_only=True)
class Shell:
    """How the lines for a shell name what differs from caller to caller."""

    #: Variable with the server's address.
    server: str = "GATEWAY"
    #: Variable with the token.
    token: str = "TOKEN"  # noqa: S105  (a variable's name)


def files_of(
    document: Document, *others: StaticFile, shell: Shell = Shell(), home: str = ""
) -> Router:
    """Return the application of all files; what it does not serve is an HTTPException.

    `home` is what the application's first page is called; empty when there is none.
    """
    page = _template().render(
        info=document["info"],
        groups=list(_groups(document, shell)),
        schemas=list(_schemas(document)),
        home=home,
    )
    own = (
        StaticFile(path="/openapi.json", body=to_json(document), media_type="application/json"),
        StaticFile(path="/docs", body=page.encode(), media_type="text/html; charset=utf-8"),
        StaticFile(
            path="/docs.css",
            body=styled((_FOLDER / "docs.css").read_bytes()),
            media_type="text/css; charset=utf-8",
        ),
    )
    return Router(routes=_routes((*own, *others)), redirect_slashes=False)


def _routes(files: Iterable[StaticFile]) -> list[Any]:
    return [fixed(file) for file in files]


def styled(sheet: bytes) -> bytes:
    """Return a style sheet after what all sheets share: colours, letters, tables."""
    return (_FOLDER / "base.css").read_bytes() + sheet


def _template() -> jinja2.Template:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return made.get_template("docs.html")


def _groups(document: Document, shell: Shell) -> Iterator[dict[str, Any]]:
    """Yield the operations by tag."""
    for tag in document["tags"]:
        operations = [
            _operation(document, path, verb, item[verb], shell)
            for path, item in document["paths"].items()
            for verb in _VERBS
            if verb in item and tag["name"] in item[verb]["tags"]
        ]
        if operations:
            yield {**tag, "operations": operations}


def _operation(
    document: Document, path: str, verb: str, given: Mapping[str, Any], shell: Shell
) -> Any:
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
        "curl": _curl(path, verb, given, body, shell),
        "responses": [
            {"status": status, **response, "schema": _link(response)}
            for status, response in given["responses"].items()
        ],
        "reply": _reply_example(given),
    }


def _curl(path: str, verb: str, given: Mapping[str, Any], body: Any, shell: Shell) -> str:
    """Return a line for a shell, with examples for what has to be given."""
    query = []
    for parameter in given["parameters"]:
        example = parameter.get("example")
        value = example[0] if isinstance(example, list) else example
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(value))
        elif value is not None:
            query.append(f"{parameter['name']}={value}")
    address = f"${shell.server}{path}" + ("?" + "&".join(query) if query else "")
    parts = ["curl"] + ([f"-X {verb.upper()}"] if verb not in {"get", "post"} else [])
    if {} not in given.get("security", [None]):
        parts.append(f'-H "Authorization: Bearer ${shell.token}"')
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
