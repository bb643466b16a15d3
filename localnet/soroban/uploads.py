"""Code that may be uploaded: localnet runs models, so it takes only code that it has a model of.

The figures are those of the real host (soroban-env-host 23, mainnet's calibration) for this very
file: `make contracts` prints them. Another file has another hash, and is not known.
"""

from dataclasses import dataclass

from stellar_sdk import xdr


@dataclass(frozen=True, kw_only=True)
class Work:
    """What the host does, with the margins of a simulation."""

    #: CPU instructions.
    instructions: int
    #: Bytes of memory.
    memory: int


@dataclass(frozen=True, kw_only=True)
class Uploadable:
    """One file of code."""

    #: Bytes that its parsed module takes in memory; rent is paid for them, too.
    module_bytes: int
    #: What the host counts in it, in the order of ContractCodeCostInputs.
    counts: tuple[int, ...]
    #: Uploading it.
    upload: Work
    #: Uploading it when it is there already.
    upload_again: Work
    #: Creating a contract that runs it.
    create: Work

    def extension(self) -> xdr.ContractCodeEntryExt:
        """The counts as the code's entry holds them."""
        inputs = xdr.ContractCodeCostInputs(xdr.ExtensionPoint(0), *map(xdr.Uint32, self.counts))
        v1 = xdr.ContractCodeEntryV1(ext=xdr.ExtensionPoint(0), cost_inputs=inputs)
        return xdr.ContractCodeEntryExt(1, v1=v1)


#: SHA-256 of contracts/multicall as it is compiled.
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


def module_bytes(code: bytes) -> int:
    """Memory that rent counts for code with this hash; nothing for code that genesis put there."""
    found = UPLOADABLE.get(code)
    return 0 if found is None else found.module_bytes
