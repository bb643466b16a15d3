"""A wall clock that can be set wrong for chosen processes, by means of libfaketime."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from shutil import copyfile

from trials.faults.refusal import NotHereError

#: The library's place in its wheel.
_LIBRARY = Path("vendor") / "libfaketime" / "src" / "libfaketime.so.1"
#: Seconds of the step that shows whether the clock works.
_TRIAL = 1_000_000


class FakeClock:
    """The clock of the processes that get its environment; steady clocks are not changed."""

    def __init__(self, folder: Path) -> None:
        """Take the folder that has the library and the file with the clock's error."""
        self._offset = folder / "offset"
        self._library = folder / _LIBRARY.name
        self.set(0)

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the environment that a process has to be started with."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._offset),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, seconds: int) -> None:
        """Set the clock this many seconds ahead from now on."""
        self._offset.write_text(f"{seconds:+d}\n", encoding="ascii")

    def works(self) -> bool:
        """Tell whether a process sees the change: the library is for some systems only."""
        shown = [self._now(seconds) for seconds in (0, _TRIAL)]
        self.set(0)
        return shown[1] - shown[0] > _TRIAL / 2

    def _now(self, seconds: int) -> float:
        self.set(seconds)
        finished = subprocess.run(
            [sys.executable, "-I", "-S", "-c", "import time; print(time.time())"],
            env=dict(self.environment),
            check=True,
            capture_output=True,
            text=True,
        )
        return float(finished.stdout)


@contextmanager
def fake_clock() -> Iterator[FakeClock]:
    """Yield a clock in a folder that every account can read; NotHereError where that cannot be."""
    spec = find_spec("libfaketime")
    if spec is None or spec.origin is None:
        raise NotHereError("the package libfaketime is not installed")
    with tempfile.TemporaryDirectory(prefix="kalepool-clock-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        copyfile(Path(spec.origin).parent / _LIBRARY, folder / _LIBRARY.name)
        clock = FakeClock(folder)
        if not clock.works():
            raise NotHereError("libfaketime does not work on this system")
        yield clock
