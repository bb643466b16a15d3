"""Small WebAssembly modules: exported functions that trap, and a contract's interface.

localnet runs models of contracts and no code, so that the functions have no content. Everything
else is as in a compiled contract: clients read the interface from the sections.
"""

from collections.abc import Mapping, Sequence

_HEADER = b"\0asm\x01\0\0\0"
_CUSTOM, _TYPES, _FUNCTIONS, _EXPORTS, _CODE = 0, 1, 3, 7, 10
#: A function's type starts with this byte; every value of a contract is an i64.
_FUNCTION_TYPE, _I64 = b"\x60", b"\x7e"
#: Kind of an export that is a function.
_FUNCTION_EXPORT = b"\0"
#: The body of each function: no local variables, `unreachable`, end.
_TRAP = b"\0\0\x0b"


def module(functions: Mapping[str, int], sections: Mapping[str, bytes]) -> bytes:
    """Return a module with custom sections and with these functions.

    `functions` has the number of arguments of each function, by its name.
    """
    counts = sorted(set(functions.values()))
    types = [_FUNCTION_TYPE + _sized([_I64] * count) + _sized([_I64]) for count in counts]
    exports = [
        _text(name) + _FUNCTION_EXPORT + _number(index) for index, name in enumerate(functions)
    ]
    return (
        _HEADER
        + _section(_TYPES, _sized(types))
        + _section(_FUNCTIONS, _sized([_number(counts.index(n)) for n in functions.values()]))
        + _section(_EXPORTS, _sized(exports))
        + _section(_CODE, _sized([_number(len(_TRAP)) + _TRAP] * len(functions)))
        + b"".join(_section(_CUSTOM, _text(name) + body) for name, body in sections.items())
    )


def _section(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + _number(len(content)) + content


def _sized(items: Sequence[bytes]) -> bytes:
    return _number(len(items)) + b"".join(items)


def _text(name: str) -> bytes:
    encoded = name.encode()
    return _number(len(encoded)) + encoded


def _number(value: int) -> bytes:
    """Return a number in LEB128, seven bits in a byte."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
