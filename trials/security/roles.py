"""Rights of the database roles: one table, closed by default, tried statement by statement."""

from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg

from services.migrations import role_of

#: Letters of the table: a verb on the whole table, or (small) on some columns of it.
VERBS = {"S": "SELECT", "I": "INSERT", "U": "UPDATE", "D": "DELETE", "T": "TRUNCATE"}
_READERS = {"registry": "S", "plant": "S", "work": "S", "harvest": "S"}

#: Relation to verbs by service; a verb that is not listed is forbidden, and a relation that is
#: missing fails. Nobody deletes or truncates anything. Of the wallet's tables other services read
#: two views and the tables that join batches; only the wallet reads a key, a fee or the audit log.
ALLOWED: Mapping[str, Mapping[str, str]] = {
    "chain.blocks": {"wallet": "SIU", **_READERS},
    "chain.head": {"wallet": "SIU", **_READERS},
    # Only the database writes the ledger, and what was earned by it.
    "harvest.account_balances": {"harvest": "S"},
    "harvest.accounts": {"harvest": "S"},
    "harvest.balances": {"harvest": "S", "registry": "S"},
    "harvest.batch_items": {"harvest": "SIu"},
    "harvest.batches": {"harvest": "SIu"},
    # Only the database writes sums of events, in the statements that write the events.
    "harvest.block_sums": {"harvest": "S"},
    "harvest.bookkeeping": {"harvest": "Su"},
    "harvest.closings": {"harvest": "S"},
    "harvest.entries": {"harvest": "S"},
    "harvest.farmer_earnings": {"harvest": "S"},
    "harvest.fee_claims": {"harvest": "S"},
    "harvest.harvests": {"harvest": "SI", "wallet": "S"},
    "harvest.holdings": {"harvest": "S"},
    "harvest.journals": {"harvest": "S"},
    "harvest.leaves": {"harvest": "Su"},
    "harvest.ledger_marks": {"harvest": "SIu"},
    "harvest.leftovers": {"registry": "S"},
    "harvest.miner_chunks": {"harvest": "S"},
    "harvest.miner_credits": {"harvest": "S"},
    "harvest.miner_pots": {"harvest": "S"},
    "harvest.miners": {"harvest": "S"},
    "harvest.payees": {"harvest": "SIu"},
    "harvest.payout_items": {"harvest": "SIu"},
    "harvest.payout_runs": {"harvest": "SIu"},
    # Nobody changes how payouts were switched.
    "harvest.payout_switchings": {"harvest": "Si"},
    "harvest.payout_turn": {"harvest": "Su"},
    # Only the database writes this table, with the events.
    "harvest.pending": {"harvest": "S"},
    "harvest.pooler_earnings": {"harvest": "S", "wallet": "S"},
    "harvest.pooler_funds": {"harvest": "S"},
    "harvest.roots": {"harvest": "SIu"},
    "harvest.schema_migrations": {"harvest": "s"},
    "harvest.span_sums": {"harvest": "S"},
    "harvest.turns": {"harvest": "SIu"},
    "harvest.unexplained": {"harvest": "S"},
    "plant.batch_items": {"plant": "SIu"},
    "plant.batches": {"plant": "SIu"},
    "plant.block_sums": {"harvest": "S"},
    "plant.plantings": {"plant": "SI", "work": "S", "harvest": "S", "wallet": "S"},
    "plant.schema_migrations": {"plant": "s"},
    "plant.span_sums": {"harvest": "S"},
    "plant.turns": {"plant": "SIu"},
    # Only the database writes this table, and administrators read it.
    "registry.changes": {},
    # Only the database makes and deletes deliveries, and deletes notifications, when they are old.
    "registry.deliveries": {"registry": "Su"},
    "registry.farmers": {**_READERS, "registry": "SIu", "wallet": "S"},
    "registry.leavings": {"registry": "SIu"},
    "registry.notifications": {"registry": "SI"},
    "registry.poolers": {**_READERS, "registry": "SIu", "wallet": "S"},
    "registry.requests": {"registry": "SI"},
    "registry.schema_migrations": {"registry": "s"},
    "registry.join_turn": {"registry": "Su"},
    "registry.terms": {"registry": "SI", "harvest": "S"},
    "registry.webhooks": {"registry": "SIu"},
    "wallet.accounts": {"wallet": "SIU"},
    "wallet.agreements": {"wallet": "SIu"},
    "wallet.all_operations": {"wallet": "S"},
    # To lock the row, one may change a column that has one value.
    "wallet.audit_head": {"wallet": "Su"},
    "wallet.approvals": {"wallet": "SIu"},
    "wallet.audit_log": {"wallet": "SI"},
    "wallet.batch_operations": {"wallet": "SI", "plant": "S", "work": "S", "harvest": "S"},
    "wallet.batches": {"wallet": "SI"},
    "wallet.conditions": {"wallet": "SIu"},
    "wallet.data_entries": {"wallet": "SIu"},
    "wallet.differences": {"wallet": "SIu"},
    "wallet.farmer_accounts": _READERS,
    "wallet.farmer_agreements": {"harvest": "S"},
    # For farmers' owners, who log in.
    "wallet.farmer_owners": _READERS,
    "wallet.fee_hours": {"wallet": "SIu"},
    "wallet.fee_sums": {"wallet": "SIu"},
    "wallet.key_rotations": {"wallet": "SIu"},
    # Only the database writes this table, with the changes that it tells of.
    "wallet.notices": {"registry": "S"},
    "wallet.operations": {"wallet": "SIu"},
    "wallet.operator_terms": {"wallet": "SIU"},
    "wallet.owner_accounts": {"wallet": "SIu"},
    # A part of the view of farmers' owners.
    "wallet.owner_accounts_that_counted": {},
    "wallet.pauses": {"wallet": "SIu"},
    "wallet.payments": {"wallet": "SIu"},
    "wallet.block_openings": {"wallet": "SIu"},
    "wallet.fee_marks": {"wallet": "SIu"},
    "wallet.payouts": {"wallet": "SIu"},
    "wallet.pool_payments": {"wallet": "SIu"},
    "wallet.payout_addresses": {"wallet": "SIu"},
    "wallet.pooler_marks": {"wallet": "SIu", "registry": "S"},
    "wallet.reconciled_balances": {"wallet": "SIU"},
    "wallet.refusals": {"wallet": "SIu"},
    "wallet.leave_wishes": {"wallet": "SI", "registry": "S"},
    # The database sets the moment.
    "wallet.retired_keys": {"wallet": "Si"},
    "wallet.row_keys": {"wallet": "SIu"},
    "wallet.schema_migrations": {"wallet": "s"},
    "wallet.sealed_keys": {"wallet": "SIu"},
    "wallet.shown_targets": {"wallet": "SIu"},
    "wallet.settled_operations": {"plant": "S", "work": "S", "harvest": "S"},
    "wallet.token_keys": {"wallet": "SIu"},
    "wallet.tokens": {"wallet": "SIu"},
    "wallet.transaction_operations": {"wallet": "SI"},
    "wallet.transactions": {"wallet": "SIu"},
    "wallet.turns": {"wallet": "SIu"},
    # Only the database forgets what has ended.
    "wallet.used_challenges": {"wallet": "SI"},
    "wallet.wallets": {"wallet": "SIu"},
    "wallet.wallets_with_accounts": {"wallet": "S"},
    "wallet.withdrawals": {"wallet": "SIu"},
    "work.batch_items": {"work": "SIu"},
    "work.batches": {"work": "SIu"},
    "work.block_sums": {"harvest": "S"},
    "work.schema_migrations": {"work": "s"},
    "work.submissions": {"work": "SI"},
    "work.span_sums": {"harvest": "S"},
    "work.turns": {"work": "SIu"},
    "work.works": {"work": "SI", "harvest": "S", "wallet": "S"},
}

_RELATIONS = """
SELECT n.nspname || '.' || c.relname AS relation
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
ORDER BY 1
"""
_COLUMN = """
SELECT quote_ident(attname) FROM pg_attribute
WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum LIMIT 1
"""
#: Rights in the catalogue: to the whole relation, then to some of its columns.
_GRANTED = """
SELECT
    v.verb,
    has_table_privilege($1, $2, v.verb) AS whole,
    v.verb IN ('SELECT', 'INSERT', 'UPDATE') AND has_any_column_privilege($1, $2, v.verb) AS part
FROM unnest($3::text[]) AS v (verb)
"""


@dataclass(frozen=True, kw_only=True)
class Breach:
    """A right that the database grants and the table does not, or the reverse."""

    #: Schema and name of the relation.
    relation: str
    #: Service whose role it is.
    service: str
    #: A letter of VERBS, small for some columns only.
    verb: str
    #: Whether the database allows the verb.
    is_allowed: bool

    def __str__(self) -> str:
        """Return the breach in words."""
        does = "may" if self.is_allowed else "may not"
        part = " some columns of" if self.verb.islower() else ""
        return f"{self.service} {does} {VERBS[self.verb.upper()]}{part} {self.relation}"


async def undeclared(admin: "asyncpg.Connection[asyncpg.Record]") -> set[str]:
    """Return relations that only one of the table and the database has."""
    found = {row["relation"] for row in await admin.fetch(_RELATIONS)}
    return found ^ set(ALLOWED)


async def breaches(
    admin: "asyncpg.Connection[asyncpg.Record]", service: str, dsn: str
) -> list[Breach]:
    """Try every verb on every relation as one service, and read its rights in the catalogue.

    Rights to single columns are included; nothing is changed.
    """
    found: list[Breach] = []
    connection = await asyncpg.connect(dsn)
    try:
        for relation, allowed in ALLOWED.items():
            column = await admin.fetchval(_COLUMN, relation)
            mine = set(allowed.get(service, ""))
            does = {
                verb for verb in VERBS if await _may(connection, _statement(verb, relation, column))
            }
            # No statement shows a right to single columns, nor a right to write what cannot be
            # read.
            does |= await _granted(admin, service, relation)
            found += [
                Breach(relation=relation, service=service, verb=verb, is_allowed=verb in does)
                for verb in sorted(does ^ mine)
            ]
    finally:
        await connection.close()
    return found


async def _granted(
    admin: "asyncpg.Connection[asyncpg.Record]", service: str, relation: str
) -> set[str]:
    """Return letters of a service's rights by the catalogue, small ones for some columns only."""
    rows = await admin.fetch(_GRANTED, role_of(service), relation, list(VERBS.values()))
    letters = {verb: letter for letter, verb in VERBS.items()}
    whole = {letters[row["verb"]] for row in rows if row["whole"]}
    part = {letters[row["verb"]].lower() for row in rows if row["part"] and not row["whole"]}
    return whole | part


def _statement(verb: str, relation: str, column: str) -> str:
    """Return a statement that touches no row and needs the right to the whole table."""
    return {
        "S": f"SELECT * FROM {relation} WHERE false",  # noqa: S608
        "I": f"INSERT INTO {relation} SELECT * FROM {relation} WHERE false",  # noqa: S608
        "U": f"UPDATE {relation} SET {column} = {column} WHERE false",  # noqa: S608
        "D": f"DELETE FROM {relation} WHERE false",  # noqa: S608
        "T": f"TRUNCATE {relation}",
    }[verb]


async def _may(connection: "asyncpg.Connection[asyncpg.Record]", statement: str) -> bool:
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        return False
    except (
        asyncpg.WrongObjectTypeError,
        asyncpg.ObjectNotInPrerequisiteStateError,
        asyncpg.FeatureNotSupportedError,
    ):
        return False  # a view cannot be truncated, and some cannot be written to by anybody
    finally:
        await transaction.rollback()
    return True
