"""The queries of sessions that hold up everybody, and of what the function's owner may."""

from collections.abc import AsyncIterator
from secrets import token_hex

import pytest

from tests.support.wallet_rows import WalletRows


@pytest.fixture
async def names(rows: WalletRows) -> AsyncIterator[tuple[str, str, str]]:
    """Two roles in the order of their names, and one that has become the function's owner."""
    prefix = f"test_{token_hex(8)}"
    roles = [f"{prefix}_{letter}" for letter in "abc"]
    # The last one stands first.
    for role in reversed(roles):
        await rows.connection.execute(f"CREATE ROLE {role} NOLOGIN NOSUPERUSER")
    await rows.connection.execute(f"ALTER FUNCTION wallet.end_hold_ups() OWNER TO {roles[2]}")
    yield (roles[0], roles[1], roles[2])
    await rows.connection.execute("ALTER FUNCTION wallet.end_hold_ups() OWNER TO CURRENT_USER")
    for role in roles:
        await rows.connection.execute(f"DROP ROLE {role}")


@pytest.mark.parametrize(
    ("granted", "rights"),
    [
        pytest.param(None, [(False, False), (False, False)], id="nothing"),
        pytest.param("{0}", [(True, True), (False, False)], id="the first role"),
        pytest.param("pg_signal_backend", [(True, False), (True, False)], id="to end sessions"),
        pytest.param("pg_read_all_stats", [(False, True), (False, True)], id="to see sessions"),
    ],
)
async def test_what_the_owner_of_the_function_may_is_told_by_role(
    rows: WalletRows,
    names: tuple[str, str, str],
    granted: str | None,
    rights: list[tuple[bool, bool]],
) -> None:
    if granted is not None:
        role = granted.format(*names)
        await rows.connection.execute(f"GRANT {role} TO {names[2]}")
    found = await rows.pool.many("hold_up_rights", [names[1], names[0]])
    told = [(row["role"], (row["may_end"], row["may_see"])) for row in found]
    assert told == list(zip(names[:2], rights, strict=True))


async def test_sessions_that_hold_up_nobody_stay(rows: WalletRows) -> None:
    assert await rows.pool.many("end_hold_ups") == []
