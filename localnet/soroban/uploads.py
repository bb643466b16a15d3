"""Code that may be uploaded: localnet runs models, so it takes only code for which it has a model.

The figures are those of the real host (soroban-env-host 23, mainnet's calibration) for this very
file: `make contracts` prints them. Another file has another hash and is not known.

Code that genesis stores is without its bytes. Rent is nevertheless paid for as many bytes as the
real file has, and for the memory of its parsed module.
"""

from dataclasses import dataclass
from hashlib import sha256

from stellar_sdk import xdr


@dataclass(frozen=True, kw_only=True)
class Work:
    """The host's work for one step, with the margins of a simulation."""

    #: CPU instructions.
    instructions: int
    #: Bytes of memory.
    memory: int


@dataclass(frozen=True, kw_only=True)
class Module:
    """One file of code as the host parses it."""

    #: Bytes of memory that the parsed module takes; rent is paid for these, too.
    module_bytes: int
    #: The host's counts of the file's parts, in the order of ContractCodeCostInputs.
    counts: tuple[int, ...]

    def extension(self) -> xdr.ContractCodeEntryExt:
        """Return the counts as the code's entry holds them."""
        inputs = xdr.ContractCodeCostInputs(xdr.ExtensionPoint(0), *map(xdr.Uint32, self.counts))
        v1 = xdr.ContractCodeEntryV1(ext=xdr.ExtensionPoint(0), cost_inputs=inputs)
        return xdr.ContractCodeEntryExt(1, v1=v1)


@dataclass(frozen=True, kw_only=True)
class Placed(Module):
    """Code that genesis stores."""

    #: Bytes of the real file.
    size: int

    def body(self, code: bytes) -> bytes:
        """Return as many bytes as the real file has; a model needs none of them."""
        return (code * (self.size // len(code) + 1))[: self.size]


@dataclass(frozen=True, kw_only=True)
class Uploadable(Module):
    """Code that may be uploaded."""

    #: Work of uploading the code.
    upload: Work
    #: Work of uploading the code when it exists already.
    upload_again: Work
    #: Work of creating a contract that runs the code.
    create: Work


#: SHA-256 of the compiled contracts/multicall.
MULTICALL_CODE = bytes.fromhex("a192d592ef057d0d7ef529115741ec9c668d5a87ce5b09f651df7af7cd83b70d")

UPLOADABLE = {
    MULTICALL_CODE: Uploadable(
        module_bytes=50_641,
        # instructions, functions, globals, table entries, types, data and element segments,
        # imports, exports, bytes of data segments
        counts=(281, 17, 4, 1, 11, 1, 0, 6, 5, 44),
        upload=Work(instructions=2_424_296, memory=1_573_866),
        upload_again=Work(instructions=2_587_504, memory=1_578_185),
        create=Work(instructions=1_021_763, memory=2_414_849),
    )
}


#: The farm's build of March 2025, which mainnet ran at the time of the recordings.
OLD_BUILD = bytes.fromhex("db2c14290d4964e3805f2527dd132939ba5fb3fccac56b30bfab8fd091011627")
#: Hash of the head of the farm's source; it was never recorded, so that any hash can stand for it.
HEAD_FARM_CODE = sha256(b"kalepool localnet farm at HEAD").digest()

#: With its instance, the farm's code pays 141 stroops of rent per ledger, as measured.
_FARM = Placed(size=19_492, module_bytes=504_136, counts=(8054, 68, 3, 5, 32, 7, 1, 38, 13, 1016))
#: Code of genesis whose real file is known; the head's build is assumed to be as large.
PLACED = {OLD_BUILD: _FARM, HEAD_FARM_CODE: _FARM}


def module_bytes(code: bytes) -> int:
    """Return the memory that rent counts for code with this hash; 0 when its file is not known."""
    found = UPLOADABLE.get(code) or PLACED.get(code)
    return 0 if found is None else found.module_bytes
