"""The process between us and a program, which ends it when we are gone.

    python guard.py PROGRAM ARGUMENT...

A program that finds nothing never ends, also when whoever started it was killed. Standard input is
a pipe that ends with that process; the program then ends, too, with all that it has started: a
script that calls a miner ends without it.
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import NoReturn


def main() -> NoReturn:
    """Run the program until it ends, or until standard input does; end with its status."""
    # Ctrl-C goes to all processes of a terminal; whoever started this one decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    program = subprocess.Popen(  # noqa: S603
        sys.argv[1:], stdin=subprocess.DEVNULL, process_group=0
    )

    def kill() -> None:
        # macOS refuses to kill a group that has zombies only.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(program.pid, signal.SIGKILL)

    def watch() -> None:
        while os.read(0, 4096):
            pass
        kill()

    threading.Thread(target=watch, daemon=True).start()
    status = program.wait()
    kill()
    # At once: the thread still reads.
    os._exit(max(status, 0))


if __name__ == "__main__":
    main()
