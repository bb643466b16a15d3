"""Rules of single values: each check returns in words what is wrong, or None."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from google.protobuf import json_format
from google.protobuf.message import Message
from kalepool.rules.v1 import rules_pb2

from libs.common.errors import InvalidArgumentError
from libs.common.paging import decode_token

#: Returns in words what is wrong with a value; None when nothing is.
Check = Callable[[Any], str | None]
#: Raises ValueError with a description when a text does not have the format.
Parse = Callable[[str], object]

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NIL = str(UUID(int=0))
#: An escaped NUL, which PostgreSQL cannot keep; not a backslash that is itself escaped.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_KEY_KINDS: Mapping[int, type] = {rules_pb2.KEY_PART_INDEX: int, rules_pb2.KEY_PART_ID: UUID}


def is_uuid(text: str) -> str | None:
    """Check that the text is a UUID in its canonical form, in either case."""
    return None if _UUID.fullmatch(text) and text != _NIL else "must be a UUID"


def parses(parse: Parse) -> Check:
    """Return the check that `parse` accepts the text."""

    def check(text: str) -> str | None:
        try:
            parse(text)
        except ValueError as error:
            return str(error)
        return None

    return check


def has_length(low: int, high: int, unit: str) -> Check:
    """Return the check that a value has `low` to `high` characters or bytes."""
    wanted = f"{low} to {high}" if low != high else str(low)

    def check(value: str | bytes) -> str | None:
        size = len(value)
        return None if low <= size <= high else f"must have {wanted} {unit}, not {size}"

    return check


def in_range(low: int | None, high: int | None) -> Check:
    """Return the check that a number lies between two others, themselves included.

    None means no limit.
    """
    if low is not None and high is not None:
        wanted = f"from {low} to {high}"
    else:
        wanted = f"at least {low}" if low is not None else f"at most {high}"

    def check(value: int) -> str | None:
        if (low is None or value >= low) and (high is None or value <= high):
            return None
        return f"must be {wanted}, not {value}"

    return check


def is_defined(numbers: frozenset[int]) -> Check:
    """Return the check that the enum names the number."""
    return lambda value: None if value in numbers else f"has no value {value}"


def is_page_token(parts: Sequence[int]) -> Check:
    """Return the check that a token's key has these parts."""
    kinds = [_KEY_KINDS[part] for part in parts]

    def check(text: str) -> str | None:
        try:
            decode_token(text, kinds)
        except InvalidArgumentError as error:
            return error.violations[0].description
        return None

    return check


def is_json(rules: rules_pb2.JsonRules) -> Check:
    """Return the check that a Struct is JSON of bounded size and depth that PostgreSQL can keep."""

    def check(value: Message) -> str | None:
        try:
            values = json_format.MessageToDict(value)
        except (ValueError, json_format.SerializeToJsonError):
            return "must not have numbers that JSON has not"
        text = json.dumps(values, sort_keys=True, ensure_ascii=False)
        if (size := len(text.encode())) > rules.max_bytes:
            return f"must have at most {rules.max_bytes} bytes as JSON, not {size}"
        if _depth(values) > rules.max_depth:
            return f"must be at most {rules.max_depth} levels deep"
        return "must not have NUL characters" if _NUL.search(text) else None

    return check


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0
