"""python -m pooler.shares: looks after the database of shares, also while the pooler runs."""

import sys


def main() -> int:
    """Run the command; Ctrl-C ends it without a trace."""
    try:
        from pooler.shares.command import app  # noqa: PLC0415  (reading it takes a while)

        return int(app() or 0)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
