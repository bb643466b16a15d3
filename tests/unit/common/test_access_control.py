"""Who is turned away is told why, by a reason and the names of what was wrong."""

from collections.abc import Collection, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from libs.common.errors import FailedPreconditionError, PermissionDeniedError
from libs.common.grpc.access import Access, AccessControl, Owned
from libs.common.grpc.identity import Caller, CallerKind, Grant
from libs.common.grpc.standing import Allows, Standing

METHOD = "/kalepool.test.v1.TestService/Do"
OWN, OTHER = "pooler-1", "pooler-2"


async def owners(ids: Sequence[str]) -> Collection[str]:
    """Farmers are named after their poolers."""
    return {name.partition("/")[0] for name in ids}


def control(**entry: Any) -> AccessControl:
    return AccessControl({METHOD: Access(**entry)}, {Owned.FARMER: owners})


def caller(kind: CallerKind, name: str = OWN, shown: Grant | None = None) -> Caller:
    return Caller(kind=kind, name=name, identity=f"spiffe://test/{name}", grant=shown)


POOLER = caller(CallerKind.POOLER)
OWNED = {"pooler_id": Owned.POOLER, "farmer_ids": Owned.FARMER}


def grant(*, is_read_only: bool = False, methods: frozenset[str] | None = None) -> Grant:
    return Grant(token_id="1", is_read_only=is_read_only, methods=methods, ends=0)


class Request(SimpleNamespace):
    """A request with a pooler, farmers, and fields that may be set."""

    def __init__(self, *, pooler_id: str = "", farmer_ids: Sequence[str] = (), **more: Any) -> None:
        super().__init__(pooler_id=pooler_id, farmer_ids=farmer_ids, **more)

    def HasField(self, name: str) -> bool:
        """Whether it is set."""
        return hasattr(self, name)


async def refused(request: Request, **entry: Any) -> PermissionDeniedError:
    with pytest.raises(PermissionDeniedError) as caught:
        await control(poolers=True, owned=OWNED, **entry).check_owner(METHOD, POOLER, request)
    return caught.value


@pytest.mark.parametrize("method", [METHOD, f"{METHOD}Other"])
def test_who_may_not_call_a_method_is_told_both(method: str) -> None:
    with pytest.raises(PermissionDeniedError) as caught:
        control(operators=True).check_caller(method, POOLER)
    assert caught.value.reason == "ACCESS_DENIED"
    assert caught.value.metadata == {"caller": "spiffe://test/pooler-1", "method": method}


@pytest.mark.parametrize(
    ("entry", "shown", "reason"),
    [
        ({}, grant(), "TOKEN_NOT_ENOUGH"),
        ({"by_token": True}, grant(is_read_only=True), "TOKEN_READ_ONLY"),
        ({"by_token": True}, grant(methods=frozenset({"/other"})), "TOKEN_SCOPE"),
    ],
)
def test_a_token_that_is_not_enough_is_told_for_which_method(
    entry: dict[str, Any], shown: Grant, reason: str
) -> None:
    with pytest.raises(PermissionDeniedError) as caught:
        control(poolers=True, **entry).check_caller(METHOD, caller(CallerKind.POOLER, shown=shown))
    assert (caught.value.reason, caught.value.metadata) == (reason, {"method": METHOD})


async def test_a_pooler_has_to_name_what_is_its_own() -> None:
    error = await refused(Request())
    assert (error.reason, error.metadata) == ("NOT_YOURS", {"fields": "pooler_id,farmer_ids"})


@pytest.mark.parametrize(
    ("named", "field"),
    [
        ({"pooler_id": OTHER}, "pooler_id"),
        ({"farmer_ids": [f"{OTHER}/1"]}, "farmer_ids"),
        ({"farmer_ids": [f"{OWN}/1", f"{OTHER}/1"]}, "farmer_ids"),
        ({"pooler_id": OWN, "farmer_ids": [f"{OTHER}/1"]}, "farmer_ids"),
        ({"pooler_id": OTHER, "farmer_ids": [f"{OWN}/1"]}, "pooler_id"),
    ],
)
async def test_what_is_another_poolers_is_told_by_its_field(
    named: dict[str, Any], field: str
) -> None:
    error = await refused(Request(**named))
    assert (error.reason, error.metadata) == ("NOT_YOURS", {"fields": field})


async def test_fields_for_operators_are_told() -> None:
    entry = {"operator_fields": frozenset({"limit", "floor", "roof"})}
    error = await refused(Request(pooler_id=OWN, limit=1, floor=1), **entry)
    assert (error.reason, error.metadata) == ("OPERATORS_ONLY", {"fields": "floor,limit"})


@pytest.mark.parametrize("named", [{"pooler_id": OWN}, {"farmer_ids": [f"{OWN}/1", f"{OWN}/2"]}])
async def test_a_pooler_may_do_what_concerns_itself(named: dict[str, Any]) -> None:
    entry = {"poolers": True, "owned": OWNED, "operator_fields": frozenset({"limit"})}
    await control(**entry).check_owner(METHOD, POOLER, Request(**named))
    # Nobody else is asked whose it is.
    operator = caller(CallerKind.OPERATOR)
    await control(**entry).check_owner(METHOD, operator, Request(pooler_id=OTHER, limit=1))


# Owner accounts ---------------------------------------------------------------------------------

ACCOUNT, OTHERS = "account-1", "account-2"
OWNER = caller(CallerKind.OWNER, ACCOUNT, grant())


def owners_control(**entry: Any) -> AccessControl:
    given = {"owners": True, "poolers": True, "by_token": True, "owned": OWNED, **entry}
    return AccessControl({METHOD: Access(**given)}, {Owned.FARMER: owners}, accounts=ACCOUNTS)


ACCOUNTS = {Owned.FARMER: owners}
OF_OWNER = {"farmer_ids": Owned.FARMER}


def test_an_owner_account_calls_what_is_open_to_it_and_nothing_else() -> None:
    owners_control(owners_own=OF_OWNER).check_caller(METHOD, OWNER)
    with pytest.raises(PermissionDeniedError) as caught:
        owners_control(owners=False).check_caller(METHOD, OWNER)
    assert caught.value.reason == "ACCESS_DENIED"
    with pytest.raises(PermissionDeniedError) as caught:
        owners_control(by_token=False).check_caller(METHOD, OWNER)
    assert caught.value.reason == "TOKEN_NOT_ENOUGH"


@pytest.mark.parametrize(
    "named",
    [
        {"farmer_ids": [f"{OTHERS}/1"]},
        {"farmer_ids": [f"{ACCOUNT}/1", f"{OTHERS}/1"]},
        {"farmer_ids": [f"{ACCOUNT}/1", "/nobody's"]},
    ],
)
async def test_an_owner_account_gets_nothing_of_others(named: dict[str, Any]) -> None:
    control_ = owners_control(owners_own=OF_OWNER)
    assert control_.asks_owner(METHOD, OWNER)
    with pytest.raises(PermissionDeniedError) as caught:
        await control_.check_owner(METHOD, OWNER, Request(**named))
    assert (caught.value.reason, caught.value.metadata) == ("NOT_YOURS", {"fields": "farmer_ids"})
    assert caught.value.message == f"farmer_ids names what is not of owner {ACCOUNT}"


@pytest.mark.parametrize("named", [{}, {"pooler_id": OWN}, {"pooler_id": ACCOUNT}])
async def test_an_owner_account_has_to_name_a_farmer_of_its_own(named: dict[str, Any]) -> None:
    """A pooler that it names narrows what is shown, and is not what makes it its own."""
    with pytest.raises(PermissionDeniedError) as caught:
        await owners_control(owners_own=OF_OWNER).check_owner(METHOD, OWNER, Request(**named))
    assert (caught.value.reason, caught.value.metadata) == ("NOT_YOURS", {"fields": "farmer_ids"})
    assert caught.value.message == "the owner has to name its own: set farmer_ids"


async def test_an_owner_account_may_do_what_concerns_its_farmers() -> None:
    entry = owners_control(owners_own=OF_OWNER, operator_fields=frozenset({"limit"}))
    own = Request(farmer_ids=[f"{ACCOUNT}/1"], pooler_id=OTHER)
    await entry.check_owner(METHOD, OWNER, own)
    with pytest.raises(PermissionDeniedError) as caught:
        await entry.check_owner(METHOD, OWNER, Request(farmer_ids=[f"{ACCOUNT}/1"], limit=1))
    assert caught.value.reason == "OPERATORS_ONLY"
    # What is nobody's own is shown without a name.
    public = owners_control()
    assert not public.asks_owner(METHOD, OWNER)
    await public.check_owner(METHOD, OWNER, Request())


async def test_the_account_itself_is_its_own() -> None:
    entry = owners_control(owners_own={"account": Owned.ACCOUNT})
    await entry.check_owner(METHOD, OWNER, Request(account=ACCOUNT))
    with pytest.raises(PermissionDeniedError):
        await entry.check_owner(METHOD, OWNER, Request(account=OTHERS))


async def test_standings_limit_an_owner_account_as_they_limit_a_pooler() -> None:
    async def standings(ids: Sequence[str]) -> Collection[Standing]:
        return {Standing.FARMER_SUSPENDED} if "suspended" in ids[0] else set()

    entry = Access(
        owners=True,
        by_token=True,
        owners_own=OF_OWNER,
        limits={Standing.FARMER_SUSPENDED: Allows.OPERATORS},
    )
    limited = AccessControl({METHOD: entry}, {}, {Owned.FARMER: standings}, {Owned.FARMER: owners})
    await limited.check_owner(METHOD, OWNER, Request(farmer_ids=[f"{ACCOUNT}/1"]))
    with pytest.raises(FailedPreconditionError) as caught:
        await limited.check_owner(METHOD, OWNER, Request(farmer_ids=[f"{ACCOUNT}/suspended"]))
    assert caught.value.reason == "FARMER_SUSPENDED"


def test_somebody_has_to_tell_whose_things_are_and_their_standings() -> None:
    entry = Access(owners=True, owners_own=OF_OWNER)
    with pytest.raises(ValueError, match="nobody tells whose"):
        AccessControl({METHOD: entry}, {Owned.FARMER: owners})
    limited = Access(
        owners=True,
        owners_own=OF_OWNER,
        limits={Standing.FARMER_SUSPENDED: Allows.OPERATORS},
    )
    with pytest.raises(ValueError, match="nobody tells the standing"):
        AccessControl({METHOD: limited}, {}, accounts={Owned.FARMER: owners})
