"""Requests of HTTP as messages: what stands in the path, the query, the body and the headers."""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from google.protobuf.message import Message

from gateway.bindings import REQUEST_ID, Binding
from gateway.errors import RequestIdDiffersError
from gateway.feeds import parse_id
from gateway.reader import Findings, may_be_set, reader_of
from libs.common.errors import InvalidArgumentError
from libs.http.strict_json import LARGE, parse
from libs.http.template import decoded

#: The header whose value is the request_id (an Internet draft of the IETF).
IDEMPOTENCY_KEY = "idempotency-key"
#: The header by which a browser resumes a stream.
LAST_EVENT_ID = "last-event-id"
#: Parameters of a query at most: a thousand ids and some more.
_PARAMETERS = 1_100
_PRINTABLE = re.compile(r"[\x20-\x7e]{1,128}")


async def message_of(
    binding: Binding,
    *,
    variables: Mapping[str, str],
    query: str,
    body: bytes,
    headers: Mapping[str, str],
    prepare: Callable[[Any], Any] = lambda value: value,
) -> Message:
    """Return the message of a request; raise InvalidArgumentError with all fields that are wrong.

    `variables` are the path's, as they were sent. `prepare` changes the body's JSON before it is
    read. A large body is read beside the event loop.
    """
    parts = _Parts(variables=variables, query=query, body=body, headers=headers, prepare=prepare)
    if len(body) > LARGE:
        return await asyncio.to_thread(_message_of, binding, parts)
    return _message_of(binding, parts)


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """The parts of a request that a message is made of."""

    variables: Mapping[str, str]
    query: str
    body: bytes
    headers: Mapping[str, str]
    prepare: Callable[[Any], Any]


def _message_of(binding: Binding, parts: _Parts) -> Message:
    message = binding.method.request_class()
    reader = reader_of(message.DESCRIPTOR)
    findings = Findings()
    if binding.has_body:
        value = parts.prepare(parse(parts.body) if parts.body.strip() else {})
        reader.read(value, message, "", findings)
    elif parts.body:
        findings.note("body", f"is not for {binding.verb} of this path")
    _set_parameters(binding, parts.query, message, findings)
    findings.check()
    _set_variables(binding, parts.variables, message, findings)
    _set_request_id(binding, parts.headers, message)
    _set_resume(binding, parts.headers, message)
    return message


def _set_parameters(binding: Binding, query: str, message: Message, findings: Findings) -> None:
    """Set what the query says."""
    reader = reader_of(message.DESCRIPTOR)
    seen: set[tuple[str, ...]] = set()
    for name, texts in parameters(query).items():
        if binding.has_body:
            findings.note(name[:64], "cannot stand in the query: this request has a body")
            continue
        field = reader.names_of(name)
        if field is None:
            findings.note(name[:64], "is no field of this request")
        elif field in seen:
            findings.note(name, "is given twice, by another name, too")
        elif field[0] in binding.template.variables:
            findings.note(name[:64], "stands in the path already")
        else:
            seen.add(field)
            reader.read_text(name, texts, message, findings)


def parameters(query: str) -> dict[str, list[str]]:
    """Return the values of a query by name; raise InvalidArgumentError for what is none."""
    if not query:
        return {}
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, errors="strict", max_num_fields=_PARAMETERS
        )
    except UnicodeDecodeError:
        raise InvalidArgumentError.of("query", "is not UTF-8") from None
    except ValueError:
        raise InvalidArgumentError.of("query", f"has more than {_PARAMETERS} parts") from None
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def _set_variables(
    binding: Binding, variables: Mapping[str, str], message: Message, findings: Findings
) -> None:
    """Set what the path says; a body that says the same field otherwise is refused."""
    reader = reader_of(message.DESCRIPTOR)
    if not binding.has_body:  # nothing else can have set them
        for name, raw in variables.items():
            json_name = message.DESCRIPTOR.fields_by_name[name].json_name
            reader.read_text(name, [decoded(json_name, raw)], message, findings)
        findings.check()
        return
    of_path = binding.method.request_class()
    for name, raw in variables.items():
        field: Any = message.DESCRIPTOR.fields_by_name[name]
        reader.read_text(name, [decoded(field.json_name, raw)], of_path, findings)
        may_be_set(field, message, "", findings)
        is_set = message.HasField(name) if field.has_presence else bool(getattr(message, name))
        if is_set and getattr(message, name) != getattr(of_path, name):
            findings.note(field.json_name, "differs from the one in the path")
    findings.check()
    for name in variables:
        setattr(message, name, getattr(of_path, name))


def _set_request_id(binding: Binding, headers: Mapping[str, str], message: Message) -> None:
    key = headers.get(IDEMPOTENCY_KEY)
    if key is None or not binding.method.has_request_id:
        return
    given = _unquoted(key.strip())
    if not _PRINTABLE.fullmatch(given):
        raise InvalidArgumentError.of("Idempotency-Key", "must have 1 to 128 printable characters")
    own = getattr(message, REQUEST_ID)
    if own not in {"", given}:
        raise RequestIdDiffersError.of("requestId", "differs from the Idempotency-Key")
    setattr(message, REQUEST_ID, given)


def _unquoted(key: str) -> str:
    """Return a key without the quotes that the draft wants around it."""
    if len(key) > 1 and key[0] == key[-1] == '"':
        return key[1:-1]
    return key


def _set_resume(binding: Binding, headers: Mapping[str, str], message: Message) -> None:
    """Let a browser that opens the same address again go on where it was."""
    resume, last = binding.method.resume, headers.get(LAST_EVENT_ID)
    if resume is not None and last:
        setattr(message, resume.after, parse_id(last))
