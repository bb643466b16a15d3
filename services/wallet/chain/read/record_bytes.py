"""Small records of the farm, read byte by byte with the SDK's results at a tenth of its cost.

A block's works and harvests look at a thousand pails, and each ledger at the block. A record that
is not written exactly as expected is left to the SDK; a test compares the results of both. Names of
the types are those of Stellar-contract.x.
"""

import struct

_u32 = struct.Struct(">I").unpack_from

_VOID, _U32, _U64, _I128, _BYTES, _SYMBOL, _MAP = 1, 3, 5, 10, 13, 15, 17
#: LedgerEntryData of CONTRACT_DATA: its type, and its ExtensionPoint, which a LedgerKey lacks.
_TYPE, _EXTENSION = bytes([0, 0, 0, 6]), bytes(4)
#: Bytes of an SCVal by its type, type included.
_SIZES = {_VOID: 4, _U32: 8, _U64: 12, _I128: 20}

Fields = dict[str, int | bytes | None]


def read_record(data: bytes, key: bytes) -> Fields | None:
    """Return the fields of the record under a LedgerKey in its LedgerEntryData.

    None when the record is anything but a map of symbols to nothing, numbers of 32 or 64 bits,
    signed numbers of 128 bits, or bytes: the caller then asks the SDK.
    """
    start = _TYPE + _EXTENSION + key[len(_TYPE) :]
    if not data.startswith(start):
        return None
    try:
        return _read_map(data, len(start))
    except (struct.error, UnicodeDecodeError):
        return None


def _read_map(data: bytes, at: int) -> Fields | None:
    kind, is_there, count = _u32(data, at)[0], _u32(data, at + 4)[0], _u32(data, at + 8)[0]
    if (kind, is_there) != (_MAP, 1):
        return None
    at += 12
    fields: Fields = {}
    for _ in range(count):
        tag, length = _u32(data, at)[0], _u32(data, at + 4)[0]
        name = data[at + 8 : at + 8 + length].decode("ascii")
        at += 8 + (length + 3) // 4 * 4
        value = _u32(data, at)[0]
        if tag == _SYMBOL and value == _BYTES:
            start, length = at + 8, _u32(data, at + 4)[0]
            fields[name], at = data[start : start + length], start + (length + 3) // 4 * 4
            continue
        if tag != _SYMBOL or value not in _SIZES:
            return None
        content, at = data[at + 4 : at + _SIZES[value]], at + _SIZES[value]
        number = int.from_bytes(content, "big", signed=value == _I128)
        fields[name] = None if value == _VOID else number
    return fields if at == len(data) else None
