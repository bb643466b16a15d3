"""What calls returned, read at the end of a result meta or from the whole of it."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from stellar_sdk import scval, xdr

from services.wallet.chain.errors import UnknownAnswerError
from services.wallet.chain.read import return_values
from services.wallet.chain.read.return_values import decode_meta, returned
from services.wallet.domain.chain_facts import CallResult, ContractError

RECORDINGS = Path(__file__).parents[2] / "vectors" / "recordings"
INT64 = 2**63 - 1


def recorded(name: str) -> Any:
    """The result in a recorded answer."""
    body = json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))
    return body["response"]["result"]


def contract_error(number: int) -> xdr.SCVal:
    """An error of a contract, as a multicall gives it for one of its calls."""
    error = xdr.SCError(xdr.SCErrorType.SCE_CONTRACT, contract_code=xdr.Uint32(number))
    return xdr.SCVal(xdr.SCValType.SCV_ERROR, error=error)


def host_error(kind: xdr.SCErrorType, code: xdr.SCErrorCode) -> xdr.SCVal:
    """An error of the host."""
    return xdr.SCVal(xdr.SCValType.SCV_ERROR, error=xdr.SCError(kind, code=code))


NO_CHANGES = xdr.LedgerEntryChanges([])
EVENT = xdr.ContractEvent(
    xdr.ExtensionPoint(0),
    None,
    xdr.ContractEventType.SYSTEM,
    xdr.ContractEventBody(0, xdr.ContractEventV0([], scval.to_symbol("fee"))),
)


def answer(
    value: xdr.SCVal | None, *, events: int = 0, diagnostics: int = 0, tells_events: bool = True
) -> dict[str, Any]:
    """An answer with a meta of version 4 that ends in this value and these events."""
    own = [xdr.TransactionEvent(xdr.TransactionEventStage(0), EVENT) for _ in range(events)]
    more = [xdr.DiagnosticEvent(True, EVENT) for _ in range(diagnostics)]
    meta = xdr.TransactionMetaV4(
        xdr.ExtensionPoint(0),
        NO_CHANGES,
        [],
        NO_CHANGES,
        xdr.SorobanTransactionMetaV2(xdr.SorobanTransactionMetaExt(0), value),
        own,
        more,
    )
    told: dict[str, Any] = {"resultMetaXdr": xdr.TransactionMeta(4, v4=meta).to_xdr()}
    if tells_events:
        told["events"] = {"transactionEventsXdr": [item.to_xdr() for item in own]}
        told["diagnosticEventsXdr"] = [item.to_xdr() for item in more]
    return told


@pytest.fixture
def at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the end of a meta may be read."""

    def refuse(meta: bytes, functions: Sequence[str]) -> None:
        raise AssertionError("the whole meta was read")

    monkeypatch.setattr(return_values, "_decoded", refuse)


# At the end


@pytest.mark.usefixtures("at_the_end")
@pytest.mark.parametrize(
    ("name", "functions", "values"),
    [
        ("get_tx_plant_success", ["plant"], [None]),
        ("get_tx_fee_bump_success", ["plant"], [None]),
        ("get_tx_work_success", ["work"], [4]),
        ("get_tx_harvest_success", ["harvest"], [927_777_777]),
    ],
)
def test_a_recorded_calls_value_is_read_at_the_end(
    name: str, functions: list[str], values: list[int | None]
) -> None:
    assert returned(recorded(name), functions) == tuple(CallResult(value=item) for item in values)


@pytest.mark.parametrize(
    ("name", "function"),
    [("get_tx_router_plant_25", "plant"), ("get_tx_router_harvest_25", "harvest")],
)
def test_a_recorded_multicalls_values_are_those_of_the_whole_meta(name: str, function: str) -> None:
    told = recorded(name)
    found = returned(told, [function] * 25)
    assert len(found) == 25
    body = xdr.TransactionMeta.from_xdr(told["resultMetaXdr"]).v4
    assert body is not None
    assert body.soroban_meta is not None
    assert body.soroban_meta.return_value is not None
    assert body.soroban_meta.return_value.vec is not None
    items = body.soroban_meta.return_value.vec.sc_vec
    expected = [None if function == "plant" else scval.from_int128(item) for item in items]
    assert [item.value for item in found] == expected


@pytest.mark.usefixtures("at_the_end")
@pytest.mark.parametrize(("events", "diagnostics"), [(0, 0), (1, 0), (0, 1), (2, 3)])
def test_values_stand_before_the_events(events: int, diagnostics: int) -> None:
    many = partial(answer, events=events, diagnostics=diagnostics)
    assert returned(many(scval.to_uint32(7)), ["work"]) == (CallResult(value=7),)
    assert returned(many(scval.to_void()), ["plant"]) == (CallResult(value=None),)
    amounts = scval.to_vec([scval.to_int128(5), scval.to_int128(0)])
    assert returned(many(amounts), ["harvest", "harvest"]) == (
        CallResult(value=5),
        CallResult(value=0),
    )
    # A multicall of one call gives a list of one.
    one = scval.to_vec([scval.to_uint32(9)])
    assert returned(many(one), ["work"]) == (CallResult(value=9),)


@pytest.mark.usefixtures("at_the_end")
def test_events_that_a_node_does_not_list_are_none() -> None:
    told = answer(scval.to_uint32(7), tells_events=False)
    assert returned(told, ["work"]) == (CallResult(value=7),)
    assert returned({**told, "events": None}, ["work"]) == (CallResult(value=7),)


def test_where_the_events_hide_the_place_the_whole_meta_is_read() -> None:
    told = answer(scval.to_uint32(7), events=2, diagnostics=1, tells_events=False)
    assert returned(told, ["work"]) == (CallResult(value=7),)
    # More events than the meta has: no place is left before them.
    known = answer(scval.to_uint32(7))
    long = [EVENT.to_xdr() * 8] * 8
    assert returned({**known, "diagnosticEventsXdr": long}, ["work"]) == (CallResult(value=7),)


@pytest.mark.usefixtures("at_the_end")
def test_a_transaction_without_calls_returns_nothing() -> None:
    assert returned({}, []) == ()


def test_a_meta_that_is_no_text_is_refused() -> None:
    with pytest.raises(TypeError, match="resultMetaXdr is no text"):
        returned({"resultMetaXdr": 7}, ["work"])


# Amounts


@pytest.mark.parametrize("events", [True, False])
@pytest.mark.parametrize(
    ("amount", "is_fine"), [(0, True), (INT64, True), (-1, False), (INT64 + 1, False)]
)
def test_a_reward_is_an_amount(amount: int, is_fine: bool, events: bool) -> None:
    """Read at the end, or from the whole meta."""
    told = answer(scval.to_int128(amount), events=1, tells_events=events)
    if is_fine:
        assert returned(told, ["harvest"]) == (CallResult(value=amount),)
    else:
        with pytest.raises(ValueError, match="no amount"):
            returned(told, ["harvest"])


# From the whole meta


def v3(value: xdr.SCVal) -> dict[str, Any]:
    """A meta of version 3, whose value stands elsewhere."""
    meta = xdr.TransactionMetaV3(
        xdr.ExtensionPoint(0),
        NO_CHANGES,
        [],
        NO_CHANGES,
        xdr.SorobanTransactionMeta(xdr.SorobanTransactionMetaExt(0), [], value, []),
    )
    return {"resultMetaXdr": xdr.TransactionMeta(3, v3=meta).to_xdr()}


def test_an_older_meta_is_read_as_a_whole() -> None:
    assert returned(v3(scval.to_uint32(7)), ["work"]) == (CallResult(value=7),)
    both = scval.to_vec([scval.to_void(), scval.to_uint32(3)])
    assert returned(v3(both), ["plant", "work"]) == (
        CallResult(value=None),
        CallResult(value=3),
    )


def errors(values: Sequence[xdr.SCVal], functions: Sequence[str]) -> list[ContractError | None]:
    """The errors of a multicall's calls."""
    return [item.error for item in returned(answer(scval.to_vec(values)), functions)]


@pytest.mark.parametrize(
    ("function", "number", "raiser", "code"),
    [
        ("plant", 10, "token", "BalanceError"),
        ("plant", 13, "token", "TrustlineMissingError"),
        ("plant", 8, "farm", "PailExists"),
        ("work", 13, "farm", "HashInvalid"),
        ("work", 10, "farm", "WorkMissing"),
        ("harvest", 10, "token", "BalanceError"),
        ("harvest", 14, "farm", "HarvestNotReady"),
        ("harvest", 99, "farm", "99"),
    ],
)
def test_a_number_tells_whose_error_it_is(
    function: str, number: int, raiser: str, code: str
) -> None:
    found = errors([scval.to_void(), contract_error(number)], ["plant", function])
    assert found == [None, ContractError(raiser=raiser, code=code)]


def test_an_error_of_the_host_has_its_kind_and_code() -> None:
    value = host_error(xdr.SCErrorType.SCE_STORAGE, xdr.SCErrorCode.SCEC_EXCEEDED_LIMIT)
    assert errors([value], ["plant"]) == [
        ContractError(raiser="host", code="Storage/ExceededLimit")
    ]


@pytest.mark.parametrize(
    ("value", "functions", "why"),
    [
        (scval.to_uint32(1), ["plant"], "returns none"),
        (scval.to_void(), ["work"], ""),
        (scval.to_vec([scval.to_uint32(1)]), ["work", "work"], ""),
        (scval.to_vec([scval.to_uint32(1), scval.to_uint32(1)]), ["work"], ""),
    ],
)
def test_values_that_are_not_those_of_the_calls_are_refused(
    value: xdr.SCVal, functions: list[str], why: str
) -> None:
    with pytest.raises(ValueError, match=why or None):
        returned(v3(value), functions)


def test_a_meta_without_a_value_is_refused() -> None:
    with pytest.raises(ValueError, match="without a return value"):
        returned(answer(None), ["work"])


def test_a_meta_without_contracts_has_no_return_value() -> None:
    old = xdr.TransactionMeta(2, v2=xdr.TransactionMetaV2(NO_CHANGES, [], NO_CHANGES))
    with pytest.raises(ValueError, match="without a return value"):
        returned({"resultMetaXdr": old.to_xdr()}, ["plant"])
    assert decode_meta(old.to_xdr_bytes()) is None
    plain = xdr.TransactionMetaV4(xdr.ExtensionPoint(0), NO_CHANGES, [], NO_CHANGES, None, [], [])
    with pytest.raises(ValueError, match="without a return value"):
        returned({"resultMetaXdr": xdr.TransactionMeta(4, v4=plain).to_xdr()}, ["plant"])


def test_a_meta_of_a_newer_version_says_nothing() -> None:
    with pytest.raises(UnknownAnswerError):
        decode_meta((5).to_bytes(4, "big") + bytes(100))
    newest = xdr.TransactionMeta.from_xdr(answer(scval.to_void())["resultMetaXdr"])
    assert decode_meta(newest.to_xdr_bytes()) == newest.v4


@pytest.mark.parametrize("size", [0, 3])
def test_a_meta_that_ends_before_its_version_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="ends too early"):
        decode_meta(bytes(size))
