"""Attacks on the audit log: by wallet's own role, and by somebody with all rights on the database.

What wallet's role tries is refused. Whoever has all rights can do anything; that it is found is
what counts. Each attack is in a transaction that is rolled back.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import asyncpg

from backup.contents import audit_state
from backup.seal import BackupError
from services.wallet.domain.audit import GENESIS, Act, Action, Head, Record, chained

Connection: TypeAlias = "asyncpg.Connection[Any]"
Attack: TypeAlias = Callable[[Connection], Awaitable[None]]

_INSERT = """
INSERT INTO wallet.audit_log (number, at, actor, action, subject, details, previous, hash)
VALUES ($1, $2::timestamptz, 'wallet', 'sign', 'x', 'y', $3, $4)
"""
_COLUMNS = "number, at, actor, action, subject, details, previous, hash"


@dataclass(frozen=True, kw_only=True)
class Attacked:
    """An attack on the log, and what came of it."""

    #: What was done.
    name: str
    #: The database role that did it.
    role: str
    #: What stopped it, or what verify said of it; empty when nothing did.
    answer: str

    @property
    def failures(self) -> list[str]:
        """Return in words what must not be."""
        return [] if self.answer else [f"{self.name} ({self.role}) was neither refused nor found"]


async def attack_audit_log(admin_dsn: str, wallet_dsn: str) -> list[Attacked]:
    """Try every attack; the log is as it was afterwards."""
    found = [await _refused(wallet_dsn, name, attack) for name, attack in BY_WALLET.items()]
    return [*found, *[await _found(admin_dsn, name, attack) for name, attack in BY_ADMIN.items()]]


async def _refused(dsn: str, name: str, attack: Attack) -> Attacked:
    connection = await asyncpg.connect(dsn)
    transaction = connection.transaction()
    await transaction.start()
    answer = ""
    try:
        await attack(connection)
    except (asyncpg.PostgresError, asyncpg.DataError) as error:
        answer = str(error).partition("\n")[0]
    finally:
        await transaction.rollback()
        await connection.close()
    return Attacked(name=name, role="wallet", answer=answer)


async def _found(dsn: str, name: str, attack: Attack) -> Attacked:
    connection = await asyncpg.connect(dsn)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute("SET LOCAL session_replication_role = replica")
        await attack(connection)
        try:
            _, findings = await audit_state(connection)
            answer = "; ".join(findings.words()[:1])
        except BackupError as error:
            answer = str(error)
    finally:
        await transaction.rollback()
        await connection.close()
    return Attacked(name=name, role="all rights", answer=answer)


async def _records(connection: Connection) -> list[Record]:
    rows = await connection.fetch(f"SELECT {_COLUMNS} FROM wallet.audit_log ORDER BY number")  # noqa: S608  (ours)
    return [Record(**dict(row)) for row in rows]


async def _last(connection: Connection) -> Head:
    (row,) = await connection.fetch("SELECT number, hash FROM wallet.audit_head")
    return Head(number=row["number"], hash=row["hash"])


def _one(number: Callable[[Head], int], at: str = "now()", *, linked: bool = True) -> Attack:
    """Return the insertion of one record that is wrong in one way."""

    async def attack(connection: Connection) -> None:
        head = await _last(connection)
        sql = _INSERT.replace("$2::timestamptz", at)
        previous = head.hash if linked else GENESIS
        await connection.execute(
            sql.replace("$3", "$2").replace("$4", "$3"), number(head), previous, bytes(32)
        )

    return attack


def _statement(sql: str) -> Attack:
    async def attack(connection: Connection) -> None:
        await connection.execute(sql)

    return attack


#: With wallet's database password. The last ones keep nobody's record from being written.
BY_WALLET: Mapping[str, Attack] = {
    "a record with number 2^63-1": _one(lambda _: 2**63 - 1),
    "a record with the number 10^15": _one(lambda _: 10**15),
    "a record after a gap": _one(lambda head: head.number + 2),
    "a record with a number below 1": _one(lambda _: 0),
    "a record of no end of time": _one(lambda head: head.number + 1, "'infinity'"),
    "a record of the year 20000": _one(lambda head: head.number + 1, "'20000-01-01'"),
    "a record of yesterday": _one(lambda head: head.number + 1, "now() - interval '1 day'"),
    "a record with a hash of its own": _one(lambda head: head.number + 1),
    "a record that follows nothing": _one(lambda head: head.number + 1, linked=False),
    "another head": _statement("UPDATE wallet.audit_head SET number = 0"),
    "no head": _statement("DELETE FROM wallet.audit_head"),
    "an emptied log": _statement("TRUNCATE wallet.audit_log"),
    "a pause of no end of time": _statement(
        "INSERT INTO wallet.pauses (id, scope, reason, paused_by, paused_at) "
        "VALUES (gen_random_uuid(), 'everything', '', '', 'infinity')"
    ),
}


async def _rewrite(connection: Connection, records: Sequence[Record]) -> None:
    """Put a log that is sound in itself into the place of what is there."""
    head, made = Head(), []
    for record in records:
        assert record.at is not None  # noqa: S101  (it was written by wallet)
        act = Act(
            actor=record.actor,
            action=Action(record.action),
            subject=record.subject,
            details=record.details,
        )
        (one,) = chained([act], head, record.at)
        made.append(one)
        head = Head(number=one.number, hash=one.hash)
    await connection.execute("DELETE FROM wallet.audit_log")
    for one in made:
        await connection.execute(
            f"INSERT INTO wallet.audit_log ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",  # noqa: S608  (ours)
            *(one.number, one.at, one.actor, one.action),
            *(one.subject, one.details, one.previous, one.hash),
        )
    await connection.execute(
        "UPDATE wallet.audit_head SET number = $1, hash = $2", head.number, head.hash
    )


async def _empty(connection: Connection) -> None:
    await _rewrite(connection, [])


async def _cut(connection: Connection) -> None:
    records = await _records(connection)
    await _rewrite(connection, records[: len(records) // 2])


async def _without(connection: Connection, action: str) -> None:
    records = await _records(connection)
    kept = [record for record in records if record.action != action]
    assert len(kept) < len(records), f"there is no record of {action}"  # noqa: S101
    await _rewrite(connection, kept)


async def _another_amount(connection: Connection) -> None:
    records = [
        replace(record, details="1" + record.details) if record.action == "withdraw" else record
        for record in await _records(connection)
    ]
    await _rewrite(connection, records)


async def _one_more(connection: Connection) -> None:
    records = await _records(connection)
    (signed, *_) = (record for record in records if record.action == "sign")
    details = f"transaction {'0' * 8}-0000-7000-8000-{'0' * 12}, source G, sequence 1, bid 1"
    await _rewrite(connection, [*records, replace(signed, subject="ab", details=details)])


async def _without_signed(connection: Connection) -> None:
    await _without(connection, "sign")


async def _without_withdrawals(connection: Connection) -> None:
    await _without(connection, "withdraw")


async def _without_wallets(connection: Connection) -> None:
    await _without(connection, "create_wallet")


#: With all rights: triggers are off, and the head is moved along.
BY_ADMIN: Mapping[str, Attack] = {
    "an emptied log": _empty,
    "a log that was cut in the middle": _cut,
    "a log written anew without what was signed": _without_signed,
    "a log written anew without withdrawals": _without_withdrawals,
    "a log written anew without new wallets": _without_wallets,
    "a log written anew with other amounts": _another_amount,
    "a log written anew with a signature too many": _one_more,
    "a record with the number 10^15": _statement(
        f"INSERT INTO wallet.audit_log ({_COLUMNS}) "  # noqa: S608  (ours)
        "SELECT 1000000000000000, at, actor, action, subject, details, previous, hash "
        "FROM wallet.audit_log WHERE number = 1"
    ),
    "a withdrawal of another amount": _statement(
        "UPDATE wallet.withdrawals SET amount = amount + 1"
    ),
    "a withdrawal whose payment is of another amount": _statement(
        "UPDATE wallet.operations SET amount = amount + 1 WHERE kind = 'withdraw'"
    ),
    "a wallet at another address": _statement(
        "UPDATE wallet.wallets SET address = overlay(address PLACING 'XX' FROM 2 FOR 2) "
        "WHERE kind = 'payer'"
    ),
    "another word on whether a pooler farms for itself": _statement(
        "UPDATE wallet.pooler_marks SET farms_for_itself = NOT farms_for_itself"
    ),
    "another payout address": _statement(
        "UPDATE wallet.payout_addresses SET address = overlay(address PLACING 'XX' FROM 2 FOR 2)"
    ),
}
