"""Texts of the services in the words of HTTP: fields as JSON names them, RPCs as they are served.

The services speak of `public_key` and of `/kalepool.plant.v1.PlantService/Plant`; who calls by HTTP
has sent `publicKey` to `POST /v1/plants`.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache

from google.protobuf.descriptor import Descriptor

from gateway.bindings import all_bindings

#: What stands in quotes is a caller's own word; an RPC's name; a name with underscores.
_PLACES = re.compile(
    r"""(?<!\w)(?P<quoted>'[^']*'|"[^"]*")(?!\w)"""
    r"|(?P<rpc>(?:/?kalepool\.[a-z]+\.v1\.)?(?P<service>[A-Z]\w*Service)/(?P<method>[A-Z]\w*))"
    r"|(?<![\w/-])(?P<name>[a-z][a-z0-9]*(?:_[a-z0-9]+)+)(?!\w)"
)


@cache
def _fields() -> Mapping[str, str]:
    """Return the JSON names of all fields of what is served, by the protos' names."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    for binding in all_bindings():
        method = binding.method.descriptor
        for message in (method.input_type, method.output_type):
            found |= {
                name: json_name for name, json_name in _names(message, seen) if name != json_name
            }
    return found


def _names(message: Descriptor, seen: set[str]) -> Iterator[tuple[str, str]]:
    if message.full_name in seen:
        return
    seen.add(message.full_name)
    for field in message.fields:
        yield field.name, field.json_name
        if field.message_type is not None:
            yield from _names(field.message_type, seen)


@cache
def _ways() -> Mapping[str, str]:
    """Return how each RPC is served, by its service and name: PlantService/Plant."""
    return {
        short_name(one.method.path): f"{one.verb} {one.template.text}"
        for one in all_bindings()
        if one.is_main
    }


def short_name(path: str) -> str:
    """Return the name of an RPC without its package: PlantService/Plant."""
    return path.rpartition(".")[2]


def in_http(text: str, *, served: Mapping[str, str] | None = None) -> str:
    """Return a text in the words of HTTP; what is in quotes stays as it is.

    `served` has, by the RPC's short name, the way by which this caller has reached it, where that
    is not the main one.
    """

    def word(found: re.Match[str]) -> str:
        if found["quoted"] is not None:
            return found[0]
        if found["rpc"] is not None:
            name = f"{found['service']}/{found['method']}"
            way = (served or {}).get(name) or _ways().get(name)
            return found[0] if way is None else in_json(way)
        return _fields().get(found[0], found[0])

    return _PLACES.sub(word, text)


def in_json(way: str) -> str:
    """Return a way with its variables as JSON names them: GET /v1/farmers/{farmerId}."""
    return re.sub(r"(?<=\{)\w+(?=\})", lambda found: _fields().get(found[0], found[0]), way)
