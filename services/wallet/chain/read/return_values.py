"""The return values of a transaction's calls, read from its result meta.

Decoding a whole meta costs a millisecond and more. In version 4, the return value stands just
before the events at the end of the meta, and the answer gives these events separately, too. So the
place of the return value follows from the events' lengths, and nothing else needs to be read. A
meta that does not look exactly as expected is decoded as a whole.
"""

import base64
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from stellar_sdk import scval, xdr

from services.wallet.chain.errors import UnknownAnswerError, error_name
from services.wallet.chain.node.fields import INT64, Json, needed, raw_bytes, texts
from services.wallet.chain.node.newer import decoded
from services.wallet.domain.chain_facts import CallResult, ContractError
from services.wallet.domain.kinds import OPERATION_KINDS, Carrier, Returned, carried_by

_u32 = struct.Struct(">I").pack
_META_V4 = _u32(4)
#: The newest version of a result meta that the SDK knows.
_NEWEST_META = 4
#: Events of one transaction at most.
_EVENTS = 10_000
_VEC = _u32(16) + _u32(1)


@dataclass(frozen=True, kw_only=True)
class _Form:
    """The encoding of a function's return value."""

    #: The bytes of the type.
    tag: bytes
    #: Length in bytes, type included.
    size: int
    #: Reads the bytes after the type.
    read: Callable[[bytes], int | None]
    #: Reads the decoded value; raises ValueError for a value of another type.
    take: Callable[[xdr.SCVal], int | None]


def _amount(value: int) -> int:
    if not 0 <= value <= INT64:
        raise ValueError("a return value that is no amount")
    return value


def _nothing(value: xdr.SCVal) -> None:
    if value.type is not xdr.SCValType.SCV_VOID:
        raise ValueError("a return value of a function that returns none")


_FORM_OF: Mapping[Returned, _Form] = {
    Returned.NOTHING: _Form(tag=_u32(1), size=4, read=lambda _: None, take=_nothing),  # SCV_VOID
    Returned.GAP: _Form(  # SCV_U32
        tag=_u32(3),
        size=8,
        read=lambda data: int.from_bytes(data, "big"),
        take=scval.from_uint32,
    ),
    Returned.REWARD: _Form(  # SCV_I128
        tag=_u32(10),
        size=20,
        read=lambda data: _amount(int.from_bytes(data, "big", signed=True)),
        take=lambda value: _amount(scval.from_int128(value)),
    ),
}
#: By function: a call of the farm has the name of its kind.
_FORMS: Mapping[str, _Form] = {
    kind.value: _FORM_OF[OPERATION_KINDS[kind].returned] for kind in carried_by(Carrier.FARM)
}

#: Error numbers of the token that a farm function can end in. They overlap with the farm's own
#: numbers, but of the errors that a function can meet, a number tells whose error it is
#: (contracts/multicall/README.md). A harvest shares 10 and 11 with the farm (not worked, no such
#: block). Only what a pail shows to be worked is carried together, so they count as the token's:
#: that reading ends no harvest for good, and the next try, alone, tells.
_TOKEN_NUMBERS: Mapping[str, frozenset[int]] = {
    "plant": frozenset({10, 11, 12, 13}),
    "work": frozenset(),
    "harvest": frozenset({10, 11, 13}),
}


def returned(answer: Json, functions: Sequence[str]) -> tuple[CallResult, ...]:
    """Return the result of each function that a successful transaction called, in order.

    The result is empty when the transaction called none. Raises UnknownAnswerError for a meta that
    the SDK does not know.
    """
    if not functions:
        return ()
    meta = needed(answer, "resultMetaXdr")
    if not isinstance(meta, str):
        raise TypeError("resultMetaXdr is no text")
    found = _at_the_end(meta, answer, functions)
    return found or _decoded(raw_bytes(meta, "resultMetaXdr"), functions)


def _length(text: str) -> int:
    """Return the number of bytes that a text in base64 stands for."""
    return len(text) // 4 * 3 - text.count("=", -2)


def _part(text: str, start: int, end: int) -> bytes:
    """Return some of the bytes that a text in base64 stands for.

    Four digits stand for three bytes.
    """
    first, last = start // 3, -(-end // 3)
    return base64.b64decode(text[4 * first : 4 * last])[start - 3 * first : end - 3 * first]


def _at_the_end(meta: str, answer: Json, functions: Sequence[str]) -> tuple[CallResult, ...] | None:
    """Return the results, if they stand at the expected place and all calls worked."""
    if _part(meta, 0, 4) != _META_V4:
        return None
    told = answer.get("events")
    events = [
        *texts(told if isinstance(told, dict) else {}, "transactionEventsXdr", most=_EVENTS),
        *texts(answer, "diagnosticEventsXdr", most=_EVENTS),
    ]
    # Two counts of four bytes, and the events themselves.
    end = _length(meta) - 8 - sum(map(_length, events))
    if len(functions) == 1:
        single = _values(meta, end, functions, prefix=b"")
        if single is not None:
            return single
    return _values(meta, end, functions, prefix=_VEC + _u32(len(functions)))


def _values(
    meta: str, end: int, functions: Sequence[str], *, prefix: bytes
) -> tuple[CallResult, ...] | None:
    forms = [_FORMS[function] for function in functions]
    position = len(prefix)
    start = end - sum(form.size for form in forms) - position
    if start < 0:
        return None
    values = _part(meta, start, end)
    if values[:position] != prefix:
        return None
    results: list[CallResult] = []
    for form in forms:
        item = values[position : position + form.size]
        if item[:4] != form.tag:
            return None
        results.append(CallResult(value=form.read(item[4:])))
        position += form.size
    return tuple(results)


def decode_meta(meta: bytes) -> xdr.TransactionMetaV3 | xdr.TransactionMetaV4 | None:
    """Decode a TransactionMeta; None for versions without contracts.

    Raises UnknownAnswerError for a version that is newer than the SDK.
    """
    if len(meta) < len(_META_V4):
        raise ValueError("a result meta that ends too early")
    if int.from_bytes(meta[: len(_META_V4)], "big", signed=True) > _NEWEST_META:
        raise UnknownAnswerError("the SDK does not know this version of result meta")
    found = decoded(xdr.TransactionMeta, meta)
    return found.v4 or found.v3


def _decoded(meta: bytes, functions: Sequence[str]) -> tuple[CallResult, ...]:
    body = decode_meta(meta)
    value = None if body is None or body.soroban_meta is None else body.soroban_meta.return_value
    if value is None:
        raise ValueError("a result meta without a return value")
    items = value.vec.sc_vec if value.vec is not None else [value]
    return tuple(_result(item, function) for item, function in zip(items, functions, strict=True))


def _result(value: xdr.SCVal, function: str) -> CallResult:
    if value.error is not None:
        return CallResult(error=call_error(value.error, function))
    return CallResult(value=_FORMS[function].take(value))


def call_error(error: xdr.SCError, function: str) -> ContractError:
    """Return the error for an error value that a multicall gave for one of its calls."""
    if error.contract_code is not None:
        number = error.contract_code.uint32
        raiser = "token" if number in _TOKEN_NUMBERS[function] else "farm"
        return ContractError(raiser=raiser, code=error_name(raiser, number))
    return host_error(error)


def host_error(error: xdr.SCError) -> ContractError:
    """Return the error for an error of the host, such as Storage/ExceededLimit."""
    kind = _camel(error.type.name.removeprefix("SCE_"))
    code = _camel(error.code.name.removeprefix("SCEC_")) if error.code is not None else ""
    return ContractError(raiser="host", code=f"{kind}/{code}")


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
