"""Files that only we can read, and that are there whole or not at all."""

from pathlib import Path

import pytest

from libs.common.private_file import new_private_file, whole_private_file


def test_a_private_file_is_ours_alone_and_new(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with new_private_file(path) as file:
        file.write(b"a")
    assert path.read_bytes() == b"a"
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        new_private_file(path)
    assert path.read_bytes() == b"a"


def test_a_file_that_is_not_whole_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(KeyboardInterrupt), whole_private_file(path) as file:
        file.write(b"a")
        raise KeyboardInterrupt
    assert not path.exists()
    with whole_private_file(path) as file:
        file.write(b"b")
    assert path.read_bytes() == b"b"
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError), whole_private_file(path):
        pass
    assert path.read_bytes() == b"b"
