"""The code that a localnet holds from its start: small modules with the contracts' interfaces.

A module is recognised by its hash, as everywhere on Stellar; what runs is localnet's model of the
contract. Both builds of the farm have the same interface and differ by their description only.
"""

from hashlib import sha256

from stellar_sdk import xdr

from localnet.soroban import interfaces, wasm
from localnet.soroban.interfaces import Interface

#: The protocol for which the real farm was compiled.
_PROTOCOL = 22


def _module(interface: Interface, description: str) -> bytes:
    version = xdr.SCEnvMetaEntryInterfaceVersion(xdr.Uint32(_PROTOCOL), xdr.Uint32(0))
    kind = xdr.SCEnvMetaKind.SC_ENV_META_KIND_INTERFACE_VERSION
    note = xdr.SCMetaV0(key=b"desc", val=description.encode())
    sections = {
        "contractspecv0": b"".join(entry.to_xdr_bytes() for entry in interface.entries),
        "contractenvmetav0": xdr.SCEnvMetaEntry(kind, interface_version=version).to_xdr_bytes(),
        "contractmetav0": xdr.SCMetaEntry(xdr.SCMetaKind.SC_META_V0, v0=note).to_xdr_bytes(),
    }
    return wasm.module(interface.functions, sections)


_OLD_FARM = _module(interfaces.FARM, "localnet's KALE farm, the build of March 2025")
_HEAD_FARM = _module(interfaces.FARM, "localnet's KALE farm, the head of the source")
_TRACTOR = _module(interfaces.TRACTOR, "localnet's tractor of KALE pails")
_ROUTER = _module(interfaces.ROUTER, "localnet's router of calls")

#: Hash of the code of the farm's build of March 2025.
OLD_BUILD = sha256(_OLD_FARM).digest()
#: Hash of the code of the farm at the head of its source.
HEAD_FARM_CODE = sha256(_HEAD_FARM).digest()
#: Hash of the tractor's code.
TRACTOR_CODE = sha256(_TRACTOR).digest()
#: Hash of the router's code.
ROUTER_CODE = sha256(_ROUTER).digest()

#: Every module by its hash.
MODULES = {
    OLD_BUILD: _OLD_FARM,
    HEAD_FARM_CODE: _HEAD_FARM,
    TRACTOR_CODE: _TRACTOR,
    ROUTER_CODE: _ROUTER,
}
