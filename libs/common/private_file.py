"""Files that only we can read."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def new_private_file(path: Path) -> BinaryIO:
    """Make a file that only we can read, open for writing.

    Raise FileExistsError when there is one.
    """
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


@contextmanager
def whole_private_file(path: Path) -> Iterator[BinaryIO]:
    """Make a file as new_private_file does, and delete it when the block fails.

    So a file that is not whole is in nobody's way.
    """
    with new_private_file(path) as file:
        try:
            yield file
        except BaseException:
            path.unlink()
            raise
