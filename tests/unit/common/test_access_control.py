"""Who is turned away is told why, by a reason and the names of what was wrong."""

from collections.abc import Collection, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from libs.common.errors import PermissionDeniedError
from libs.common.grpc.access import Access, AccessControl, Owned
from libs.common.grpc.identity import Caller, CallerKind, Grant

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
