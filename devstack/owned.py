"""python -m devstack.owned -m MODULE ... or -c CODE ...: ends when its owner is gone.

The owner has the other end of a pipe, and never writes into it: however the owner ends, kill -9
included, the pipe ends with it. Then the process gets SIGTERM, and is killed when it goes on.
"""

import os
import runpy
import signal
import sys
import threading
import time

#: Variable with the number of the pipe's end that is read.
PIPE_VARIABLE = "OWNER_PIPE"
#: Seconds from SIGTERM to the kill: less than who waits for a pool to end has patience.
GRACE = 20.0


def _follow(pipe: int) -> None:
    """End this process when the pipe ends."""
    os.read(pipe, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Run the module or the code as Python does, in the same process."""
    pipe = int(os.environ.pop(PIPE_VARIABLE))
    os.set_inheritable(pipe, False)
    threading.Thread(target=_follow, args=(pipe,), daemon=True).start()
    how, what, *arguments = sys.argv[1:]
    if how == "-m":
        sys.argv = [what, *arguments]
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        sys.argv = [how, *arguments]
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102  (our own)


if __name__ == "__main__":
    main()
