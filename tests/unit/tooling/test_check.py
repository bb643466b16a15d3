"""The check after a run tells where the ledger is not the chain."""

from uuid import UUID

from devstack.chain_view import ChainPlant, ChainView
from devstack.check import FarmerRow, Verdict, _compare_ledger, open_stakes

ONE, TWO = UUID(int=1), UUID(int=2)


def verdict(**ledger: int) -> Verdict:
    """Return two farmers who hold 70 and 30, of which 40 and 30 came from outside."""
    roles = {"available": 80, "staked": 5, "pending_out": 10} | ledger
    farmers = [
        FarmerRow(farmer_id=ONE, address="GA", funded=40, balance=70),
        FarmerRow(farmer_id=TWO, address="GB", funded=30, balance=30),
    ]
    names = {f"farmer:{role}": amount for role, amount in roles.items()}
    return Verdict(farmers=farmers, compared=1, ledger=names | {"pooler:fee": 10})


def told(
    found: Verdict,
    one: tuple[int, int] = (70, 40),
    two: tuple[int, int] = (30, 30),
    staked: int = 5,
) -> list[str]:
    """Return what is told."""
    _compare_ledger(found, {ONE: one, TWO: two}, staked)
    return found.differences


def test_a_ledger_that_is_the_chain_is_told_as_equal() -> None:
    assert told(verdict()) == []


def test_each_difference_is_told() -> None:
    assert told(verdict(), one=(71, 40)) == ["account of GA: the ledger says 71, the chain 70"]
    assert told(verdict(), two=(30, 0)) == ["KALE from outside of GB: the ledger says 0, it was 30"]
    assert told(verdict(available=81)) == ["the ledger has 101 in farmers' accounts, the chain 100"]
    assert told(verdict(), staked=7) == ["the ledger has 5 staked, the chain 7"]


def test_a_stake_is_open_until_it_is_harvested() -> None:
    chain = ChainView()
    for place, stake in ((("GA", 1), 3), (("GA", 2), 4), (("GX", 2), 9)):
        chain.plants[place] = ChainPlant(ledger=1, stake=stake)
    chain.harvests["GA", 1] = 50
    assert open_stakes(chain, {"GA": None}) == 4
