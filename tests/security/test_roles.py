"""Every verb on every table as every service's role, against one declared table."""

from collections.abc import Mapping

import pytest

from libs.common.names import SERVICES
from tests.support.database import DatabaseAccess, connect
from trials.security.roles import ALLOWED, breaches, undeclared
from trials.security.sight import look


async def test_every_table_and_view_is_declared(database: DatabaseAccess) -> None:
    async with connect(database.admin_dsn) as admin:
        assert await undeclared(admin) == set()


@pytest.mark.parametrize("service", SERVICES)
async def test_a_role_may_do_what_is_declared_and_nothing_else(
    database: DatabaseAccess, service: str
) -> None:
    async with connect(database.admin_dsn) as admin:
        found = await breaches(admin, service, database.dsn(service))
    assert [str(item) for item in found] == []


def test_nobody_deletes_and_nobody_but_wallet_sees_keys() -> None:
    for relation, allowed in ALLOWED.items():
        assert not set("".join(allowed.values())) & set("DTdt"), relation
        schema = relation.partition(".")[0]
        writers = {service for service, verbs in allowed.items() if set(verbs) & set("IUiu")}
        assert writers <= {"wallet" if schema == "chain" else schema}, relation
    assert set(ALLOWED["wallet.sealed_keys"]) == {"wallet"}


@pytest.mark.parametrize(
    ("grant", "words"),
    [
        ("SELECT (sealed_seed) ON wallet.sealed_keys", "SELECT some columns of wallet.sealed_keys"),
        ("UPDATE (reason) ON wallet.pauses", "UPDATE some columns of wallet.pauses"),
        ("INSERT (address) ON wallet.wallets", "INSERT some columns of wallet.wallets"),
        ("INSERT ON wallet.withdrawals", "INSERT wallet.withdrawals"),
    ],
)
async def test_rights_to_columns_and_to_write_alone_are_found(
    database: DatabaseAccess, grant: str, words: str
) -> None:
    async with connect(database.admin_dsn) as admin:
        await admin.execute(f"GRANT {grant} TO kalepool_plant")
        found = await breaches(admin, "plant", database.dsn("plant"))
    assert [str(item) for item in found] == [f"plant may {words}"]


async def test_a_right_too_many_and_a_table_too_many_are_found(database: DatabaseAccess) -> None:
    async with connect(database.admin_dsn) as admin:
        await admin.execute("GRANT SELECT ON wallet.sealed_keys TO kalepool_plant")
        await admin.execute("CREATE TABLE plant.more (id int)")
        try:
            found = await breaches(admin, "plant", database.dsn("plant"))
            assert [str(item) for item in found] == ["plant may SELECT wallet.sealed_keys"]
            assert await undeclared(admin) == {"plant.more"}
        finally:
            await admin.execute("DROP TABLE plant.more")


SECRETS: Mapping[str, bytes] = {
    "a seed, hex": b"5eed" * 16,
    "a word": b"a password of somebody's, in clear",
}


@pytest.mark.parametrize("service", SERVICES)
async def test_a_secret_in_a_row_that_a_role_may_read_is_found(
    database: DatabaseAccess, service: str
) -> None:
    async with connect(database.admin_dsn) as admin:
        before = await look(service, database.dsn(service), SECRETS)
        await admin.execute("CREATE TABLE registry.notes (hidden bytea, shown text)")
        await admin.execute(
            "INSERT INTO registry.notes VALUES ($1, $2)",
            bytes.fromhex("5eed" * 16),
            SECRETS["a word"].decode(),
        )
        await admin.execute("GRANT SELECT ON registry.notes TO kalepool_registry")
        await admin.execute("GRANT SELECT (shown) ON registry.notes TO kalepool_plant")
        found = await look(service, database.dsn(service), SECRETS)
    assert before.failures == []
    assert before.relations > 3
    names = {"registry": ["a seed, hex", "a word"], "plant": ["a word"]}.get(service, [])
    assert list(found.secrets) == [f"{name} in registry.notes" for name in names]
    assert (found.relations, found.rows) == (
        before.relations + bool(names),
        before.rows + bool(names),
    )
    assert len(found.failures) == len(names)
