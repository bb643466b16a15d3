"""localnet's code: WebAssembly modules that say what the contracts offer."""

from hashlib import sha256
from itertools import pairwise
from typing import Any

import pytest
from stellar_sdk import xdr
from xdrlib3 import Unpacker

from localnet.soroban import interfaces, wasm
from localnet.soroban.callers import Router, Tractor
from localnet.soroban.farm import Farm, OldFarm
from localnet.soroban.interfaces import Interface
from localnet.soroban.modules import (
    HEAD_FARM_CODE,
    MODULES,
    OLD_BUILD,
    ROUTER_CODE,
    TRACTOR_CODE,
)
from localnet.soroban.storage import code_key, instance_key
from localnet.soroban.uploads import (
    FARM_CODE_BYTES,
    MULTICALL_CODE,
    RECORDED_FARM_CODE,
    rent_bytes,
)
from tests.unit.localnet_soroban.genesis_world import FARM, Contracts

#: SHA-256 of the interface in the file of the real farm (the section contractspecv0).
PUBLISHED = "21bc0f6848d5674f28b19859ceb78551f75895092bfb1ba1b545c2c63c9945cd"
CONTRACTS = {
    OLD_BUILD: (interfaces.FARM, OldFarm),
    HEAD_FARM_CODE: (interfaces.FARM, Farm),
    TRACTOR_CODE: (interfaces.TRACTOR, Tractor),
    ROUTER_CODE: (interfaces.ROUTER, Router),
}


class Reader:
    """Reads a module by the rules of the WebAssembly specification."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def take(self, count: int) -> bytes:
        found = self.data[self.place : self.place + count]
        assert len(found) == count, "the module ends too early"
        self.place += count
        return found

    def number(self) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def text(self) -> str:
        return self.take(self.number()).decode()

    @property
    def at_end(self) -> bool:
        return self.place == len(self.data)


def sections(code: bytes) -> tuple[dict[int, Reader], dict[str, bytes]]:
    """Return the module's own sections by kind, and the custom ones by name."""
    reader = Reader(code)
    assert reader.take(8) == b"\0asm\x01\0\0\0"
    own: dict[int, Reader] = {}
    custom: dict[str, bytes] = {}
    order = []
    while not reader.at_end:
        kind, content = reader.take(1)[0], Reader(reader.take(reader.number()))
        if kind:
            order.append(kind)
            own[kind] = content
        else:
            name = content.text()
            custom[name] = content.data[content.place :]
    assert all(first < second for first, second in pairwise(order))
    return own, custom


def exported(code: bytes) -> dict[str, int]:
    """Return the module's functions and the number of their arguments; check what they do."""
    own, _ = sections(code)
    types, functions, exports, bodies = (own[kind] for kind in (1, 3, 7, 10))
    parameters = []
    for _ in range(types.number()):
        assert types.take(1) == b"\x60"
        taken = types.take(types.number())
        assert set(taken) <= {0x7E}
        assert types.take(types.number()) == b"\x7e"
        parameters.append(len(taken))
    kinds = [parameters[functions.number()] for _ in range(functions.number())]
    found = {}
    for _ in range(exports.number()):
        name = exports.text()
        assert exports.take(1) == b"\0"
        found[name] = kinds[exports.number()]
    assert bodies.number() == len(kinds)
    for _ in kinds:
        # No variables; unreachable; end.
        assert bodies.take(bodies.number()) == b"\0\0\x0b"
    assert all(section.at_end for section in own.values())
    return found


def entries_of(section: bytes, kind: Any) -> list[object]:
    """Return the XDR values that follow one another in a section."""
    reader, found = Unpacker(section), []
    while reader.get_position() < len(section):
        found.append(kind.unpack(reader))
    return found


@pytest.mark.parametrize("code", MODULES, ids=lambda code: code.hex()[:8])
def test_a_module_has_the_functions_of_its_interface(code: bytes) -> None:
    interface, model = CONTRACTS[code]
    found = exported(MODULES[code])
    told = entries_of(sections(MODULES[code])[1]["contractspecv0"], xdr.SCSpecEntry)
    assert told == list(interface.entries)
    assert found == interface.functions
    assert {name for name in found if not name.startswith("__")} == model.functions


def test_a_module_says_for_which_protocol_it_is_and_what_it_is() -> None:
    descriptions = set()
    for code in MODULES.values():
        _, custom = sections(code)
        assert list(custom) == ["contractspecv0", "contractenvmetav0", "contractmetav0"]
        version = xdr.SCEnvMetaEntry.from_xdr_bytes(custom["contractenvmetav0"])
        assert version.interface_version is not None
        assert version.interface_version.protocol.uint32 == 22
        note = xdr.SCMetaEntry.from_xdr_bytes(custom["contractmetav0"]).v0
        assert note is not None
        assert note.key == b"desc"
        descriptions.add(note.val)
    assert len(descriptions) == len(MODULES)


def test_the_farm_has_the_published_interface() -> None:
    for code in (OLD_BUILD, HEAD_FARM_CODE):
        _, custom = sections(MODULES[code])
        assert sha256(custom["contractspecv0"]).hexdigest() == PUBLISHED


def test_a_module_is_stored_under_its_hash() -> None:
    contracts = Contracts()
    for code, module in MODULES.items():
        assert sha256(module).digest() == code
        entry = contracts.entries[code_key(code).raw].entry.data.contract_code
        assert entry is not None
        assert (entry.hash.hash, entry.code) == (code, module)
    farm = contracts.entries[instance_key(FARM).raw].entry.data.contract_data
    assert farm is not None
    assert farm.val.instance is not None
    assert farm.val.instance.executable.wasm_hash is not None
    assert farm.val.instance.executable.wasm_hash.hash == OLD_BUILD


@pytest.mark.parametrize("size", [0, 127, 128, 16_384])
def test_lengths_of_any_size_are_written(size: int) -> None:
    names = {f"f{n}": n % 3 for n in range(max(1, size // 100))}
    code = wasm.module(names, {"more": bytes(size)})
    assert exported(code) == names
    assert sections(code)[1] == {"more": bytes(size)}


def test_a_module_without_functions() -> None:
    assert exported(wasm.module({}, {})) == {}
    assert Interface(entries=()).functions == {}


def test_rent_is_paid_for_the_real_file() -> None:
    """The farm's own module counts as so many bytes as are set; other code as it is."""
    for code in (OLD_BUILD, HEAD_FARM_CODE):
        assert rent_bytes(code, 2_100, 2_000, FARM_CODE_BYTES) == 100 + 19_492 + 504_136
        assert rent_bytes(code, 2_100, 2_000, 5) == 100 + 5 + 504_136
    assert rent_bytes(RECORDED_FARM_CODE, 20_000, 19_492, 5) == 20_000 + 504_136
    assert rent_bytes(MULTICALL_CODE, 1_600, 1_500, 5) == 1_600 + 50_641
    assert rent_bytes(TRACTOR_CODE, 600, 500, 5) == 600
