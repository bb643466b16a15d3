"""python -m miner, and the command miner."""

import sys


def main() -> int:
    """Run the command; Ctrl-C ends it without a trace, also while its code is being read."""
    try:
        from miner.command import main as run  # noqa: PLC0415  (reading it takes a while)

        return run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
