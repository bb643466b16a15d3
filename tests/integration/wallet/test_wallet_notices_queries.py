"""The queries of conditions: which stand, since when, and which are over."""

import asyncio
from datetime import datetime, timedelta

from services.wallet.store.notices import LAPSE, Condition, NoticeStore
from tests.support.wallet_rows import WalletRows, ago

LONG_AGO = ago(hours=9)


async def condition(rows: WalletRows, name: str, **values: object) -> None:
    """A condition that stands since hours, and was reported a moment ago."""
    fixed: dict[str, object] = {
        "kind": "node",
        "stands": True,
        "since": LONG_AGO,
        "reported_at": ago(seconds=9),
        "facts": "{}",
    }
    await rows.insert("wallet.conditions", name=name, **fixed | values)


async def conditions(rows: WalletRows) -> dict[str, tuple[bool, datetime, datetime]]:
    """By name: whether each stands, since when, and when it was reported."""
    found = await rows.connection.fetch(
        "SELECT name, stands, since, reported_at FROM wallet.conditions"
    )
    return {row["name"]: (row["stands"], row["since"], row["reported_at"]) for row in found}


def seen(name: str) -> Condition:
    return Condition(name=name, kind="node", facts={"host": name})


async def test_a_condition_stands_since_it_began_and_anew_after_it_was_over(
    rows: WalletRows,
) -> None:
    await condition(rows, "a")
    await condition(rows, "b", stands=False)
    begun = ago()
    await NoticeStore(rows.pool).report([seen("a"), seen("b"), seen("c")], unknown=[])
    found = await conditions(rows)
    assert [found[name][0] for name in "abc"] == [True, True, True]
    assert found["a"][1] == LONG_AGO
    for name in "bc":
        assert abs(found[name][1] - begun) < timedelta(minutes=1)
    for name in "abc":
        assert abs(found[name][2] - begun) < timedelta(minutes=1)
    facts = await rows.connection.fetch("SELECT facts ->> 'host' FROM wallet.conditions")
    assert {row[0] for row in facts} == set("abc")


async def test_what_a_process_cannot_tell_stays_if_it_stands(rows: WalletRows) -> None:
    await condition(rows, "stands", reported_at=ago(minutes=9))
    await condition(rows, "is over", stands=False)
    await condition(rows, "other", kind="treasury")
    before = await conditions(rows)
    await rows.pool.execute("keep_conditions", ["node"])
    found = await conditions(rows)
    assert found["stands"][2] > ago(minutes=1)
    assert {name: found[name] for name in ("is over", "other")} == {
        name: before[name] for name in ("is over", "other")
    }


async def test_what_nobody_reports_is_over_and_what_was_over_stays_so(rows: WalletRows) -> None:
    await condition(rows, "late", reported_at=ago(seconds=61))
    # The clock was set back since.
    await condition(rows, "to come", reported_at=ago(minutes=-9))
    await condition(rows, "stands")
    await condition(rows, "is over", stands=False, reported_at=ago(minutes=9))
    before = await conditions(rows)
    assert await rows.pool.execute("end_conditions", LAPSE) == 2
    found = await conditions(rows)
    for name in ("late", "to come"):
        stands, since, reported_at = found[name]
        assert (stands, reported_at) == (False, before[name][2])
        assert since > ago(minutes=1)
    for name in ("stands", "is over"):
        assert found[name] == before[name]


async def test_a_condition_is_over_after_the_lapse_and_not_at_its_end(rows: WalletRows) -> None:
    insert = """
    INSERT INTO wallet.conditions (name, kind, stands, since, reported_at, facts)
    VALUES ($1, 'node', true, now(), now() - make_interval(secs => $2), '{}')
    """
    async with rows.pool.transaction() as session:
        for name, seconds in (("before", LAPSE + 0.001), ("at", LAPSE), ("now", 0.0)):
            await session.connection.execute(insert, name, seconds)
        assert await session.execute("end_conditions", LAPSE) == 1
    assert {name: found[0] for name, found in (await conditions(rows)).items()} == {
        "before": False,
        "at": True,
        "now": True,
    }


async def test_conditions_are_reported_in_the_order_of_their_names(rows: WalletRows) -> None:
    """So that two processes never wait crosswise."""
    for name in "abc":
        await condition(rows, name)
    async with rows.other() as other:
        await other.connection.execute("SELECT FROM wallet.conditions WHERE name = 'b' FOR UPDATE")
        report = NoticeStore(rows.pool).report([seen("c"), seen("b"), seen("a")], unknown=[])
        late = asyncio.create_task(report)
        await rows.until_somebody_waits()
        free = await rows.connection.fetch(
            "SELECT name FROM wallet.conditions FOR UPDATE SKIP LOCKED"
        )
    await late
    assert [row["name"] for row in free] == ["c"]
