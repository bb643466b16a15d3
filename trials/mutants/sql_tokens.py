"""The words of a PostgreSQL statement, its parentheses, and the places of its conditions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    (?P<gap>\s+|--[^\n]*|/\*.*?\*/)
  | (?P<text>[eE]?'(?:[^']|'')*')
  | (?P<name>"[^"]+")
  | (?P<part>\{[a-z][a-z0-9_]*\})
  | (?P<argument>\$\d+)
  | (?P<number>\d+(?:\.\d+)?)
  | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<mark>::|<=|>=|<>|!=|\|\||->>|->|=>|@>|<@|&&|[-+*/%<>=(),.;\[\]:|&~^?@\#!])
    """,
    re.VERBOSE | re.DOTALL,
)
#: Words that end a condition, at its own depth.
_CONDITION_ENDS = {
    "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "FOR", "RETURNING", "UNION", "INNER",
    "LEFT", "RIGHT", "CROSS", "JOIN", "THEN", "WINDOW", "DO", "SET", "EXCEPT", "INTERSECT",
    "ON",  # of ON CONFLICT
}  # fmt: skip
#: Words that end a list of ORDER BY, at its own depth.
_LIST_ENDS = {
    "LIMIT", "OFFSET", "FOR", "RETURNING", "UNION", "ON", "ROWS", "RANGE", "WHERE", "FROM",
    "WINDOW",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Token:
    """A word, number, string, argument or mark."""

    #: Kind: text, name, part (of other statements, as it stands), argument, number, word or mark.
    kind: str
    #: The text of the token; words in upper case.
    value: str
    #: Offset of the token's beginning.
    start: int
    #: Offset of the token's end.
    end: int
    #: Number of parentheses that are open around the token.
    depth: int


def tokens_of(sql: str) -> list[Token]:
    """Split a statement; raise ValueError for text that no rule knows."""
    tokens: list[Token] = []
    position = depth = 0
    while position < len(sql):
        found = _TOKEN.match(sql, position)
        if found is None or found.lastgroup is None:
            raise ValueError(f"no token at {sql[position : position + 20]!r}")
        position = found.end()
        if found.lastgroup == "gap":
            continue
        value = found[0].upper() if found.lastgroup == "word" else found[0]
        depth -= value == ")"
        tokens.append(
            Token(
                kind=found.lastgroup, value=value, start=found.start(), end=found.end(), depth=depth
            )
        )
        depth += value == "("
    return tokens


@dataclass(frozen=True, kw_only=True)
class Part:
    """One side of AND or OR: tokens from `first` up to, not including, `last`."""

    #: Index of its first token.
    first: int
    #: Index behind its last token.
    last: int
    #: The word that joins the part to its neighbours: AND, OR, or "" for a condition that stands
    #: alone.
    joined_by: str


def condition_parts(tokens: Sequence[Token]) -> list[Part]:
    """Return all sides of AND and OR in a statement's conditions.

    Conditions that stand alone are returned, too.
    """
    parts: list[Part] = []
    for index, token in enumerate(tokens):
        if _opens_condition(tokens, index):
            last = _condition_end(tokens, index + 1, token.depth)
            parts += _split(tokens, index + 1, last)
    return parts


def list_end(tokens: Sequence[Token], first: int) -> int:
    """Return the end of an ORDER BY list that begins at an index."""
    depth = tokens[first].depth
    for index in range(first, len(tokens)):
        token = tokens[index]
        if token.depth < depth or token.value == ";":
            return index
        if token.depth == depth and token.kind == "word" and token.value in _LIST_ENDS:
            return index
    return len(tokens)


def closing(tokens: Sequence[Token], opening: int) -> int:
    """Return the index of the parenthesis that closes the one at an index."""
    depth = tokens[opening].depth
    for index in range(opening + 1, len(tokens)):
        if tokens[index].value == ")" and tokens[index].depth == depth:
            return index
    raise ValueError("a parenthesis is not closed")


def _opens_condition(tokens: Sequence[Token], index: int) -> bool:
    token = tokens[index]
    following = tokens[index + 1].value if index + 1 < len(tokens) else ""
    if token.kind != "word":
        return False
    if token.value == "ON":
        return following not in {"CONFLICT", "TRUE"} and tokens[index - 1].value != "DISTINCT"
    return token.value in {"WHERE", "HAVING", "WHEN"} and following not in {"TRUE", "MATCHED"}


def _condition_end(tokens: Sequence[Token], first: int, depth: int) -> int:
    for index in range(first, len(tokens)):
        token = tokens[index]
        if token.depth < depth or token.value == ";":
            return index
        if token.depth == depth and token.kind == "word" and token.value in _CONDITION_ENDS:
            return index
        if token.depth == depth and token.value == "," and index > first:
            return index
    return len(tokens)


def _split(tokens: Sequence[Token], first: int, last: int) -> list[Part]:
    """Return the parts of a condition: the condition alone when nothing in it is joined."""
    if first >= last:
        return []
    return _joined(tokens, first, last) or [Part(first=first, last=last, joined_by="")]


def _joined(tokens: Sequence[Token], first: int, last: int) -> list[Part]:
    """Split joined conditions: OR binds less than AND.

    Parentheses around conditions are split, too; subqueries are not.
    """
    if tokens[first].value == "NOT":
        first += 1
    if tokens[first].value == "(" and closing(tokens, first) == last - 1:
        is_query = tokens[first + 1].value in {"SELECT", "WITH"}
        return [] if is_query else _joined(tokens, first + 1, last - 1)
    for word in ("OR", "AND"):
        sides = _sides(tokens, first, last, word)
        if len(sides) > 1:
            parts = [Part(first=begin, last=end, joined_by=word) for begin, end in sides]
            return parts + [inner for side in sides for inner in _joined(tokens, *side)]
    return []


def _sides(tokens: Sequence[Token], first: int, last: int, word: str) -> list[tuple[int, int]]:
    depth = min(token.depth for token in tokens[first:last])
    sides, begin, between = [], first, False
    cases = 0
    for index in range(first, last):
        token = tokens[index]
        if token.depth != depth or token.kind != "word":
            continue
        cases += (token.value == "CASE") - (token.value == "END")
        if token.value == "BETWEEN":
            between = True
        elif token.value == "AND" and between:
            between = False
        elif token.value == word and not cases:
            sides.append((begin, index))
            begin = index + 1
    return [*sides, (begin, last)]
