"""Paths of google.api.http rules, and the tree in which the path of a request is looked up."""

import re
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import unquote_to_bytes

from libs.common.errors import InvalidArgumentError

T = TypeVar("T")
_LITERAL = re.compile(r"[a-z0-9_.-]+")
_VARIABLE = re.compile(r"\{(?P<name>[a-z0-9_]+)(?:=\*)?\}")
_VERB = re.compile(r"[A-Za-z]+")


@dataclass(frozen=True, kw_only=True)
class Template:
    """A path: /v1/farmers/{farmer_id}:suspend."""

    #: Its segments; None stands for a variable.
    segments: tuple[str | None, ...]
    #: Names of the variables, in their order.
    variables: tuple[str, ...]
    #: What follows the last segment's colon; empty for none.
    verb: str
    #: All of it as it is written in the rule.
    text: str


def parse_template(text: str) -> Template:
    """Return the template; raise ValueError for one that cannot be served."""
    path, _, verb = text.partition(":")
    if not path.startswith("/") or (":" in text and not _VERB.fullmatch(verb)):
        raise ValueError(f"{text} is no path of literals, {{field}} and an ending :verb")
    segments: list[str | None] = []
    variables: list[str] = []
    for part in path[1:].split("/"):
        variable = _VARIABLE.fullmatch(part)
        if variable is not None:
            segments.append(None)
            variables.append(variable["name"])
        elif _LITERAL.fullmatch(part):
            segments.append(part)
        else:
            raise ValueError(f"{text} has a segment {part!r}, which cannot be served")
    return Template(segments=tuple(segments), variables=tuple(variables), verb=verb, text=text)


@dataclass(kw_only=True)
class _Node(Generic[T]):
    """The paths that begin alike."""

    literals: "dict[str, _Node[T]]" = field(default_factory=dict)
    variable: "_Node[T] | None" = None
    #: What ends here, by verb of the path and method of HTTP.
    ends: dict[str, dict[str, T]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Found(Generic[T]):
    """What a path leads to."""

    #: By method of HTTP.
    by_method: dict[str, T]
    #: The segments at the places of the variables, as they were sent.
    raw_values: tuple[str, ...]


class PathTree(Generic[T]):
    """All paths that are served."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, method: str, template: Template, target: T) -> None:
        """Serve a path; raise ValueError when another target has it already."""
        node = self._root
        for segment in template.segments:
            if segment is None:
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.literals.setdefault(segment, _Node())
        targets = node.ends.setdefault(template.verb, {})
        if method in targets:
            raise ValueError(f"{method} {template.text} is served twice")
        targets[method] = target

    def find(self, raw_path: str) -> Found[T] | None:
        """Return what a path leads to, as it was sent; None when it leads nowhere."""
        if not raw_path.startswith("/"):
            return None
        segments = raw_path[1:].split("/")
        last, colon, verb = segments[-1].rpartition(":")
        if colon:
            found = self._walk(self._root, [*segments[:-1], last], verb, ())
            if found is not None:
                return found
        return self._walk(self._root, segments, "", ())

    def _walk(
        self, node: _Node[T], segments: list[str], verb: str, values: tuple[str, ...]
    ) -> Found[T] | None:
        """Go on with the rest of a path; a literal goes before a variable."""
        if not segments:
            targets = node.ends.get(verb)
            return None if targets is None else Found(by_method=targets, raw_values=values)
        first, rest = segments[0], segments[1:]
        literal = node.literals.get(first)
        if literal is not None:
            found = self._walk(literal, rest, verb, values)
            if found is not None:
                return found
        if node.variable is None or not first:
            return None
        return self._walk(node.variable, rest, verb, (*values, first))


def decoded(name: str, raw: str) -> str:
    """Return a segment of a path without its escapes.

    Raise InvalidArgumentError naming the field.
    """
    if "%" not in raw:
        return raw
    if re.search(r"%(?![0-9A-Fa-f]{2})", raw):
        raise InvalidArgumentError.of(name, "has a % that no two hexadecimal digits follow")
    try:
        return unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidArgumentError.of(name, "is not UTF-8") from None
