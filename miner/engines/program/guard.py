"""The process between us and a program, which ends it when we are gone.

    python guard.py PROGRAM ARGUMENT...

A program that finds nothing never ends, also when whoever started it was killed. Standard input is
a pipe that ends with that process; the program then ends, too.
"""

import os
import signal
import subprocess
import sys
import threading
from typing import NoReturn


def main() -> NoReturn:
    """Run the program until it ends, or until standard input does; end with its status."""
    # Ctrl-C goes to all processes of a terminal; whoever started this one decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)  # noqa: S603

    def watch() -> None:
        while os.read(0, 4096):
            pass
        program.kill()

    threading.Thread(target=watch, daemon=True).start()
    # At once: the thread still reads.
    os._exit(max(program.wait(), 0))


if __name__ == "__main__":
    main()
