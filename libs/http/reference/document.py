"""Parts that every OpenAPI document of ours has."""

from collections.abc import Mapping
from typing import Any

#: A JSON Schema (2020-12).
Schema = dict[str, Any]
#: An OpenAPI document (3.1).
Document = dict[str, Any]

_PROBLEM = "application/problem+json"
_RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds until the request may be repeated.",
        "schema": {"type": "integer", "minimum": 1},
    }
}
PROBLEM_SCHEMA: Schema = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail", "instance", "reason", "metadata"],
    "properties": {
        "type": {"type": "string", "description": "about:blank"},
        "title": {"type": "string", "description": "What the status is called."},
        "status": {"type": "integer", "description": "The status."},
        "detail": {"type": "string", "description": "What went wrong, for people."},
        "instance": {"type": "string", "description": "The path of the request."},
        "reason": {"type": "string", "description": "What went wrong, for programs."},
        "metadata": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "Details by name, for programs.",
        },
        "requestId": {"type": "string", "description": "Names the request in the pool's logs."},
        "violations": {
            "type": "array",
            "description": "Every field that is wrong.",
            "items": {
                "type": "object",
                "required": ["field", "description"],
                "properties": {
                    "field": {"type": "string"},
                    "description": {"type": "string"},
                },
            },
        },
    },
}


def problem(text: str) -> dict[str, Any]:
    """Return the response of an error."""
    return {
        "description": text,
        "headers": _RETRY_AFTER,
        "content": {_PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def problems(texts: Mapping[int, str]) -> dict[str, Any]:
    """Return the responses of errors by status."""
    return {str(status): problem(text) for status, text in sorted(texts.items())}
