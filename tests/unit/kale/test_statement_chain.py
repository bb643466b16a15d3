"""A statement beside what a node tells: what is confirmed, what cannot be told, what is wrong."""

from dataclasses import replace

import pytest

from libs.kale.statements.chain import (
    SeenTransaction,
    Standing,
    compare,
    wanted,
)
from libs.kale.statements.checking import check
from libs.kale.statements.document import File
from libs.kale.statements.lines import moved
from libs.kale.statements.owners import OwnerKind
from libs.kale.statements.roots import Root, entry_value
from libs.kale.statements.tables import lines_csv, tax_csv
from tests.support.statements import (
    FIRST,
    Pool,
    deposit_line,
    pool_of,
    pool_of_fees,
    text_of,
)

POOL = pool_of()


def file_of(pool: Pool = POOL) -> File:
    """The file of a pool's statement."""
    found = check(text_of(pool.document())).file
    assert found is not None
    return found


FILE = file_of()
NEWEST = FILE.statement.roots[-1]
ENTRY = entry_value(NEWEST.day, NEWEST.record)
SEEN = {
    line.texts[5]: SeenTransaction(ledger=line.ledger, succeeded=True, moves=(moved(line.amounts),))
    for line in FILE.lines
}
NAME = FILE.lines[3].texts[5]


def places(change: dict[str, SeenTransaction | None], oldest: int = 1) -> list[str]:
    """Where findings are when the node tells other things of some transactions."""
    seen = {name: one for name, one in (SEEN | change).items() if one is not None}
    found = compare(FILE, entry=ENTRY, seen=seen, oldest=oldest)
    return [one.where for one in found.findings]


def test_a_node_that_says_the_same_confirms_everything() -> None:
    found = compare(FILE, entry=ENTRY, seen=SEEN, oldest=1)
    assert found.findings == []
    assert set(found.standings) == {Standing.CONFIRMED}
    assert found.root == "that of 2026-02-01"
    assert len(wanted(FILE, oldest=1)) == len(FILE.lines)


def test_lines_that_are_older_than_a_node_remembers_are_no_finding() -> None:
    middle = FILE.lines[10].ledger
    seen = {name: one for name, one in SEEN.items() if one.ledger >= middle}
    found = compare(FILE, entry=ENTRY, seen=seen, oldest=middle)
    assert found.findings == []
    assert found.standings[:10] == [Standing.TOO_OLD] * 10
    assert set(found.standings[10:]) == {Standing.CONFIRMED}
    assert len(wanted(FILE, oldest=middle)) == len(FILE.lines) - 10


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (None, "lines[3].transactionHash"),
        (replace(SEEN[NAME], ledger=7), "lines[3].ledger"),
        (replace(SEEN[NAME], succeeded=False), "lines[3].transactionHash"),
        (replace(SEEN[NAME], moves=(1,)), "lines[3].amounts"),
        (replace(SEEN[NAME], moves=()), "lines[3].amounts"),
    ],
)
def test_what_the_chain_says_otherwise_is_named(change: SeenTransaction | None, where: str) -> None:
    assert places({NAME: change}) == [where]


def test_amounts_that_a_node_does_not_tell_are_no_finding() -> None:
    seen = SEEN | {NAME: replace(SEEN[NAME], moves=None)}
    found = compare(FILE, entry=ENTRY, seen=seen, oldest=1)
    assert (found.findings, found.standings[3]) == ([], Standing.HAPPENED)


def test_a_part_of_a_transaction_may_stand_in_another_statement() -> None:
    (move,) = SEEN[NAME].moves or ()
    assert places({NAME: replace(SEEN[NAME], moves=(500, move, -3))}) == []
    assert places({NAME: replace(SEEN[NAME], moves=(move - 1, 1))}) == []


@pytest.mark.parametrize("is_whole", [True, False], ids=["whole", "part"])
def test_fees_leave_by_two_payments(is_whole: bool) -> None:
    pool = Pool()
    fees = {"chain:moved": -30, "chain:out": 20, "operator:fee": -20, "pooler:held": 30}
    paid = replace(
        deposit_line(2, day=FIRST), kind="fee_payout", amounts=tuple(sorted(fees.items()))
    )
    own = replace(
        deposit_line(3, day=FIRST),
        kind="payout",
        amounts=(("chain:out", 700), ("farmer:pending_out", -700)),
        transaction_hash=paid.transaction_hash,
        ledger=paid.ledger,
    )
    pool.close(FIRST, [deposit_line(1, day=FIRST), paid, *[own] * is_whole])
    file = file_of(pool)
    entry = entry_value(FIRST, file.statement.roots[-1].record)
    deposit, payout = (line.texts[5] for line in file.lines[:2])
    seen = {
        deposit: SeenTransaction(ledger=file.lines[0].ledger, succeeded=True, moves=(5000,)),
        payout: SeenTransaction(ledger=paid.ledger, succeeded=True, moves=(-700, -30, -20)),
    }
    assert compare(file, entry=entry, seen=seen, oldest=1).findings == []
    seen[payout] = replace(seen[payout], moves=(-700, -30, -21))
    assert len(compare(file, entry=entry, seen=seen, oldest=1).findings) == 1 + is_whole


def test_lines_without_a_transaction_are_told_apart() -> None:
    pool = Pool()
    asked = replace(deposit_line(1, day=FIRST), ledger=0, transaction_hash="", kind="withdrawal")
    denied = replace(deposit_line(2, day=FIRST), kind="denial")
    pool.close(FIRST, [asked, denied])
    file = file_of(pool)
    entry = entry_value(FIRST, file.statement.roots[-1].record)
    found = compare(file, entry=entry, seen={}, oldest=1)
    assert found.findings == []
    assert found.standings == [Standing.WITHOUT, Standing.DENIED]


def further(days: int) -> list[Root]:
    """Roots that came after the file was saved."""
    pool = pool_of()
    for place in range(days):
        pool.close(NEWEST.day + 1 + place, [])
    return pool.roots[-days:]


def test_a_newer_root_needs_those_in_between() -> None:
    later = further(3)
    entry = entry_value(later[-1].day, later[-1].record)
    assert compare(FILE, entry=entry, further=later, seen=SEEN, oldest=1).findings == []
    for known in ([], later[:-1]):
        found = compare(FILE, entry=entry, further=known, seen=SEEN, oldest=1)
        assert [one.where for one in found.findings] == ["roots"]
    found = compare(FILE, entry=entry, further=later[1:], seen=SEEN, oldest=1)
    assert [one.where for one in found.findings] == ["roots"]


@pytest.mark.parametrize(
    ("entry", "where"),
    [
        (None, "roots[0].account"),
        (b"something else", "roots[0].account"),
        (entry_value(2**32 - 1, bytes(32)), "roots[0].account"),
        (entry_value(NEWEST.day, bytes(32)), "roots"),
        (entry_value(NEWEST.day - 1, bytes(32)), "roots"),
        (entry_value(FIRST, FILE.statement.roots[1].record), "roots"),
    ],
)
def test_another_root_on_the_chain_is_a_finding(entry: bytes | None, where: str) -> None:
    found = compare(FILE, entry=entry, seen=SEEN, oldest=1)
    assert [one.where for one in found.findings] == [where]


def test_one_that_is_not_the_newest_will_do_once_it_covers_the_statement() -> None:
    closing = FILE.statement.roots[-2]
    assert closing.day == FILE.statement.closing.day
    found = compare(FILE, entry=entry_value(closing.day, closing.record), seen=SEEN, oldest=1)
    assert (found.findings, found.root) == ([], "that of 2026-01-04")


def test_csv_has_every_line_with_what_the_accounts_have_afterwards() -> None:
    rows = [row.split(",") for row in lines_csv(FILE).splitlines()]
    assert rows[0][:6] == ["date", "kind", "block", "ledger", "transaction", "available"]
    assert len(rows) == 1 + len(FILE.lines)
    assert {len(row) for row in rows} == {20}
    closing = dict(FILE.statement.closing.amounts)
    assert rows[-1][15] == f"0.{closing['farmer:available']:07d}"
    assert rows[1][:2] == ["2026-01-01T00:00:00.012Z", "plant"]


def test_csv_for_taxes_has_income_and_what_left_and_no_moves_between_own_accounts() -> None:
    pool = Pool()
    day = FIRST
    harvest = replace(
        deposit_line(2, day=day),
        kind="harvest",
        amounts=(
            ("chain:mint", -1000),
            ("farmer:available", 950),
            ("farmer:staked", -50),
            ("operator:fee", 40),
            ("pooler:fee", 60),
        ),
    )
    lines = [
        deposit_line(1, day=day),
        harvest,
        replace(
            deposit_line(3, day=day),
            kind="payout",
            amounts=(("chain:out", 700), ("farmer:pending_out", -700)),
        ),
        replace(
            deposit_line(4, day=day),
            kind="loss",
            amounts=(("chain:burn", 30), ("farmer:staked", -30)),
        ),
        replace(
            deposit_line(5, day=day),
            kind="withdrawal",
            amounts=(("farmer:available", -700), ("farmer:pending_out", 700)),
        ),
        replace(
            deposit_line(6, day=day),
            kind="denial",
            amounts=(("chain:mint", 100), ("farmer:available", -90), ("pooler:fee", -10)),
        ),
    ]
    pool.close(day, lines)
    rows = [row.split(",") for row in tax_csv(file_of(pool)).splitlines()]
    assert [row[1:5] for row in rows[1:]] == [
        ["received", "0.0005000", "0.0000000", "0.0005000"],
        ["income", "0.0001000", "0.0000100", "0.0000900"],
        ["paid out", "-0.0000700", "0.0000000", "-0.0000700"],
        ["stake lost", "-0.0000030", "0.0000000", "-0.0000030"],
        ["income taken back", "-0.0000100", "-0.0000010", "-0.0000090"],
    ]


@pytest.mark.parametrize(
    ("kind", "moves"),
    [
        # Harvests and credits move nothing at its own address.
        (OwnerKind.POOLER, [0, 0, 100, -15, -70]),
        (OwnerKind.MINER, [0, 25]),
    ],
)
def test_payments_of_poolers_and_miners_are_compared_at_their_addresses(
    kind: OwnerKind, moves: list[int]
) -> None:
    pool = pool_of_fees(kind)
    file = file_of(pool)
    newest = file.statement.roots[-1]
    entry = entry_value(newest.day, newest.record)
    seen = {
        line.texts[5]: SeenTransaction(
            ledger=line.ledger, succeeded=True, moves=(move,) if move else ()
        )
        for line, move in zip(file.lines, moves * 3, strict=True)
    }
    found = compare(file, entry=entry, seen=seen, oldest=1)
    assert (found.findings, set(found.standings)) == ([], {Standing.CONFIRMED})
    for place, line in enumerate(file.lines):
        one = seen[line.texts[5]]
        wrong = replace(one, moves=(sum(one.moves or ()) + 1,))
        told = compare(file, entry=entry, seen={**seen, line.texts[5]: wrong}, oldest=1).findings
        # What a harvest moved besides belongs to others' statements.
        named = [f"lines[{place}].amounts"] if moves[place % len(moves)] else []
        assert [finding.where for finding in told] == named
