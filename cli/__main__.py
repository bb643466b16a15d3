"""python -m cli, and the command kalepool."""

import sys


def main() -> int:
    """Run the command; Ctrl-C ends it without a trace, also while its code is being read."""
    try:
        # Reading the code takes a while.
        import client  # noqa: F401, PLC0415  (silences gRPC's core, before gRPC is imported)
        from cli.main import main as run  # noqa: PLC0415

        return run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
