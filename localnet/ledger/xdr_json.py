"""The JSON form of XDR (SEP-51), as used by xdrFormat "json" and by the SDK."""

from typing import Any


def to_json(value: Any) -> Any:
    """Return any XDR object as JSON; only this function calls the SDK's untyped method."""
    return value.to_json_dict()
