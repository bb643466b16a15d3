"""Which accounts are merged: only those that hold nothing, as all that they hold would move."""

import pytest

from services.wallet.domain.chain_facts import AccountState
from services.wallet.domain.reclaiming import Verdict, verdict

#: An account whose reserves are all sponsored, and which holds nothing.
BARE: dict[str, object] = {"address": "G", "exists": True, "reserves": -2}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Verdict.RECLAIMED),
        ({"has_trustline": True}, Verdict.RECLAIMED),
        # Its key may make payments, but may not merge it.
        ({"obeys_fully": False}, Verdict.LOCKED),
        ({"exists": False}, Verdict.NOTHING_THERE),
        ({"exists": False, "obeys_fully": False}, Verdict.NOTHING_THERE),
        ({"xlm": 1}, Verdict.HOLDS_SOMETHING),
        ({"kale": 1}, Verdict.HOLDS_SOMETHING),
        ({"is_frozen": True}, Verdict.HOLDS_SOMETHING),
        ({"xlm_bound": 1}, Verdict.HOLDS_SOMETHING),
        ({"kale_bound": 1}, Verdict.HOLDS_SOMETHING),
        # An entry of its own, such as an offer or a signer, or a reserve that it pays itself.
        ({"reserves": -1}, Verdict.HOLDS_SOMETHING),
        ({"reserves": -3}, Verdict.HOLDS_SOMETHING),
        ({"xlm": 1, "obeys_fully": False}, Verdict.HOLDS_SOMETHING),
    ],
)
def test_an_account_is_merged_only_when_it_holds_nothing(
    fields: dict[str, object], expected: Verdict
) -> None:
    account = AccountState(**{**BARE, **fields})  # type: ignore[arg-type]
    assert verdict(account) is expected
