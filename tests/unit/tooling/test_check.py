"""The check after a run tells where the ledger is not the chain."""

from uuid import UUID

from devstack.chain_view import ChainPlant, ChainView
from devstack.check import (
    FarmerRow,
    Verdict,
    _compare_balances,
    _compare_ledger,
    open_stakes,
)

ONE, TWO = UUID(int=1), UUID(int=2)


def verdict(**ledger: int) -> Verdict:
    """Return two farmers who hold 70 and 30; 40 and 30 came from outside, 4 went to a pooler."""
    roles = {"available": 80, "staked": 5, "pending_out": 10} | ledger
    farmers = [
        FarmerRow(farmer_id=ONE, address="GA", funded=40, balance=70),
        FarmerRow(farmer_id=TWO, address="GB", funded=30, collected=4, balance=30),
    ]
    names = {f"farmer:{role}": amount for role, amount in roles.items()}
    return Verdict(farmers=farmers, compared=1, ledger=names | {"pooler:fee": 10})


def told(
    found: Verdict,
    one: tuple[int, int, int] = (70, 40, 0),
    two: tuple[int, int, int] = (30, 30, 4),
    staked: int = 5,
) -> list[str]:
    """Return what is told."""
    _compare_ledger(found, {ONE: one, TWO: two}, staked)
    return found.differences


def test_a_ledger_that_is_the_chain_is_told_as_equal() -> None:
    assert told(verdict()) == []


def test_each_difference_is_told() -> None:
    assert told(verdict(), one=(71, 40, 0)) == ["account of GA: the ledger says 71, the chain 70"]
    assert told(verdict(), two=(30, 0, 4)) == [
        "KALE from outside of GB: the ledger says 0, it was 30"
    ]
    assert told(verdict(), two=(30, 30, 3)) == [
        "fees that GB moved to its pooler: the ledger says 3, it was 4"
    ]
    assert told(verdict(available=81)) == ["the ledger has 101 in farmers' accounts, the chain 100"]
    assert told(verdict(), staked=7) == ["the ledger has 5 staked, the chain 7"]


def test_a_balance_is_what_came_less_what_was_moved_away() -> None:
    found = verdict()
    one, two = found.farmers
    one.reward, one.staked, two.reward = 40, 10, 4
    _compare_balances(found, {"GA": 70, "GB": 30}, {ONE: 40, TWO: 4})
    assert found.differences == []
    _compare_balances(found, {"GA": 71, "GB": 30}, {ONE: 40, TWO: 4})
    assert found.differences == ["balance of GA: events give 70, the chain 71"]


def test_a_stake_is_open_until_it_is_harvested() -> None:
    chain = ChainView()
    for place, stake in ((("GA", 1), 3), (("GA", 2), 4), (("GX", 2), 9)):
        chain.plants[place] = ChainPlant(ledger=1, stake=stake)
    chain.harvests["GA", 1] = 50
    assert open_stakes(chain, {"GA": None}) == 4
