"""The fee of a call that worked, read byte by byte, is what the SDK reads."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import xdr

from services.wallet.chain.read.result_bytes import fee_of_one_call

hashes = st.binary(min_size=32, max_size=32).map(xdr.Hash)
fees = st.integers(-(2**63), 2**63 - 1)
WORKED = {"txSUCCESS", "txFEE_BUMP_INNER_SUCCESS"}
CALL = xdr.OperationType.INVOKE_HOST_FUNCTION


def calls(result: xdr.Hash, code: str = "SUCCESS") -> xdr.OperationResult:
    """The result of a call of a contract."""
    named = xdr.InvokeHostFunctionResultCode[f"INVOKE_HOST_FUNCTION_{code}"]
    success = result if code == "SUCCESS" else None
    inside = xdr.InvokeHostFunctionResult(named, success=success)
    body = xdr.OperationResultTr(CALL, invoke_host_function_result=inside)
    return xdr.OperationResult(xdr.OperationResultCode.opINNER, tr=body)


def alone(fee: int, operations: list[xdr.OperationResult]) -> xdr.TransactionResult:
    """The result of a transaction with these operations."""
    return xdr.TransactionResult(
        fee_charged=xdr.Int64(fee),
        result=xdr.TransactionResultResult(xdr.TransactionResultCode.txSUCCESS, results=operations),
        ext=xdr.TransactionResultExt(0),
    )


def bumped(fee: int, own: int, name: xdr.Hash, call: xdr.OperationResult) -> xdr.TransactionResult:
    """The result of a fee bump around a transaction with one operation."""
    inner = xdr.InnerTransactionResult(
        fee_charged=xdr.Int64(own),
        result=xdr.InnerTransactionResultResult(
            xdr.TransactionResultCode.txSUCCESS, results=[call]
        ),
        ext=xdr.InnerTransactionResultExt(0),
    )
    pair = xdr.InnerTransactionResultPair(transaction_hash=name, result=inner)
    return xdr.TransactionResult(
        fee_charged=xdr.Int64(fee),
        result=xdr.TransactionResultResult(
            xdr.TransactionResultCode.txFEE_BUMP_INNER_SUCCESS, inner_result_pair=pair
        ),
        ext=xdr.TransactionResultExt(0),
    )


worked = st.one_of(
    st.builds(lambda fee, result: alone(fee, [calls(result)]), fees, hashes),
    st.builds(bumped, fees, fees, hashes, hashes.map(calls)),
)


@given(worked)
def test_the_fee_of_one_call_is_read(result: xdr.TransactionResult) -> None:
    assert fee_of_one_call(result.to_xdr()) == result.fee_charged.int64


@given(worked, st.data())
def test_a_changed_byte_is_read_as_the_sdk_reads_it_or_left_to_it(
    result: xdr.TransactionResult, data: st.DataObject
) -> None:
    raw = bytearray(result.to_xdr_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    fee = fee_of_one_call(base64.b64encode(raw).decode())
    if fee is not None:
        read = xdr.TransactionResult.from_xdr_bytes(bytes(raw))
        assert read.fee_charged.int64 == fee
        assert read.result.code.name in WORKED


@given(worked, st.binary(min_size=1, max_size=8))
def test_other_lengths_are_left_to_the_sdk(result: xdr.TransactionResult, more: bytes) -> None:
    raw = result.to_xdr_bytes()
    for other in (raw + more, raw[: -len(more)]):
        assert fee_of_one_call(base64.b64encode(other).decode()) is None


@pytest.mark.parametrize(
    "operations",
    [
        [],
        [calls(xdr.Hash(bytes(32)))] * 2,
        [calls(xdr.Hash(bytes(32)), "TRAPPED")],
        [xdr.OperationResult(xdr.OperationResultCode.opNO_ACCOUNT)],
    ],
)
def test_anything_but_one_call_that_worked_is_left_to_the_sdk(
    operations: list[xdr.OperationResult],
) -> None:
    assert fee_of_one_call(alone(7, operations).to_xdr()) is None


@pytest.mark.parametrize("text", ["", "AAAA", "no base64", "é" * 88])
def test_what_is_no_base64_of_a_result_is_left_to_the_sdk(text: str) -> None:
    assert fee_of_one_call(text) is None
