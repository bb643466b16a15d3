"""The table of who may call what is whole, and names what requests have."""

import pytest

from libs.common.grpc.access import Access
from services.access import ACCESS
from trials.security.access import rpcs

SIGNING = {
    "Plant": "plant",
    "BatchPlant": "plant",
    "Work": "work",
    "BatchWork": "work",
    "Harvest": "harvest",
    "BatchHarvest": "harvest",
}


def test_every_method_of_ours_has_an_entry_and_no_entry_is_left_over() -> None:
    assert {rpc.path for rpc in rpcs()} == set(ACCESS)


def test_what_says_whose_it_is_is_a_field_of_the_request() -> None:
    for rpc in rpcs():
        names = set(rpc.method.input_type.fields_by_name)
        assert set(rpc.access.owned) <= names, rpc.path
        # A pooler is never let in to what has an owner without being asked which.
        if rpc.access.poolers and names & {"pooler_id", "farmer_id", "farmer_ids"}:
            assert rpc.access.owned, rpc.path


@pytest.mark.parametrize(("method", "service"), SIGNING.items())
def test_signing_is_for_the_service_of_its_kind_alone(method: str, service: str) -> None:
    entry = ACCESS[f"/kalepool.wallet.v1.WalletService/{method}"]
    assert entry == Access(services=frozenset({service}))
