"""Wrong changes of Python code: one place each, as small as a typing slip.

Left unchanged: code that a type checker would check, annotations, docstrings, messages, decorators,
and text for the log.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from trials.mutants.model import Mutant, Span, numbered

_COMPARISONS: dict[type[ast.cmpop], tuple[str, str, str]] = {
    # operator: (how it is found, how it is reported, its replacement)
    ast.Lt: (r"<", "<", "<="),
    ast.LtE: (r"<=", "<=", "<"),
    ast.Gt: (r">", ">", ">="),
    ast.GtE: (r">=", ">=", ">"),
    ast.Eq: (r"==", "==", "!="),
    ast.NotEq: (r"!=", "!=", "=="),
    ast.Is: (r"\bis\b", "is", "is not"),
    ast.IsNot: (r"\bis\s+not\b", "is not", "is"),
    ast.In: (r"\bin\b", "in", "not in"),
    ast.NotIn: (r"\bnot\s+in\b", "not in", "in"),
}
_ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "//"),
    ast.FloorDiv: ("//", "*"),
    ast.Div: ("/", "*"),
    ast.Mod: ("%", "//"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
}
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_LOG_METHODS = {"debug", "info", "warning", "error", "exception", "critical"}
#: Codes and keys, not sentences.
_CODE = re.compile(r"[A-Z][A-Z0-9_]*|[a-z][a-z0-9_]*")
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_TOP = Span(first=1, last=1)
#: Longest text of an expression in the name of a mutation.
_SHOWN = 60


def python_mutants(path: str, source: str) -> list[Mutant]:
    """Return all mutants of a module."""
    return numbered(_Maker(path, source).module())


@dataclass(frozen=True, kw_only=True)
class _Place:
    """The place in the module that the walk has reached."""

    #: Names of the enclosing classes and functions.
    scope: tuple[str, ...] = ()
    #: Whether the code runs when a function is called, and not at the import.
    inside: bool = False
    #: The innermost statement's lines.
    span: Span = _TOP
    #: See Mutant.names.
    names: frozenset[str] = frozenset()


class _Maker:
    """The walk through one module."""

    def __init__(self, path: str, source: str) -> None:
        self._path = path
        self._source = source
        self._lines = source.splitlines()
        # ast counts columns in UTF-8 bytes.
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def module(self) -> Iterator[Mutant]:
        """Yield all mutants of the module."""
        yield from self._body(ast.parse(self._source).body, _Place())

    # Statements ------------------------------------------------------------------------------

    def _body(self, statements: list[ast.stmt], place: _Place) -> Iterator[Mutant]:
        for statement in statements:
            yield from self._statement(statement, place)

    def _statement(self, node: ast.stmt, place: _Place) -> Iterator[Mutant]:
        if isinstance(node, _Function):
            yield from self._function(node, place)
        elif isinstance(node, ast.ClassDef):
            inner = _Place(
                scope=(*place.scope, node.name),
                inside=place.inside,
                names=place.names | {node.name},
            )
            yield from self._body(_mutable_body(node), inner)
        elif not _is_left_alone(node):
            here = _Place(
                scope=place.scope,
                inside=place.inside,
                span=_header(node),
                names=place.names if place.inside else place.names | _targets(node),
            )
            yield from self._whole(node, here)
            yield from self._children(node, here)

    def _function(self, node: _Function, place: _Place) -> Iterator[Mutant]:
        scope = (*place.scope, node.name)
        body = Span(first=node.body[0].lineno, last=node.end_lineno or node.lineno)
        at_import = _Place(
            scope=scope, inside=place.inside, span=body, names=place.names | {node.name}
        )
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                yield from self._any(default, at_import)
        yield from self._body(node.body, _Place(scope=scope, inside=True))

    def _whole(self, node: ast.stmt, place: _Place) -> Iterator[Mutant]:
        """Yield the changes of a statement as a whole."""
        if (isinstance(node, ast.Expr) and place.inside and _is_call(node.value)) or isinstance(
            node, ast.Break | ast.Continue
        ):
            yield self._replace(node, "pass", f"drop `{self._shown(node)}`", place)
        elif isinstance(node, ast.If):
            yield from self._negated(node.test, place)
        elif isinstance(node, ast.AugAssign):
            yield from self._between(node.target, node.value, node.op, place, suffix="=")

    # Expressions -----------------------------------------------------------------------------

    def _any(self, node: ast.AST, place: _Place) -> Iterator[Mutant]:
        if isinstance(node, ast.stmt):
            yield from self._statement(node, place)
            return
        if isinstance(node, ast.ExceptHandler):
            yield from self._body(node.body, place)
            return
        if isinstance(node, ast.JoinedStr) or _is_log(node):
            return
        yield from self._expression(node, place)
        yield from self._children(node, place)

    def _children(self, node: ast.AST, place: _Place) -> Iterator[Mutant]:
        for name, value in ast.iter_fields(node):
            if name in {"annotation", "returns"}:
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from self._any(child, place)

    def _expression(self, node: ast.AST, place: _Place) -> Iterator[Mutant]:
        if isinstance(node, ast.Compare):
            yield from self._comparison(node, place)
        elif isinstance(node, ast.BoolOp):
            yield from self._arms(node, place)
        elif isinstance(node, ast.BinOp):
            yield from self._between(node.left, node.right, node.op, place)
        elif isinstance(node, ast.Constant):
            yield from self._constant(node, place)
        elif isinstance(node, ast.IfExp):
            yield from self._negated(node.test, place)
        else:
            yield from self._small(node, place)

    def _small(self, node: ast.AST, place: _Place) -> Iterator[Mutant]:
        """Yield the changes of one word."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            text = f"({self._text(node.operand)})"
            yield self._replace(node, text, f"drop `not` of `{self._shown(node.operand)}`", place)
        elif isinstance(node, ast.comprehension):
            for condition in node.ifs:
                mutation = f"drop `if {self._shown(condition)}`"
                yield self._replace(condition, "True", mutation, place)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            other = _CALLS.get(node.func.id)
            if other is not None:
                yield self._replace(node.func, other, f"`{node.func.id}` to `{other}`", place)

    def _negated(self, test: ast.expr, place: _Place) -> Iterator[Mutant]:
        """Yield the negation of a test.

        Comparisons, `and`, `or` and `not` have changes of their own.
        """
        if isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Constant):
            return
        text = f"(not ({self._text(test)}))"
        yield self._replace(test, text, f"negate `{self._shown(test)}`", place)

    def _comparison(self, node: ast.Compare, place: _Place) -> Iterator[Mutant]:
        left = node.left
        for operator, right in zip(node.ops, node.comparators, strict=True):
            pattern, old, new = _COMPARISONS[type(operator)]
            yield self._token((left, right), pattern, old, new, place)
            left = right

    def _between(
        self,
        left: ast.expr,
        right: ast.expr,
        operator: ast.operator,
        place: _Place,
        suffix: str = "",
    ) -> Iterator[Mutant]:
        if type(operator) in _ARITHMETIC:
            old, new = (token + suffix for token in _ARITHMETIC[type(operator)])
            yield self._token((left, right), re.escape(old), old, new, place)

    def _arms(self, node: ast.BoolOp, place: _Place) -> Iterator[Mutant]:
        word = " and " if isinstance(node.op, ast.And) else " or "
        for arm in node.values:
            rest = word.join(f"({self._text(item)})" for item in node.values if item is not arm)
            yield self._replace(node, f"({rest})", f"drop `{self._shown(arm)}`", place, at=arm)

    def _constant(self, node: ast.Constant, place: _Place) -> Iterator[Mutant]:
        value = node.value
        if isinstance(value, bool):
            new = str(not value)
        elif isinstance(value, int):
            new = str(value + 1)
        elif isinstance(value, float):
            new = repr(value * 2 if value else 1.0)
        elif isinstance(value, str) and _CODE.fullmatch(value):
            new = f'"{value}x"'
        else:
            return
        yield self._replace(node, new, f"`{self._shown(node)}` to `{new}`", place)

    # Text ------------------------------------------------------------------------------------

    def _token(
        self, between: tuple[ast.expr, ast.expr], pattern: str, old: str, new: str, place: _Place
    ) -> Mutant:
        """Return the mutant that changes the operator between two expressions."""
        begin, end = self._end(between[0]), self._start(between[1])
        gap = re.sub(r"#[^\n]*", lambda found: " " * len(found[0]), self._source[begin:end])
        found = re.search(pattern, gap)
        if found is None:
            raise AssertionError(f"{self._path}:{between[0].lineno}: no {old} here")
        return self._mutant(
            (begin + found.start(), begin + found.end()), new, f"`{old}` to `{new}`", place
        )

    def _replace(
        self,
        node: ast.expr | ast.stmt,
        text: str,
        mutation: str,
        place: _Place,
        *,
        at: ast.expr | None = None,
    ) -> Mutant:
        line = None if at is None else at.lineno
        span = (self._start(node), self._end(node))
        return self._mutant(span, text, mutation, place, line=line)

    def _mutant(
        self,
        span: tuple[int, int],
        replacement: str,
        mutation: str,
        place: _Place,
        *,
        line: int | None = None,
    ) -> Mutant:
        number = self._source.count("\n", 0, span[0]) + 1 if line is None else line
        return Mutant(
            path=self._path,
            function=".".join(place.scope),
            mutation=mutation,
            text=self._lines[number - 1].strip(),
            line=number,
            span=place.span,
            start=span[0],
            end=span[1],
            replacement=replacement,
            names=frozenset() if place.inside else place.names,
        )

    def _offset(self, line: int, column: int) -> int:
        start = self._starts[line - 1]
        prefix = self._lines[line - 1].encode()[:column].decode()
        return start + len(prefix)

    def _start(self, node: ast.expr | ast.stmt) -> int:
        return self._offset(node.lineno, node.col_offset)

    def _end(self, node: ast.expr | ast.stmt) -> int:
        return self._offset(node.end_lineno or node.lineno, node.end_col_offset or 0)

    def _text(self, node: ast.expr | ast.stmt) -> str:
        return self._source[self._start(node) : self._end(node)]

    def _shown(self, node: ast.expr | ast.stmt) -> str:
        text = " ".join(self._text(node).split())
        return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _mutable_body(node: ast.ClassDef) -> list[ast.stmt]:
    """Return the statements of a class that may be changed.

    The values of a plain Enum only repeat its members' names, so only its methods are changed.
    """
    is_enum = any("Enum" in _names(base) for base in node.bases)
    return [item for item in node.body if not is_enum or isinstance(item, _Function)]


def _is_left_alone(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Global | ast.Nonlocal | ast.Assert):
        return True
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) or _is_log(node.value)
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in _names(node.test)
    if isinstance(node, ast.Assign | ast.AnnAssign):
        return bool(_targets(node) & {"__all__", "__slots__"}) or _is_type(node)
    return False


def _is_type(node: ast.Assign | ast.AnnAssign) -> bool:
    """Tell whether an assignment names a type: its value is for the type checker only."""
    if isinstance(node, ast.AnnAssign):
        return "TypeAlias" in _names(node.annotation)
    if isinstance(node.value, ast.Call):
        return bool(_names(node.value.func) & {"TypeVar", "NewType", "ParamSpec"})
    return isinstance(node.value, ast.Subscript | ast.BinOp) and all(
        name[:1].isupper() and not name.isupper() for name in _targets(node)
    )


def _is_call(node: ast.expr) -> bool:
    inner = node.value if isinstance(node, ast.Await) else node
    return isinstance(inner, ast.Call)


def _is_log(node: ast.AST) -> bool:
    inner = node.value if isinstance(node, ast.Await) else node
    return (
        isinstance(inner, ast.Call)
        and isinstance(inner.func, ast.Attribute)
        and inner.func.attr in _LOG_METHODS
    )


def _header(node: ast.stmt) -> Span:
    """Return the lines of a statement without the lines of its inner statements."""
    body = getattr(node, "body", None) or getattr(node, "cases", None)
    if isinstance(body, list) and body and isinstance(body[0], ast.stmt):
        return Span(first=node.lineno, last=max(node.lineno, body[0].lineno - 1))
    if isinstance(node, ast.Match):
        return Span(first=node.lineno, last=node.lineno)
    return Span(first=node.lineno, last=node.end_lineno or node.lineno)


def _targets(node: ast.stmt) -> frozenset[str]:
    if isinstance(node, ast.Assign):
        return frozenset().union(*(_names(target) for target in node.targets))
    if isinstance(node, ast.AnnAssign | ast.AugAssign):
        return _names(node.target)
    return frozenset()


def _names(node: ast.AST) -> frozenset[str]:
    """Return all names in an expression."""
    by_type: dict[type[ast.AST], Callable[[ast.AST], str]] = {
        ast.Name: lambda item: str(getattr(item, "id", "")),
        ast.Attribute: lambda item: str(getattr(item, "attr", "")),
    }
    return frozenset(by_type[type(item)](item) for item in ast.walk(node) if type(item) in by_type)
