"""A statement beside what a Stellar node tells: the root in the data entry, and transactions."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, unique

from libs.kale.statements.checking import Finding
from libs.kale.statements.document import File, ReadLine
from libs.kale.statements.owners import OwnerKind, moves_at_address
from libs.kale.statements.roots import Root, broken_at, day_text, read_entry

#: The kind of line that takes back what the chain has no trace of.
_DENIAL = "denial"


@dataclass(frozen=True, kw_only=True)
class SeenTransaction:
    """A transaction as a node tells it."""

    #: Its ledger.
    ledger: int
    #: Whether it succeeded.
    succeeded: bool
    #: Stroops of KALE that each of its events gave the owner's address (below zero: took); None
    #: when the node does not tell.
    moves: tuple[int, ...] | None


@unique
class Standing(Enum):
    """What a node could tell of a line."""

    #: Its transaction happened as the line says.
    CONFIRMED = "confirmed"
    #: It happened, but the node does not tell amounts.
    HAPPENED = "happened, amounts not told"
    #: It is older than what the node remembers.
    TOO_OLD = "older than the node remembers"
    #: No transaction did it: a withdrawal that was asked for, a stake that is lost.
    WITHOUT = "no transaction"
    #: The chain has no trace of it, and so the pool says.
    DENIED = "taken back"
    #: The chain says otherwise.
    WRONG = "wrong"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a node's word makes of a statement."""

    #: What is wrong.
    findings: Sequence[Finding]
    #: Of each line, what could be told.
    standings: Sequence[Standing]
    #: The day whose root stands in the data entry, in words.
    root: str


def wanted(file: File, *, oldest: int) -> list[str]:
    """Return the hashes of the transactions to ask for: those that the node still has."""
    return sorted({_hash(line) for line in file.lines if _hash(line) and line.ledger >= oldest})


def compare(
    file: File,
    *,
    further: Sequence[Root] = (),
    entry: bytes | None,
    seen: Mapping[str, SeenTransaction],
    oldest: int,
) -> Comparison:
    """Compare a statement with the data entry's value and the transactions that were found.

    `further` are roots that came after the statement was saved, `oldest` the first ledger that the
    node remembers.
    """
    findings = list[Finding]()
    root = _root_on_chain(file, further, entry, findings)
    standings = [Standing.WITHOUT] * len(file.lines)
    together = defaultdict[str, list[int]](list)
    for place, line in enumerate(file.lines):
        if _hash(line):
            together[_hash(line)].append(place)
    for name, places in together.items():
        lines = [file.lines[place] for place in places]
        kind = file.statement.owner.kind
        standing = _standing(kind, lines, seen.get(name), oldest=oldest)
        if isinstance(standing, str):
            findings += [
                Finding(where=f"lines[{place}].{_field(standing)}", what=standing)
                for place in places
            ]
            standing = Standing.WRONG
        for place in places:
            standings[place] = standing
    return Comparison(findings=findings, standings=standings, root=root)


def _hash(line: ReadLine) -> str:
    return line.texts[5] if line.ledger else ""


_LEDGER, _AMOUNT = "is not the ledger of the transaction", "is not what the transaction moved"
_MISSING, _FAILED = "is no transaction of the chain", "is a transaction that failed"


def _field(wrong: str) -> str:
    return {_LEDGER: "ledger", _AMOUNT: "amounts"}.get(wrong, "transactionHash")


def _standing(
    kind: OwnerKind, lines: Sequence[ReadLine], found: SeenTransaction | None, *, oldest: int
) -> Standing | str:
    """Return how lines of one transaction stand, or what is wrong with them."""
    moves = [move for line in lines for move in moves_at_address(kind, line.amounts)]
    if any(line.texts[1] == _DENIAL for line in lines):
        return Standing.DENIED
    if found is None:
        is_old = any(line.ledger < oldest for line in lines)
        return Standing.TOO_OLD if is_old else _MISSING
    if any(line.ledger != found.ledger for line in lines):
        return _LEDGER
    if not found.succeeded:
        return _FAILED if any(moves) else Standing.CONFIRMED
    if found.moves is None:
        return Standing.HAPPENED
    return Standing.CONFIRMED if _fits(moves, found.moves) else _AMOUNT


def _fits(moves: Sequence[int], events: Sequence[int]) -> bool:
    """Tell whether lines say what events say: all of it, or, as a part of the transaction may stand
    in another statement, some of the events, one for each payment."""
    if sum(moves) == sum(events):
        return True
    return not Counter(move for move in moves if move) - Counter(events)


def _root_on_chain(
    file: File, further: Sequence[Root], entry: bytes | None, findings: list[Finding]
) -> str:
    """Return in words which root stands on the chain; add what is wrong with it."""
    roots = list(_joined(file.statement.roots, further))
    closing = file.statement.closing.day or 0
    if broken_at(roots) is not None:
        findings.append(Finding(where="roots", what="do not follow each other with those given"))
        return "not compared"
    try:
        day, record = read_entry(entry or b"")
    except ValueError:
        findings.append(Finding(where="roots[0].account", what="has no root in its data entry"))
        return "none"
    known = {root.day: root for root in roots}
    if day > roots[-1].day:
        findings.append(
            Finding(
                where="roots",
                what=f"end before that of {day_text(day)}, which the chain has: save the statement "
                "again, or give the roots since then",
            )
        )
    elif day not in known or known[day].record != record:
        findings.append(
            Finding(where="roots", what=f"are not those that the chain has for {day_text(day)}")
        )
    elif day < closing:
        findings.append(
            Finding(where="roots", what=f"are on the chain until {day_text(day)} only, so far")
        )
    else:
        return f"that of {day_text(day)}"
    return f"another, of {day_text(day)}"


def _joined(roots: Sequence[Root], further: Sequence[Root]) -> Iterator[Root]:
    yield from roots
    yield from sorted((one for one in further if one.day > roots[-1].day), key=lambda one: one.day)
