"""What can leave an account: neither reserves nor what offers bind, and never less than nothing."""

import pytest

from services.wallet.domain.chain_facts import AccountState

#: Half an XLM is kept for the account's first two entries and for each further one.
RESERVE = 5_000_000


@pytest.mark.parametrize(
    ("xlm", "reserves", "bound", "free"),
    [
        (0, 0, 0, 0),
        (2 * RESERVE, 0, 0, 0),
        (2 * RESERVE + 1, 0, 0, 1),
        (3 * RESERVE + 7, 1, 0, 7),
        (3 * RESERVE + 7, 1, 6, 1),
        (3 * RESERVE + 7, 1, 8, 0),
    ],
)
def test_xlm_is_free_above_reserves_and_offers(
    xlm: int, reserves: int, bound: int, free: int
) -> None:
    account = AccountState(address="G", exists=True, xlm=xlm, reserves=reserves, xlm_bound=bound)
    assert account.xlm_free == free


@pytest.mark.parametrize(
    ("kale", "bound", "free"), [(0, 0, 0), (7, 0, 7), (7, 6, 1), (7, 7, 0), (7, 8, 0)]
)
def test_kale_is_free_above_what_offers_bind(kale: int, bound: int, free: int) -> None:
    account = AccountState(address="G", exists=True, kale=kale, kale_bound=bound)
    assert account.kale_free == free
