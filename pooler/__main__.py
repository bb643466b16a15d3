"""python -m pooler: runs the reference pooler against any pool."""

import sys


def main() -> int:
    """Run the command; Ctrl-C ends it without a trace, also while its code is being read."""
    try:
        from libs.common.stdout import with_output  # noqa: PLC0415
        from pooler.command import app  # noqa: PLC0415  (reading it takes a while)

        return with_output("pooler", lambda: int(app() or 0))
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
