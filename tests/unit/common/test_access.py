"""The table of who may call what is whole, and names what requests have."""

import pytest

from libs.common.grpc.access import Access, Owned
from libs.common.grpc.standing import Standing
from services.access import ACCESS
from trials.security.access import rpcs

#: Methods that show of anybody's farmer what the chain shows to everybody.
PUBLIC = {"GetFarmerSummary", "GetTerms", "DraftWish", "SignWish"}
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
        if (
            rpc.access.poolers
            and rpc.method.name not in PUBLIC
            and names & {"pooler_id", "farmer_id", "farmer_ids"}
        ):
            assert rpc.access.owned, rpc.path


#: Methods that act, or only tell what to sign, and that a pooler may call and no standing limits.
UNLIMITED = {"Heartbeat", "DraftWish", "StartLogin", "FinishLogin"}
#: How the names of methods that only read begin.
READS = ("Get", "List", "Watch")


def test_every_method_that_acts_for_a_pooler_says_what_each_standing_allows() -> None:
    for rpc in rpcs():
        name = rpc.method.name
        acts = rpc.access.poolers and not name.startswith(READS) and name not in UNLIMITED
        assert set(rpc.access.limits) == (set(Standing) if acts else set()), rpc.path


def test_an_owner_account_names_what_is_of_its_farmers() -> None:
    for rpc in rpcs():
        names = rpc.method.input_type.fields_by_name
        assert set(rpc.access.owners_own) <= set(names), rpc.path
        # What is not public is never shown without being asked whose it is.
        assert not rpc.access.owners_own or rpc.access.owners, rpc.path
        if rpc.access.owners and "gateway" not in rpc.access.services:
            assert rpc.access.owners_own, rpc.path
            assert Owned.POOLER not in rpc.access.owners_own.values(), rpc.path


def test_an_owner_account_acts_only_where_nobody_else_loses() -> None:
    acts = {
        rpc.method.name
        for rpc in rpcs()
        if rpc.access.owners and not rpc.method.name.startswith(READS)
    }
    assert acts == {"PayNow", "SetAgreement", "DraftWish", "SignWish", "JoinPool"}
    # It has no certificate: what takes one is none of its methods.
    assert all(rpc.access.by_token for rpc in rpcs() if rpc.access.owners)
    # What moves the address, the owner account or the fees takes its signature.
    for name in ("SetPayoutAddress", "Withdraw", "SetStakeLimit", "UpdateFarmer", "CreateToken"):
        assert not any(rpc.access.owners for rpc in rpcs() if rpc.method.name == name)


def test_fields_for_operators_are_optional_fields_of_the_request() -> None:
    limited = [rpc for rpc in rpcs() if rpc.access.operator_fields]
    assert [rpc.method.name for rpc in limited] == ["UpdatePooler"]
    for rpc in limited:
        for name in rpc.access.operator_fields:
            assert rpc.method.input_type.fields_by_name[name].has_presence


@pytest.mark.parametrize(("method", "service"), SIGNING.items())
def test_signing_is_for_the_service_of_its_kind_alone(method: str, service: str) -> None:
    entry = ACCESS[f"/kalepool.wallet.v1.WalletService/{method}"]
    assert entry == Access(services=frozenset({service}))


def test_a_token_never_reaches_keys_money_rules_or_other_tokens() -> None:
    """Custody, keys, orders, approvals, reconciliation, deployments: a certificate, and no less.

    What only reads of these is for the operators' page.
    """
    closed = {
        "CustodyService": {"ListPauses"},
        "ReconciliationService": {"ListDifferences"},
        "EngineService": {"GetEngineStatus"},
        "ApprovalService": set(),
        "KeyService": set(),
        "OrderService": set(),
        "TokenService": set(),
        "LoginService": set(),
    }
    found = {
        service: {
            rpc.method.name
            for rpc in rpcs()
            if rpc.method.containing_service.name == service and rpc.access.by_token
        }
        for service in closed
    }
    assert found == closed


def test_a_token_that_is_read_only_calls_what_reads_and_nothing_else() -> None:
    for rpc in rpcs():
        reads = rpc.access.by_token and rpc.method.name.startswith(READS)
        assert rpc.access.reads is reads, rpc.path


def test_tokens_are_for_what_poolers_or_operators_may_call() -> None:
    for rpc in rpcs():
        entry = rpc.access
        assert not entry.by_token or entry.poolers or entry.operators or entry.owners, rpc.path


def test_without_a_token_the_gateway_calls_what_is_public_and_exchanges_tokens() -> None:
    by_gateway = {path for path, entry in ACCESS.items() if "gateway" in entry.services}
    tokens = "/kalepool.wallet.v1.TokenService"
    # Who logs in has nothing to show yet.
    logins = {
        f"/kalepool.wallet.v1.LoginService/{name}"
        for name in ("GetLogin", "StartLogin", "FinishLogin")
    }
    assert by_gateway == {
        "/kalepool.common.v1.InfoService/GetInfo",
        "/kalepool.common.v1.InfoService/GetStatus",
        "/kalepool.harvest.v1.StatementService/ListRoots",
        "/kalepool.registry.v1.RegistryService/GetTerms",
        "/kalepool.report.v1.ReportService/GetBlockReport",
        "/kalepool.report.v1.ReportService/GetFarmerSummary",
        "/kalepool.report.v1.ReportService/ListPublicPoolers",
        "/kalepool.report.v1.ReportService/GetPoolSummary",
        "/kalepool.report.v1.ReportService/ListBlockReports",
        # What is to be signed, and what is: the signature decides, whoever brings it.
        "/kalepool.wallet.v1.AgreementService/DraftWish",
        "/kalepool.wallet.v1.AgreementService/GetAgreementRules",
        "/kalepool.wallet.v1.AgreementService/SignWish",
        "/kalepool.wallet.v1.WalletService/GetBlock",
        "/kalepool.wallet.v1.WalletService/WatchBlocks",
        f"{tokens}/ExchangeToken",
        f"{tokens}/ListTokenKeys",
        *logins,
    }
    strangers = {path for path, entry in ACCESS.items() if entry.strangers}
    assert strangers == {f"{tokens}/ExchangeToken", *logins}
