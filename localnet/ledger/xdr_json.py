"""The JSON form of XDR (SEP-51), as xdrFormat "json" and the SDK have it."""

from typing import Any


def to_json(value: Any) -> Any:
    """Any XDR object as JSON; the one place that calls the SDK's untyped method."""
    return value.to_json_dict()
