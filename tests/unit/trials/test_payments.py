"""Whether payments are on the chain as often as on record, and what they leave in accounts."""

from typing import Any, cast

import pytest

from trials import payments as module
from trials.payments import SeenPayment, flows, payment_differences, pooler_accounts, told_otherwise

ONE = SeenPayment(source="GA", destination="GX", amount=5)
FEE = SeenPayment(source="GA", destination="GP", amount=2)


def row(payment: SeenPayment, **more: Any) -> dict[str, Any]:
    return {
        "source": payment.source,
        "destination": payment.destination,
        "amount": payment.amount,
        **more,
    }


def test_what_is_recorded_as_often_as_it_was_made_is_no_difference() -> None:
    rows = cast(Any, [row(FEE), row(ONE), row(ONE)])
    assert told_otherwise([ONE, FEE, ONE], rows, "wallet") == []


@pytest.mark.parametrize(
    ("seen", "told", "about"),
    [
        ([ONE, ONE], [ONE], "2 on the chain, 1 recorded by wallet"),
        ([ONE], [ONE, ONE], "1 on the chain, 2 recorded by wallet"),
        ([], [ONE], "0 on the chain, 1 recorded by wallet"),
        ([ONE], [], "1 on the chain, 0 recorded by wallet"),
    ],
)
def test_each_difference_is_told(
    seen: list[SeenPayment], told: list[SeenPayment], about: str
) -> None:
    (line,) = told_otherwise(seen, cast(Any, [row(one) for one in told]), "wallet")
    assert line == f"payment of ('GA', 'GX', 5): {about}"


def test_payments_flow_out_of_accounts_into_poolers_and_between_them() -> None:
    """A pooler's own payments are no farmer's."""
    inner = SeenPayment(source="GB", destination="GA", amount=7)
    own = SeenPayment(source="GP", destination="GM", amount=1)
    moved = flows([ONE, FEE, inner, own], {"GA": 100, "GB": 50}, ["GP"])
    assert moved.funded == {"GA": 102, "GB": 43}
    assert moved.collected == {"GA": 2}


class Records:
    """Answers by the name of the query."""

    def __init__(self, **rows: list[dict[str, Any]]) -> None:
        self._rows = rows

    async def many(self, name: str) -> list[dict[str, Any]]:
        return self._rows[name]


async def differences(
    monkeypatch: pytest.MonkeyPatch, records: Records, seen: list[SeenPayment], held: int
) -> list[str]:
    async def read(_url: str, addresses: list[str], _asset: object) -> dict[str, int]:
        return dict.fromkeys(addresses, held) if held else {}

    monkeypatch.setattr(module, "read_kale_balances", read)
    return await payment_differences(cast(Any, records), "", seen)


def told(*, by_harvest: list[SeenPayment], held: int = 2) -> Records:
    return Records(
        payments_by_wallet=[row(ONE, is_payout=False), row(FEE, is_payout=True)],
        payments_by_harvest=[row(one) for one in by_harvest],
        pooler_accounts=[{"pooler_id": 1, "address": "GP", "held": held}],
    )


async def test_wallet_harvest_and_ledger_are_held_against_the_chain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Harvest has asked for no withdrawal."""
    assert await differences(monkeypatch, told(by_harvest=[FEE]), [ONE, FEE], 2) == []
    assert await differences(monkeypatch, told(by_harvest=[FEE], held=0), [ONE, FEE], 0) == []
    (line,) = await differences(monkeypatch, told(by_harvest=[]), [ONE, FEE], 2)
    assert line == "payment of ('GA', 'GP', 2): 1 on the chain, 0 recorded by harvest"
    (line,) = await differences(monkeypatch, told(by_harvest=[FEE]), [ONE, FEE], 3)
    assert line == "account of pooler 1: the ledger says 2, the chain 3"
    assert len(await differences(monkeypatch, told(by_harvest=[FEE]), [ONE, FEE, FEE], 2)) == 2


async def test_poolers_have_accounts() -> None:
    assert await pooler_accounts(cast(Any, told(by_harvest=[]))) == ["GP"]
