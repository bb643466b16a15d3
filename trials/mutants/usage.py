"""The users of a name, for changes that run at an import and so belong to no test's lines."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from trials.mutants.model import Span

_Function = ast.FunctionDef | ast.AsyncFunctionDef
#: How many times a name is followed into the constant that is made from it.
_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class Use:
    """A function that uses a name."""

    #: File of the function.
    path: str
    #: Name of the function.
    function: str
    #: Lines of the function's body.
    body: Span


class Usage:
    """All uses of names in the given files, by path."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._uses: defaultdict[str, list[Use]] = defaultdict(list)
        #: Names that are defined at the top of a module with another name in their value.
        self._derived: defaultdict[str, set[str]] = defaultdict(set)
        #: Files that use a name outside of any function.
        self._files: defaultdict[str, set[str]] = defaultdict(set)
        for path, source in sources.items():
            self._body(path, ast.parse(source).body)

    def of(self, names: Iterable[str]) -> list[Use]:
        """Return the functions that use one of the names, or a constant that is made from one."""
        known = self._with_derived(names)
        return [use for name in sorted(known) for use in self._uses[name]]

    def files(self, names: Iterable[str]) -> set[str]:
        """Return the files that use one of the names at their top, such as in a table of cases."""
        known = self._with_derived(names)
        return {path for name in known for path in self._files[name]}

    def _with_derived(self, names: Iterable[str]) -> set[str]:
        known = set(names)
        for _ in range(_ROUNDS):
            known |= {other for name in known for other in self._derived[name]}
        return known

    def _body(self, path: str, statements: list[ast.stmt]) -> None:
        for node in statements:
            if isinstance(node, _Function):
                span = Span(first=node.body[0].lineno, last=node.end_lineno or node.lineno)
                use = Use(path=path, function=node.name, body=span)
                for name in _names(node):
                    self._uses[name].append(use)
            elif isinstance(node, ast.ClassDef):
                self._body(path, node.body)
            else:
                self._top(path, node)

    def _top(self, path: str, node: ast.stmt) -> None:
        used = _names(node)
        for name in used:
            if not isinstance(node, ast.Import | ast.ImportFrom):
                self._files[name].add(path)
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            made = {name for target in targets for name in _names(target)}
            for name in used - made:
                self._derived[name] |= made


def _names(node: ast.AST) -> set[str]:
    found: set[str] = set()
    for item in ast.walk(node):
        if isinstance(item, ast.Name):
            found.add(item.id)
        elif isinstance(item, ast.Attribute):
            found.add(item.attr)
        elif isinstance(item, ast.keyword) and item.arg:
            found.add(item.arg)
    return found
