"""Why a transaction failed: by its events, by its operations, or by its own code."""

from collections.abc import Sequence
from typing import Any

import pytest
from stellar_sdk import StrKey, scval, xdr
from stellar_sdk.xdr import PaymentResultCode as Pay
from stellar_sdk.xdr import TransactionResultCode as Tx

from services.wallet.chain.build.calls import Farm
from services.wallet.chain.read.results import ResultReader
from services.wallet.domain.chain_facts import ContractError, LedgerHead, Outcome, OutcomeStatus

FARM = StrKey.encode_contract(bytes([1]) * 32)
TOKEN = StrKey.encode_contract(bytes([2]) * 32)
STRANGER = StrKey.encode_contract(bytes([3]) * 32)
FARMER = StrKey.encode_ed25519_public_key(bytes(32))
READER = ResultReader(farm=FARM, token=TOKEN)
HEAD = LedgerHead(sequence=100, close_time=7, oldest=1)
OP = xdr.OperationResultCode
CONTRACT, STORAGE = xdr.SCErrorType.SCE_CONTRACT, xdr.SCErrorType.SCE_STORAGE


def paid(code: Pay = Pay.PAYMENT_SUCCESS) -> xdr.OperationResult:
    """The result of a payment."""
    kind = xdr.OperationType.PAYMENT
    tr = xdr.OperationResultTr(kind, payment_result=xdr.PaymentResult(code))
    return xdr.OperationResult(OP.opINNER, tr)


def result(
    code: Tx = Tx.txFAILED, operations: Sequence[xdr.OperationResult] = (), *, fee: int = 300
) -> str:
    """The result of a transaction."""
    has_results = code in {Tx.txSUCCESS, Tx.txFAILED}
    body = xdr.TransactionResultResult(code, results=list(operations) if has_results else None)
    return xdr.TransactionResult(xdr.Int64(fee), body, xdr.TransactionResultExt(0)).to_xdr()


def bumped(code: Tx, operations: Sequence[xdr.OperationResult] = ()) -> str:
    """The result of a fee bump."""
    worked = code is Tx.txSUCCESS
    inner = xdr.InnerTransactionResult(
        xdr.Int64(0),
        xdr.InnerTransactionResultResult(
            code, results=list(operations) if code in {Tx.txSUCCESS, Tx.txFAILED} else None
        ),
        xdr.InnerTransactionResultExt(0),
    )
    outer = xdr.TransactionResultResult(
        Tx.txFEE_BUMP_INNER_SUCCESS if worked else Tx.txFEE_BUMP_INNER_FAILED,
        inner_result_pair=xdr.InnerTransactionResultPair(xdr.Hash(bytes(32)), inner),
    )
    return xdr.TransactionResult(xdr.Int64(300), outer, xdr.TransactionResultExt(0)).to_xdr()


def event(topics: Sequence[xdr.SCVal], contract: str | None = None) -> str:
    """A diagnostic event."""
    raised = xdr.ContractEvent(
        xdr.ExtensionPoint(0),
        None if contract is None else xdr.ContractID(xdr.Hash(StrKey.decode_contract(contract))),
        xdr.ContractEventType.DIAGNOSTIC,
        xdr.ContractEventBody(0, xdr.ContractEventV0(list(topics), scval.to_void())),
    )
    return xdr.DiagnosticEvent(False, raised).to_xdr()


def raised(number: int, contract: str | None = None) -> str:
    """The event of a contract's error."""
    error = xdr.SCError(CONTRACT, contract_code=xdr.Uint32(number))
    value = xdr.SCVal(xdr.SCValType.SCV_ERROR, error=error)
    return event([scval.to_symbol("error"), value], contract)


def of_host(contract: str | None = None) -> str:
    """The event of an error of the host."""
    error = xdr.SCError(STORAGE, code=xdr.SCErrorCode.SCEC_EXCEEDED_LIMIT)
    value = xdr.SCVal(xdr.SCValType.SCV_ERROR, error=error)
    return event([scval.to_symbol("error"), value], contract)


def outcome(encoded: str, *events: str, status: str = "FAILED", **more: Any) -> Outcome:
    """What an answer says of a transaction that calls nothing."""
    answer = {
        "status": status,
        "ledger": 90,
        "resultXdr": encoded,
        "diagnosticEventsXdr": list(events),
    }
    return READER.outcome({**answer, **more}, HEAD, [])


@pytest.mark.parametrize(
    ("contract", "number", "raiser", "code"),
    [
        (FARM, 8, "farm", "PailExists"),
        (TOKEN, 10, "token", "BalanceError"),
        (STRANGER, 8, "host", "8"),
        (None, 8, "host", "8"),
    ],
)
def test_an_error_is_that_of_the_contract_that_raised_it(
    contract: str | None, number: int, raiser: str, code: str
) -> None:
    found = outcome(result(), raised(number, contract))
    assert found.error == ContractError(raiser=raiser, code=code)


def test_an_error_of_the_host_is_the_hosts_whoever_met_it() -> None:
    expected = ContractError(raiser="host", code="Storage/ExceededLimit")
    assert outcome(result(), of_host(FARM)).error == expected


def test_the_first_error_counts_and_other_events_are_passed_over() -> None:
    others = [
        event([]),
        event([scval.to_symbol("error")]),
        event([scval.to_uint32(1), scval.to_uint32(2)]),
        event([scval.to_symbol("fn_call"), scval.to_symbol("plant")], FARM),
        event([scval.to_symbol("error"), scval.to_symbol("no error")], FARM),
    ]
    found = outcome(result(), *others, raised(8, FARM), raised(10, TOKEN))
    assert found.error == ContractError(raiser="farm", code="PailExists")


@pytest.mark.parametrize("bump", [False, True])
def test_without_an_event_the_first_operation_that_failed_tells(bump: bool) -> None:
    made = [
        paid(),
        paid(Pay.PAYMENT_NO_TRUST),
        xdr.OperationResult(OP.opNO_ACCOUNT),
        paid(Pay.PAYMENT_LINE_FULL),
        paid(),
    ]
    found = outcome(bumped(Tx.txFAILED, made) if bump else result(Tx.txFAILED, made))
    assert found.error == ContractError(raiser="transaction", code="PAYMENT_NO_TRUST")
    assert (found.failing, found.fee_charged, found.ledger) == ((1, 2, 3), 300, 90)


def test_an_operation_that_was_not_tried_has_its_own_code() -> None:
    found = outcome(result(Tx.txFAILED, [xdr.OperationResult(OP.opBAD_AUTH)]))
    assert found.error == ContractError(raiser="transaction", code="opBAD_AUTH")
    assert found.failing == (0,)


@pytest.mark.parametrize(
    ("encoded", "code"),
    [
        (result(Tx.txBAD_SEQ), "txBAD_SEQ"),
        (bumped(Tx.txBAD_SEQ), "txBAD_SEQ"),
        (result(Tx.txFAILED, [paid()]), "txFAILED"),
    ],
)
def test_without_an_operation_that_failed_the_transaction_tells(encoded: str, code: str) -> None:
    found = outcome(encoded)
    assert found.error == ContractError(raiser="transaction", code=code)
    assert found.failing == ()


@pytest.mark.parametrize(
    "encoded", [result(Tx.txSUCCESS, [paid()]), bumped(Tx.txSUCCESS, [paid()])]
)
def test_what_worked_has_no_error_though_an_event_tells_of_one(encoded: str) -> None:
    found = outcome(encoded, raised(8, FARM), status="SUCCESS")
    assert found.status is OutcomeStatus.SUCCESS
    assert (found.error, found.failing, found.results) == (None, (), ())
    assert (found.fee_charged, found.ledger, found.head) == (300, 90, HEAD)


@pytest.mark.parametrize(
    ("encoded", "status"),
    [
        (result(Tx.txFAILED, [paid(Pay.PAYMENT_NO_TRUST)]), "SUCCESS"),
        (result(Tx.txSUCCESS, [paid()]), "FAILED"),
        (bumped(Tx.txSUCCESS, [paid()]), "FAILED"),
        (bumped(Tx.txFAILED), "SUCCESS"),
    ],
)
def test_a_status_that_is_not_the_results_is_refused(encoded: str, status: str) -> None:
    with pytest.raises(ValueError, match="status is not that of resultXdr"):
        outcome(encoded, status=status)


def test_a_fee_may_be_nothing_but_not_less() -> None:
    assert outcome(result(Tx.txBAD_SEQ, fee=0)).fee_charged == 0
    with pytest.raises(ValueError, match="negative fee"):
        outcome(result(Tx.txBAD_SEQ, fee=-1))


@pytest.mark.parametrize(("ledger", "is_fine"), [(0, False), (1, True), (100, True), (101, False)])
def test_a_ledger_is_one_that_is_there(ledger: int, is_fine: bool) -> None:
    if is_fine:
        assert outcome(result(Tx.txBAD_SEQ), ledger=ledger).ledger == ledger
    else:
        with pytest.raises(ValueError, match="ledger is no number"):
            outcome(result(Tx.txBAD_SEQ), ledger=ledger)


def test_what_no_ledger_has_is_nothing_but_that() -> None:
    found = READER.outcome({"status": "NOT_FOUND"}, HEAD, [])
    assert found == Outcome(status=OutcomeStatus.NOT_FOUND, head=HEAD)


# Simulations


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("HostError: Error(Storage, ExceededLimit) and more)", "Storage/ExceededLimit"),
        ("HostError: Error(Storage)", "Unknown"),
        ("something else", "Unknown"),
    ],
)
def test_a_refusal_without_events_is_read_from_its_words(words: str, code: str) -> None:
    found = READER.refusal({"error": words})
    assert found is not None
    assert found.error == ContractError(raiser="host", code=code)
    assert (found.message, found.position) == (words, None)


def test_events_tell_more_than_the_words() -> None:
    found = READER.refusal(
        {
            "error": "HostError: Error(Storage, ExceededLimit)" + "x" * 3000,
            "events": [raised(8, FARM)],
        }
    )
    assert found is not None
    assert found.error == ContractError(raiser="farm", code="PailExists")
    assert len(found.message) == 2000


def test_what_did_not_fail_is_no_refusal() -> None:
    assert READER.refusal({}) is None
    assert READER.refusal({"error": ""}) is None


CALLS = [
    Farm(farm=FARM, token=TOKEN).plant(farmer=FARMER, index=1, stake=0),
    Farm(farm=FARM, token=TOKEN).harvest(farmer=FARMER, index=1),
    Farm(farm=FARM, token=TOKEN).harvest(farmer=FARMER, index=2),
]


def simulated(value: xdr.SCVal) -> dict[str, Any]:
    """A simulation's answer."""
    return {"results": [{"xdr": value.to_xdr(), "auth": []}]}


def failure(number: int) -> xdr.SCVal:
    """An error in the place of a call's value."""
    error = xdr.SCError(CONTRACT, contract_code=xdr.Uint32(number))
    return xdr.SCVal(xdr.SCValType.SCV_ERROR, error=error)


def test_the_first_call_of_a_multicall_that_would_fail_is_named() -> None:
    values = [scval.to_void(), failure(14), failure(8)]
    found = READER.failing_call(simulated(scval.to_vec(values)), CALLS)
    assert found is not None
    assert (found.position, found.error) == (
        1,
        ContractError(raiser="farm", code="HarvestNotReady"),
    )
    assert found.message == f"the call of {FARMER} fails"


def test_a_multicall_that_would_work_has_no_failing_call() -> None:
    values = [scval.to_void(), scval.to_int128(1), scval.to_int128(2)]
    assert READER.failing_call(simulated(scval.to_vec(values)), CALLS) is None
    assert READER.failing_call(simulated(scval.to_void()), CALLS[:1]) is None


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (simulated(scval.to_void()), "one for several calls"),
        (simulated(scval.to_vec([scval.to_void()])), ""),
        ({"results": []}, ""),
        ({"results": [{"xdr": "AAAAAQ=="}] * 2}, "no list of up to 1 items"),
        ({"results": [{"xdr": ""}]}, "xdr is no text"),
    ],
)
def test_results_that_are_not_those_of_the_calls_are_refused(
    answer: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValueError, match=why or None):
        READER.failing_call(answer, CALLS)
