"""Code that may be uploaded: localnet runs models, so it takes only code for which it has a model.

The figures are those of the real host (soroban-env-host 23, mainnet's calibration) for this very
file: `make contracts` prints them. Another file has another hash and is not known.

The farm's code is a small module of localnet's own (modules.py). Rent is nevertheless paid for as
many bytes as the real file has, and for the memory of its parsed module.
"""

from dataclasses import dataclass

from stellar_sdk import xdr

from localnet.soroban.modules import HEAD_FARM_CODE, OLD_BUILD


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


#: Bytes of the real farm's code, the build of March 2025; the head's is assumed to be as large.
FARM_CODE_BYTES = 19_492
#: Hash of that file, by which recordings of a real network name it.
RECORDED_FARM_CODE = bytes.fromhex(
    "db2c14290d4964e3805f2527dd132939ba5fb3fccac56b30bfab8fd091011627"
)
#: With its instance, the farm's code pays 141 stroops of rent per ledger, as measured.
_FARM = Module(module_bytes=504_136, counts=(8054, 68, 3, 5, 32, 7, 1, 38, 13, 1016))
#: The farm's code, in whose place the real file is paid for.
FARM_CODES = {OLD_BUILD: _FARM, HEAD_FARM_CODE: _FARM}
_FIGURES = {**UPLOADABLE, **FARM_CODES, RECORDED_FARM_CODE: _FARM}


def extension(code: bytes) -> xdr.ContractCodeEntryExt:
    """Return the extension of the entry of code with this hash."""
    figures = _FIGURES.get(code)
    return xdr.ContractCodeEntryExt(0) if figures is None else figures.extension()


def rent_bytes(code: bytes, entry_bytes: int, code_bytes: int, farm_code_bytes: int) -> int:
    """Return the bytes for which code with this hash pays rent.

    The code has `code_bytes` of its entry's `entry_bytes`. The farm's code pays for
    `farm_code_bytes` instead, and all code whose real file is known for its parsed module, too.
    """
    figures = _FIGURES.get(code)
    shown = farm_code_bytes - code_bytes if code in FARM_CODES else 0
    return entry_bytes + shown + (0 if figures is None else figures.module_bytes)
