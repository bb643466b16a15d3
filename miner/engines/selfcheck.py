"""A check of an engine before its first block: it must find exactly what the judge finds."""

from collections.abc import Sequence

from miner.engine import Hit, Scanner, Slice
from miner.judge import found, head_of, most_head
from miner.model import Target, Work, WrongFindError

#: Block and farmers without a meaning; every byte of them differs.
PIECE = Work(
    index=0x01020304,
    entropy=bytes(range(0x10, 0x30)),
    targets=tuple(Target(key=bytes(range(start, start + 32))) for start in (0x40, 0x80, 0xC0)),
)
#: Runs that begin anywhere, have odd lengths, and cross the boundary between a nonce's halves.
_RUNS = ((0, 5), (2**32 - 77, 154), (0x1122334455667788, 301), (2**63 - 1, 1))


def check(scanner: Scanner) -> None:
    """Raise WrongFindError when the scanner of PIECE finds more or less than the judge does."""
    for zeros in (0, 1):
        for target in range(len(PIECE.targets)):
            for first, count in _RUNS:
                piece = Slice(target, first, count, most_head(zeros))
                if (told := all_hits(scanner, piece)) != (true := _true_hits(piece)):
                    raise WrongFindError(
                        f"of {count} nonces from {first} it finds {len(told)}, "
                        f"and {len(true)} are good"
                    )


def all_hits(scanner: Scanner, piece: Slice) -> Sequence[Hit]:
    """Return all hits of a slice in order, by a scanner that may end a slice at its first."""
    hits: list[Hit] = []
    rest = piece
    while rest.nonces > 0:
        scan = scanner.scan([rest])
        if not scan.hits:
            break
        hits += scan.hits
        if scan.hashes >= rest.nonces:
            break
        rest = rest._replace(first=rest.first + scan.hashes, nonces=rest.nonces - scan.hashes)
    return sorted(hits)


def _true_hits(piece: Slice) -> Sequence[Hit]:
    return [
        Hit(piece.target, nonce)
        for nonce in range(piece.first, piece.first + piece.nonces)
        if head_of(found(PIECE, piece.target, nonce).digest) <= piece.at_most
    ]
