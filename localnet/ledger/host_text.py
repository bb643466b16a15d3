"""Contract values in the text form that the host prints in errors."""

from stellar_sdk import Address, scval, xdr

from localnet.soroban.errors import describe

_NUMBERS = frozenset(
    {
        xdr.SCValType.SCV_U32,
        xdr.SCValType.SCV_I32,
        xdr.SCValType.SCV_U64,
        xdr.SCValType.SCV_I64,
        xdr.SCValType.SCV_U128,
        xdr.SCValType.SCV_I128,
        xdr.SCValType.SCV_U256,
        xdr.SCValType.SCV_I256,
    }
)


def value_text(value: xdr.SCVal) -> str:
    """Return the text of one value."""
    if value.vec is not None:
        return "[" + ", ".join(value_text(v) for v in value.vec.sc_vec) + "]"
    if value.map is not None:
        pairs = (f"{value_text(e.key)}: {value_text(e.val)}" for e in value.map.sc_map)
        return "{" + ", ".join(pairs) + "}"
    return _leaf_text(value)


def _leaf_text(value: xdr.SCVal) -> str:
    """Return the text of a value that contains no other values.

    A value without a text form of its own is shown as the name of its XDR type.
    """
    text = value.type.name
    if value.error is not None:
        text = describe(value.error)
    elif value.str is not None:
        text = f'"{value.str.sc_string.decode(errors="replace")}"'
    elif value.sym is not None:
        text = value.sym.sc_symbol.decode(errors="replace")
    elif value.bytes is not None:
        text = f"Bytes({value.bytes.sc_bytes.hex()})"
    elif value.address is not None:
        text = Address.from_xdr_sc_address(value.address).address
    elif value.b is not None:
        text = str(value.b).lower()
    elif value.type is xdr.SCValType.SCV_VOID:
        text = "Void"
    elif value.type in _NUMBERS:
        text = str(scval.to_native(value))
    return text
