"""Copies of the working tree: a mutant is written into a copy and never into the tree itself."""

import os
import shutil
import subprocess
import time
from pathlib import Path


def listed_files(root: Path) -> list[str]:
    """Return the files that git has or would add, relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],  # noqa: S607
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return sorted(name for name in set(listed.split("\0")) if name and (root / name).is_file())


class Tree:
    """One copy of the tree."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder = folder
        self._root = root
        # A compiled file is valid as long as the time and the size of its source are the same:
        # every write gets a time of its own.
        self._time = int(time.time())

    def refresh(self) -> None:
        """Make the copy equal to the working tree as it is now."""
        files = set(listed_files(self._root))
        for old in _files_in(self.folder) - files:
            (self.folder / old).unlink()
        for name in sorted(files):
            source, target = self._root / name, self.folder / name
            if target.is_file() and target.read_bytes() == source.read_bytes():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)

    def write(self, path: str, text: str) -> None:
        """Write another text into a file of the copy."""
        target = self.folder / path
        target.write_text(text, encoding="utf-8")
        self._time += 2
        os.utime(target, (self._time, self._time))

    def environment(self) -> dict[str, str]:
        """Return the environment of processes in the copy.

        The processes import from the copy, whatever is installed.
        """
        places = [str(self.folder), str(self.folder / "gen"), os.environ.get("PYTHONPATH", "")]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(place for place in places if place)}


def _files_in(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and ".hypothesis" not in path.parts
    }
