"""House rules that no linter has: sizes, names, and nothing that belongs to one machine.

Usage: python scripts/check_style.py [ROOT]
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 60
#: Names that say nothing about what is inside.
EMPTY_NAMES = {"util", "utils", "helper", "helpers", "misc"}
#: Generated files keep to their generator's rules.
GENERATED = "gen"

#: Patterns are put together here so that this file does not match itself.
_HOST_DOT = r"\."
MACHINE_PATTERNS = {
    "a path of one machine": re.compile(r"(?<![\w.$})/-])/(?:root|home|Users|work)/[\w.]"),
    "the address of a package registry": re.compile(
        _HOST_DOT.join((r"registry", r"(?:npmjs|yarnpkg)"))
        + "|"
        + _HOST_DOT.join((r"files", r"pythonhosted"))
        + "|"
        + _HOST_DOT.join((r"pypi", r"org/simple"))
        + "|"
        + _HOST_DOT.join((r"proxy", r"golang"))
    ),
    "an option that names a package registry": re.compile(
        r"--(?:extra-)?" + r"index-url|--find" + r"-links|--trusted" + r"-host"
    ),
}


def tracked_files(root: Path) -> list[Path]:
    """List the files that git has or would add, relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],  # noqa: S607
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    names = {Path(name) for name in listed.split("\0") if name}
    return sorted(path for path in names if (root / path).is_file())


def check_name(path: Path) -> Iterator[str]:
    """Check that files and folders are named after what they hold."""
    for part in (*path.parts[:-1], path.stem):
        if part.lower() in EMPTY_NAMES:
            yield f"{path}: the name {part!r} says nothing"


def check_sizes(path: Path, source: str) -> Iterator[str]:
    """Check that a Python file and each of its functions can be read in one go."""
    lines = source.count("\n")
    if lines > MAX_FILE_LINES:
        yield f"{path}: {lines} lines, {MAX_FILE_LINES} at most"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                where = f"{path}:{node.lineno}"
                yield f"{where}: {node.name} has {length} lines, {MAX_FUNCTION_LINES} at most"


def check_machine(path: Path, text: str) -> Iterator[str]:
    """Check that the repository stands alone, wherever it is cloned."""
    for number, line in enumerate(text.splitlines(), start=1):
        for what, pattern in MACHINE_PATTERNS.items():
            match = pattern.search(line)
            if match:
                yield f"{path}:{number}: {what}: {match.group()}"


def check_file(root: Path, path: Path) -> Iterator[str]:
    """Check all rules for one file; files that are not text have only a name."""
    yield from check_name(path)
    try:
        text = (root / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    if path.suffix == ".py" and path.parts[0] != GENERATED:
        yield from check_sizes(path, text)
    yield from check_machine(path, text)


def main(arguments: list[str]) -> int:
    """Run the command."""
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    found = [line for path in tracked_files(root) for line in check_file(root, path)]
    sys.stdout.write("".join(f"{line}\n" for line in found))
    if found:
        sys.stderr.write(f"style: {len(found)} findings\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
