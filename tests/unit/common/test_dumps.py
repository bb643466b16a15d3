"""A process that holds seeds leaves no core file and shows its memory to nobody."""

import os
import subprocess
import sys

import pytest

_BEGIN = """
import ctypes, os, resource
from libs.common.dumps import forbid_dumps
forbid_dumps()
"""


def test_a_crash_leaves_no_core_file() -> None:
    child = os.posix_spawn(
        sys.executable, [sys.executable, "-c", f"{_BEGIN}os.abort()"], os.environ
    )
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert not os.WCOREDUMP(status)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's")
def test_others_of_the_same_user_cannot_read_its_memory() -> None:
    get_dumpable = 3
    script = f"{_BEGIN}print(ctypes.CDLL(None).prctl({get_dumpable}, 0, 0, 0, 0))"
    ended = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    assert ended.stdout.split() == [b"0"]
