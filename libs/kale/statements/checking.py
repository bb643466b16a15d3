"""What is wrong with the file of a statement, as far as the file itself tells.

Each thing is named: the line and the field that was changed, or what two parts of the file say
differently. Whether the newest root stands on the chain, and whether the transactions happened, is
for a Stellar node to tell (cli/stellar.py).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

from libs.kale.statements.document import (
    Amounts,
    File,
    ReadLine,
    ShapeError,
    Statement,
    Total,
    read_file,
    root_texts,
)
from libs.kale.statements.lines import (
    FIELDS,
    NO_HISTORY,
    checks_of,
    digest_of,
    history_after,
)
from libs.kale.statements.owners import ROLES
from libs.kale.statements.roots import NO_RECORD, Root, broken_at, day_text, days_of
from libs.kale.statements.sums_tree import (
    Claim,
    ClaimError,
    PathError,
    depth_of,
    leaf_of,
    root_above,
)

_amount = itemgetter(1)
_CHANGED = "was changed"
_OTHER_COUNT = "is not of so many fields as there are"
#: Digits of a checksum.
_DIGITS = 8


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that is wrong."""

    #: Which field of the file: lines[3].ledger.
    where: str
    #: What is wrong with it.
    what: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a look at a file found."""

    #: What is wrong; none in a sound file.
    findings: Sequence[Finding]
    #: The statement; None when the file is none.
    file: File | None = None


def check(text: str) -> Verdict:
    """Check a file's sums, its tree and its roots, without asking anybody.

    Fields that were changed are named one by one; what depends on them would only say the same
    again, and is told when no single field was.
    """
    try:
        file = read_file(text)
    except ShapeError as error:
        return Verdict(findings=[Finding(where=error.where, what=error.what)])
    changed, contradictions = list(_changed_fields(file)), list(_contradictions(file))
    if changed and not contradictions:
        # All that is said fits: what was changed are checksums.
        changed = [_checksum(finding) for finding in changed]
    elif contradictions:
        changed = [finding for finding in changed if finding.what != _OTHER_COUNT]
    return Verdict(findings=changed or contradictions, file=file)


def _checksum(finding: Finding) -> Finding:
    """Return the finding of the checksums of a field; of a line it was known before."""
    path = finding.where if finding.where.startswith("lines[") else ""
    if finding.where.startswith("roots["):
        path = finding.where.partition(".")[0] + ".checks"
    return Finding(where=path or "checks", what=_CHANGED)


def _changed_fields(file: File) -> Iterator[Finding]:
    texts = file.statement.texts
    yield from _named(texts, file.checks, "")
    for place, one in enumerate(file.roots):
        yield from _named(root_texts(one.root, one.record), one.checks, f"roots[{place}].")
    for place, line in enumerate(file.lines):
        if _digest(line, line.checks) != line.digest:
            yield from _changed_in(line, f"lines[{place}].")


def _named(texts: Sequence[tuple[str, str]], checks: str, path: str) -> Iterator[Finding]:
    """Yield the fields whose checksums are others."""
    expected = checks_of([text for _, text in texts])
    if checks == expected:
        return
    if len(checks) != len(expected):
        yield Finding(where=f"{path}checks", what=_OTHER_COUNT)
        return
    wrong = [
        name
        for place, (name, _) in enumerate(texts)
        if _part(checks, place) != _part(expected, place)
    ]
    for name in wrong:
        yield Finding(where=f"{path}{name}", what=_CHANGED)


def _part(checks: str, place: int) -> str:
    return checks[place * _DIGITS : (place + 1) * _DIGITS]


def _digest(line: ReadLine, checks: str) -> bytes:
    """Return the digest of a line; nothing for one that says what no line can."""
    try:
        return digest_of(line.texts, checks)
    except ClaimError:
        return b""


def _changed_in(line: ReadLine, path: str) -> Iterator[Finding]:
    """Yield what was changed in a line whose digest is another."""
    expected = checks_of(line.texts)
    if line.checks == expected:
        yield Finding(where=f"{path}digest", what=f"{_CHANGED}, or several fields were")
    elif _digest(line, expected) == line.digest:
        yield Finding(where=f"{path}checks", what=_CHANGED)
    else:
        named = list(zip(FIELDS, line.texts, strict=True))
        yield from (
            Finding(where=one.where, what=_CHANGED) for one in _named(named, line.checks, path)
        )


def _contradictions(file: File) -> Iterator[Finding]:
    """Yield what two parts of the file say differently."""
    yield from _wrong_roots(file)
    yield from _wrong_days(file.statement)
    yield from _wrong_lines(file)
    yield from _wrong_sums(file)
    yield from _wrong_leaf(file.statement)


def _wrong_roots(file: File) -> Iterator[Finding]:
    for place, one in enumerate(file.roots):
        if one.root.record.hex() != one.record:
            yield Finding(where=f"roots[{place}].record", what="is not that of this root")
    broken = broken_at(file.statement.roots)
    if not file.roots:
        yield Finding(where="roots", what="are missing")
    if broken is not None:
        yield Finding(
            where=f"roots[{broken}].previous", what="is not the record of the root before"
        )


def _wrong_days(statement: Statement) -> Iterator[Finding]:
    first, following = days_of(statement.month)
    opening, closing = statement.opening, statement.closing
    if closing.day is None or not first <= closing.day < following:
        yield Finding(where="closing.day", what="is not in the month")
    days = [root.day for root in statement.roots]
    if closing.day not in days:
        yield Finding(where="closing.day", what="has no root")
    if opening.day is None:
        if opening.amounts or opening.history != NO_HISTORY:
            yield Finding(where="opening", what="has something before anything was booked")
        if days and statement.roots[0].previous != NO_RECORD:
            yield Finding(where="roots[0]", what="is not the first of all")
    elif not days or opening.day != days[0] or opening.day >= first:
        yield Finding(
            where="opening.day", what="is not the day of the first root, before the month"
        )
    elif any(opening.day < day < first for day in days):
        yield Finding(where="opening.day", what="is not the last day before the month")


def _period(statement: Statement) -> list[Root]:
    """Return the roots of the days in which the lines were booked."""
    first = -1 if statement.opening.day is None else statement.opening.day
    last = -1 if statement.closing.day is None else statement.closing.day
    return [root for root in statement.roots if first < root.day <= last]


def _wrong_lines(file: File) -> Iterator[Finding]:
    """Yield whether the lines are those that the leaf covers: all of them, in their order."""
    statement, history, at = file.statement, file.statement.opening.history, 0
    opening = next((one for one in statement.roots if one.day == statement.opening.day), None)
    before = 0 if opening is None else opening.last_journal
    for root in _period(statement):
        digests: list[bytes] = []
        while at < len(file.lines) and file.lines[at].number <= root.last_journal:
            if file.lines[at].number <= before:
                yield Finding(where=f"lines[{at}].number", what="is not after the line before")
            before = file.lines[at].number
            digests.append(file.lines[at].digest)
            at += 1
        history = history_after(history, root.day, digests)
    if at < len(file.lines):
        yield Finding(where=f"lines[{at}].number", what="is after the closing")
    if history != statement.closing.history:
        yield Finding(where="lines", what="are not all that was booked, or others")


def _wrong_sums(file: File) -> Iterator[Finding]:
    statement = file.statement
    totals = totals_of(file.lines)
    for place, line in enumerate(file.lines):
        if sum(map(_amount, line.amounts)):
            yield Finding(where=f"lines[{place}].amounts", what="do not add up to nothing")
    if totals != statement.totals:
        yield Finding(where="totals", what="are not those of the lines")
    moved = Counter(dict(statement.opening.amounts))
    for total in totals:
        for role, amount in total.amounts:
            if role in ROLES[statement.owner.kind]:
                moved[role] += amount
    if _amounts(moved) != statement.closing.amounts:
        yield Finding(
            where="closing.balances", what="are not the opening's and what the lines move"
        )


def totals_of(lines: Sequence[ReadLine]) -> tuple[Total, ...]:
    """Return what lines come to by kind."""
    counts = Counter(line.texts[1] for line in lines)
    sums: dict[str, Counter[str]] = {kind: Counter() for kind in counts}
    for line in lines:
        of_kind = sums[line.texts[1]]
        for role, amount in line.amounts:
            of_kind[role] += amount
    return tuple(
        Total(kind=kind, lines=counts[kind], amounts=_amounts(sums[kind])) for kind in sorted(sums)
    )


def _amounts(sums: Counter[str]) -> Amounts:
    return tuple(sorted((role, amount) for role, amount in sums.items() if amount))


def _wrong_leaf(statement: Statement) -> Iterator[Finding]:
    proof, closing = statement.proof, statement.closing
    if proof is None:
        yield Finding(
            where="leaf", what="is missing: the balance was below zero, and no tree covers this"
        )
        return
    try:
        leaf = leaf_of(
            Claim(
                owner=statement.owner.id,
                address=statement.address,
                balances=closing.amounts,
                history=closing.history,
                salt=proof.salt,
            )
        )
        found = root_above(proof.leaf, proof.path)
    except PathError as error:
        yield Finding(where=f"leaf.path[{error.step}]", what=str(error))
        return
    except ClaimError as error:
        yield Finding(where="closing.balances", what=str(error))
        return
    if leaf != proof.leaf:
        yield Finding(where="leaf", what="is not that of this owner and closing")
    for root in statement.roots:
        if root.day != closing.day:
            continue
        if len(proof.path) != depth_of(root.leaves):
            yield Finding(where="leaf.path", what=f"has not the steps of {root.leaves} leaves")
        elif found != root.node:
            yield Finding(
                where="leaf.path", what=f"does not lead to the root of {day_text(root.day)}"
            )
