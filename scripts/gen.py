"""Generates gen/ from protos/: messages, stubs and their types. Same input, same bytes.

Usage: python scripts/gen.py [--check] [--protos DIR] [--out DIR]
With --check nothing is written; the exit status is 1 when a fresh run would change something.
"""

import argparse
import filecmp
import json
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2

ROOT = Path(__file__).resolve().parent.parent
#: The protoc plugins of mypy-protobuf; both are commands of the virtual environment.
TYPE_PLUGINS = ("mypy", "mypy_grpc")
#: Protos that others generate code from; ours import them.
FOREIGN = "google"
#: What the protos' comments say, by full name, for documents that are made from descriptors.
COMMENTS = "comments.json"
INIT_TEXT = '"""Generated from protos/ by `make gen`; never edited."""\n'


class GenerationError(Exception):
    """protoc refused the protos; it has said why on stderr."""


def run_protoc(protos: Path, out: Path) -> None:
    """Write all generated modules below `out`."""
    found = (path.relative_to(protos) for path in protos.rglob("*.proto"))
    sources = sorted(path.as_posix() for path in found if path.parts[0] != FOREIGN)
    if not sources:
        raise GenerationError(f"no .proto files in {protos}")
    scripts = Path(sysconfig.get_path("scripts"))
    plugins = [
        f"--plugin=protoc-gen-{name}={scripts / f'protoc-gen-{name}'}" for name in TYPE_PLUGINS
    ]
    outputs = [f"--{name}_out={out}" for name in ("python", "grpc_python", *TYPE_PLUGINS)]
    with tempfile.NamedTemporaryFile() as described:
        outputs += [f"--descriptor_set_out={described.name}", "--include_source_info"]
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{protos}", *plugins, *outputs]
        done = subprocess.run(  # noqa: S603  (our own command line)
            [*command, *sources], check=False, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise GenerationError(done.stderr.strip())
        files = descriptor_pb2.FileDescriptorSet.FromString(Path(described.name).read_bytes())
    write_comments(files, out)


def write_comments(files: descriptor_pb2.FileDescriptorSet, out: Path) -> None:
    """Write the comments of all files into each top folder of `out`."""
    found = dict(pair for file in files.file for pair in comments_of(file))
    text = json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False)
    for top in sorted(path for path in out.iterdir() if path.is_dir()):
        (top / COMMENTS).write_text(f"{text}\n", encoding="utf-8")


def comments_of(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[str, str]]:
    """Yield the full names of a file's things, each with the comment before it."""
    for location in file.source_code_info.location:
        if location.leading_comments:
            name = _name_at(file, location.path)
            if name:
                lines = [line.strip() for line in location.leading_comments.splitlines()]
                yield f"{file.package}.{name}", "\n".join(lines).strip()


def _name_at(message: Any, path: Sequence[int]) -> str:
    """Return the name of what a path of a descriptor leads to; empty for what has no name."""
    names = []
    for number, index in zip(path[::2], path[1::2], strict=False):
        field = message.DESCRIPTOR.fields_by_number[number]
        if field.message_type is None or not field.is_repeated:
            return ""
        message = getattr(message, field.name)[index]
        names.append(getattr(message, "name", ""))
    return ".".join(names) if len(path) % 2 == 0 and all(names) else ""


def add_package_files(out: Path) -> None:
    """Make every generated folder a package that says it is typed."""
    for folder in sorted(path for path in out.rglob("*") if path.is_dir()):
        (folder / "__init__.py").write_text(INIT_TEXT, encoding="utf-8")
    for top in sorted(path for path in out.iterdir() if path.is_dir()):
        (top / "py.typed").touch()


def generated_files(folder: Path) -> set[Path]:
    """Return relative paths of all files of a tree but Python's own caches."""
    return {
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def differences(fresh: Path, current: Path) -> list[str]:
    """Return what a run would do to `current`, one line per file; empty when it is up to date."""
    new, old = generated_files(fresh), generated_files(current)
    changed = [path for path in new & old if not _same(fresh / path, current / path)]
    lines = [f"missing {path}" for path in new - old]
    lines += [f"stale {path}" for path in old - new]
    lines += [f"changed {path}" for path in changed]
    return sorted(lines)


def _same(one: Path, other: Path) -> bool:
    return filecmp.cmp(one, other, shallow=False)


def write(fresh: Path, current: Path) -> None:
    """Make `current` equal to `fresh`; files that stay the same keep their time stamps."""
    for path in sorted(generated_files(current) - generated_files(fresh)):
        (current / path).unlink()
    for path in sorted(generated_files(fresh)):
        target = current / path
        if not target.exists() or not _same(fresh / path, target):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((fresh / path).read_bytes())
    _remove_empty_folders(current)


def _remove_empty_folders(folder: Path) -> None:
    """Remove empty folders, deepest first.

    A folder with nothing but a cache in it counts as empty.
    """
    for path in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
        if path.name == "__pycache__" or generated_files(path):
            continue
        for leftover in sorted(path.rglob("*"), reverse=True):
            leftover.rmdir() if leftover.is_dir() else leftover.unlink()
        path.rmdir()


def main(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    parser.add_argument("--protos", type=Path, default=ROOT / "protos")
    parser.add_argument("--out", type=Path, default=ROOT / "gen")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        try:
            run_protoc(options.protos, fresh)
        except GenerationError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        add_package_files(fresh)
        found = differences(fresh, options.out)
        if not options.check:
            write(fresh, options.out)
    for line in found:
        sys.stdout.write(f"{line}\n")
    if found and options.check:
        sys.stderr.write("generated code is not what protos/ gives: run `make gen`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
