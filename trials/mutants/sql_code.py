"""Wrong changes of queries: a condition, order, limit or lock is removed, a comparison reversed.

Removed text keeps its arguments in the statement, as PostgreSQL refuses a statement with arguments
that nothing uses, and such a mutant would show nothing.
"""

import re
from collections.abc import Iterator, Sequence

from trials.mutants.model import Mutant, Span, numbered
from trials.mutants.sql_tokens import Token, closing, condition_parts, list_end, tokens_of

_HEADER = re.compile(r"^-- name: (?P<name>[a-z][a-z0-9_]*) :\w+[^\n]*\n", re.MULTILINE)
_COMPARISONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "=": "<>", "<>": "=", "!=": "="}
_WORDS = {
    "MIN": "max", "MAX": "min", "GREATEST": "least", "LEAST": "greatest", "LEFT": "INNER",
    "TRUE": "false", "FALSE": "true",
}  # fmt: skip
_ARITHMETIC = {"+": "-", "-": "+", "*": "+"}
_LOCKS = {"UPDATE", "SHARE", "NO", "KEY"}
_VALUES = {"number", "argument", "word", "name"}
_SHOWN = 60


def sql_mutants(path: str, source: str) -> list[Mutant]:
    """Return all mutants of a file of named queries."""
    headers = list(_HEADER.finditer(source))
    ends = [header.start() for header in headers[1:]] + [len(source)]
    found: list[Mutant] = []
    for header, end in zip(headers, ends, strict=True):
        found += _Maker(path, source, header["name"], header.end(), end).query()
    return numbered(found)


class _Maker:
    """The changes of one query."""

    def __init__(self, path: str, source: str, name: str, start: int, end: int) -> None:
        self._path = path
        self._source = source
        self._name = name
        self._base = start
        self._tokens = tokens_of(source[start:end])
        self._span = Span(first=source.count("\n", 0, start) + 1, last=source.count("\n", 0, end))

    def query(self) -> Iterator[Mutant]:
        """Yield all mutants of the query."""
        yield from self._conditions()
        assignments = _assignments(self._tokens)
        for index, token in enumerate(self._tokens):
            if token.kind == "mark":
                yield from self._mark(index, assignments)
            elif token.kind == "word":
                yield from self._word(index)
            elif token.kind in {"number", "text"}:
                yield from self._constant(index)

    def _conditions(self) -> Iterator[Mutant]:
        for part in condition_parts(self._tokens):
            text = self._between(part.first, part.last)
            neutral = "false AND" if part.joined_by == "OR" else "true OR"
            yield self._change(
                part.first, part.last, f"({neutral} ({text}))", f"drop `{_shown(text)}`"
            )

    def _mark(self, index: int, assignments: set[int]) -> Iterator[Mutant]:
        token = self._tokens[index]
        other = _COMPARISONS.get(token.value)
        if other is not None and index not in assignments:
            yield self._change(index, index + 1, other, f"`{token.value}` to `{other}`")
        sign = _ARITHMETIC.get(token.value)
        if sign is not None and self._is_between_values(index):
            yield self._change(index, index + 1, sign, f"`{token.value}` to `{sign}`")

    def _is_between_values(self, index: int) -> bool:
        """Tell whether an operator stands between two values, unlike the star of count(*), s.*."""
        if index == 0 or index + 1 >= len(self._tokens):
            return False
        before, after = self._tokens[index - 1], self._tokens[index + 1]
        ends = before.kind in _VALUES or before.value == ")"
        return ends and (after.kind in _VALUES or after.value == "(") and after.value != "FROM"

    def _word(self, index: int) -> Iterator[Mutant]:
        word = self._tokens[index].value
        following = self._value(index + 1)
        if word in {"IS", "NOT"}:
            yield from self._negation(index)
        elif word == "ORDER" and following == "BY":
            yield from self._order(index)
        elif word == "FOR" and following in _LOCKS:
            yield from self._lock(index)
        elif word == "ON" and following == "CONFLICT":
            yield from self._conflict(index)
        elif word == "COALESCE" and following == "(":
            yield from self._coalesce(index)
        elif word in _WORDS and self._value(index - 1) not in {".", "AS"}:
            yield from self._turned(index)
        else:
            yield from self._small(index)

    def _small(self, index: int) -> Iterator[Mutant]:
        """Yield the changes of a word or two."""
        word = self._tokens[index].value
        following = self._value(index + 1)
        if word in {"IN", "EXISTS"} and self._value(index - 1) != "NOT":
            yield self._change(index, index + 1, f"NOT {word}", f"`{word}` to `NOT {word}`")
        elif word == "DESC":
            yield self._change(index, index + 1, "ASC", "`DESC` to `ASC`")
        elif word == "LIMIT":
            yield self._limit(index)
        elif word == "DISTINCT" and following not in {"ON", "FROM"}:
            yield self._change(index, index + 1, "", "drop `DISTINCT`")
        elif word == "UNION" and following == "ALL":
            yield self._change(index, index + 2, "UNION", "`UNION ALL` to `UNION`")

    def _turned(self, index: int) -> Iterator[Mutant]:
        word, other = self._tokens[index].value, _WORDS[self._tokens[index].value]
        if word == "LEFT" and self._value(index + 1) not in {"JOIN", "OUTER"}:
            return
        if word in {"TRUE", "FALSE"} and self._value(index - 1) in {"ON", "SELECT"}:
            return
        yield self._change(index, index + 1, other, f"`{word.lower()}` to `{other.lower()}`")

    def _negation(self, index: int) -> Iterator[Mutant]:
        if self._value(index) == "NOT":
            if self._value(index - 1) != "IS":
                yield self._change(index, index + 1, "", "drop `NOT`")
        elif self._value(index + 1) == "NOT":
            yield self._change(index, index + 2, "IS", "`IS NOT` to `IS`")
        else:
            yield self._change(index, index + 1, "IS NOT", "`IS` to `IS NOT`")

    def _order(self, index: int) -> Iterator[Mutant]:
        end = list_end(self._tokens, index + 2)
        text = self._between(index, end)
        yield self._change(index, end, "", f"drop `{_shown(text)}`")
        depth = self._tokens[index].depth
        commas = [
            at
            for at in range(index, end)
            if self._tokens[at].value == "," and self._tokens[at].depth == depth
        ]
        for begin, stop in zip(commas, [*commas, end][1:], strict=True):
            column = self._between(begin + 1, stop)
            yield self._change(begin, stop, "", f"drop `{_shown(column)}` of the order")

    def _limit(self, index: int) -> Mutant:
        end = list_end(self._tokens, index + 1)
        text = self._between(index, end)
        value = self._between(index + 1, end)
        return self._change(
            index, end, f"LIMIT ({value})::bigint + 1000000", f"drop `{_shown(text)}`"
        )

    def _lock(self, index: int) -> Iterator[Mutant]:
        end = index + 1
        while end < len(self._tokens) and self._value(end) not in {")", ";"}:
            end += 1
        text = self._between(index, end)
        yield self._change(index, end, "", f"drop `{_shown(text)}`")
        for at in range(index, end):
            if self._value(at) == "SKIP":
                yield self._change(at, at + 2, "", "drop `SKIP LOCKED`")
            elif self._value(at) == "NOWAIT":
                yield self._change(at, at + 1, "", "drop `NOWAIT`")

    def _conflict(self, index: int) -> Iterator[Mutant]:
        at = index + 2
        if self._value(at) == "(":
            end = closing(self._tokens, at)
            yield from self._items(at + 1, end, "the conflict")
            at = end + 1
        if self._value(at) == "DO" and self._value(at + 1) == "NOTHING":
            text = self._between(index, at + 2)
            yield self._change(index, at + 2, "", f"drop `{_shown(text)}`")

    def _items(self, first: int, last: int, of: str) -> Iterator[Mutant]:
        """Drop each item of a list, unless it is the only one."""
        depth = self._tokens[first].depth
        commas = [
            at
            for at in range(first, last)
            if self._tokens[at].value == "," and self._tokens[at].depth == depth
        ]
        if not commas:
            return
        for begin, end in zip([first - 1, *commas], [*commas, last], strict=True):
            text = self._between(begin + 1, end)
            # The first item goes with the comma behind it, others with the one before.
            cut = (begin + 1, end + 1) if begin < first else (begin, end)
            yield self._change(*cut, "", f"drop `{_shown(text)}` of {of}")

    def _coalesce(self, index: int) -> Iterator[Mutant]:
        end = closing(self._tokens, index + 1)
        depth = self._tokens[index].depth + 1
        commas = [
            at
            for at in range(index + 2, end)
            if self._tokens[at].value == "," and self._tokens[at].depth == depth
        ]
        if commas:
            text = self._between(commas[-1] + 1, end)
            first = self._between(index + 2, commas[-1])
            # NULLIF of two equal arguments is NULL, and keeps type and arguments.
            replaced = f"coalesce({first}, nullif({text}, {text}))"
            yield self._change(index, end + 1, replaced, f"drop `{_shown(text)}` of coalesce")

    def _constant(self, index: int) -> Iterator[Mutant]:
        token = self._tokens[index]
        # The values that EXISTS selects are never seen; OFFSET 0 is a hint for the planner.
        if self._value(index - 1) in {"OFFSET", "FOR"} or self._is_existence(index):
            return
        if token.kind == "number":
            value = token.value
            new = value + "1" if "." in value else str(int(value) + 1)
        elif self._value(index + 1) != "::" or self._value(index + 2) == "TEXT":
            new = token.value[:-1] + "x'"
        else:
            return
        yield self._change(index, index + 1, new, f"`{token.value}` to `{new}`")

    def _is_existence(self, index: int) -> bool:
        return [self._value(at) for at in range(index - 3, index)] == ["EXISTS", "(", "SELECT"]

    # Text ------------------------------------------------------------------------------------

    def _value(self, index: int) -> str:
        return self._tokens[index].value if 0 <= index < len(self._tokens) else ""

    def _between(self, first: int, last: int) -> str:
        start = self._base + self._tokens[first].start
        return self._source[start : self._base + self._tokens[last - 1].end]

    def _change(self, first: int, last: int, replacement: str, mutation: str) -> Mutant:
        start = self._base + self._tokens[first].start
        line = self._source.count("\n", 0, start) + 1
        return Mutant(
            path=self._path,
            function=self._name,
            mutation=mutation,
            text=self._source.splitlines()[line - 1].strip(),
            line=line,
            span=self._span,
            start=start,
            end=self._base + self._tokens[last - 1].end,
            replacement=replacement,
        )


def _assignments(tokens: Sequence[Token]) -> set[int]:
    """Return the places where `=` assigns a value and compares nothing: in the lists of SET."""
    found: set[int] = set()
    for index, token in enumerate(tokens):
        if token.kind != "word" or token.value != "SET":
            continue
        for at in range(index + 1, len(tokens)):
            after = tokens[at]
            if after.depth < token.depth or after.value in {"WHERE", "FROM", "RETURNING", ";"}:
                if after.depth <= token.depth:
                    break
            elif after.depth == token.depth and after.value == "=" and _is_target(tokens, at):
                found.add(at)
    return found


def _is_target(tokens: Sequence[Token], index: int) -> bool:
    """Tell whether `a = b` stands behind SET or a comma."""
    before = tokens[index - 2].value
    return before in {"SET", ","} or tokens[index - 1].value == ")"


def _shown(text: str) -> str:
    plain = " ".join(re.sub(r"--[^\n]*", "", text).split())
    return plain if len(plain) <= _SHOWN else plain[: _SHOWN - 3] + "..."
