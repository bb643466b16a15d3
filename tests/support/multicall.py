"""The multicall contract as tests deploy and call it: only host functions and XDR."""

from collections.abc import Sequence
from importlib import resources

from stellar_sdk import Address, scval, xdr

from localnet.soroban.uploads import MULTICALL_CODE

#: The file that the wallet ships.
MULTICALL = (
    resources.files("services.wallet.chain.build").joinpath("contracts/multicall.wasm").read_bytes()
)
SALT = b"multicall of the tests".ljust(32, b"\0")


def upload(code: bytes = MULTICALL) -> xdr.HostFunction:
    """Return the host function that uploads code."""
    return xdr.HostFunction(xdr.HostFunctionType.HOST_FUNCTION_TYPE_UPLOAD_CONTRACT_WASM, wasm=code)


def preimage(deployer: str, salt: bytes = SALT) -> xdr.ContractIDPreimage:
    """Return the preimage from which a contract's id follows."""
    from_address = xdr.ContractIDPreimageFromAddress(
        address=Address(deployer).to_xdr_sc_address(), salt=xdr.Uint256(salt)
    )
    kind = xdr.ContractIDPreimageType.CONTRACT_ID_PREIMAGE_FROM_ADDRESS
    return xdr.ContractIDPreimage(kind, from_address=from_address)


def executable(code: bytes = MULTICALL_CODE) -> xdr.ContractExecutable:
    """Return the code that a contract runs."""
    kind = xdr.ContractExecutableType.CONTRACT_EXECUTABLE_WASM
    return xdr.ContractExecutable(kind, wasm_hash=xdr.Hash(code))


def create(
    deployer: str,
    *,
    code: bytes = MULTICALL_CODE,
    arguments: Sequence[xdr.SCVal] = (),
) -> xdr.HostFunction:
    """Return the host function that creates the contract of this deployer and the tests' salt."""
    args = xdr.CreateContractArgsV2(preimage(deployer), executable(code), list(arguments))
    kind = xdr.HostFunctionType.HOST_FUNCTION_TYPE_CREATE_CONTRACT_V2
    return xdr.HostFunction(kind, create_contract_v2=args)


def create_v1(deployer: str) -> xdr.HostFunction:
    """Return the older form of the host function that creates a contract."""
    args = xdr.CreateContractArgs(preimage(deployer), executable())
    kind = xdr.HostFunctionType.HOST_FUNCTION_TYPE_CREATE_CONTRACT
    return xdr.HostFunction(kind, create_contract=args)


def call(contract: str, function: str, *arguments: xdr.SCVal) -> xdr.SCVal:
    """Return one entry of the list that exec takes."""
    items = scval.to_vec(list(arguments))
    return scval.to_vec([scval.to_address(contract), scval.to_symbol(function), items])


def error(number: int) -> xdr.SCVal:
    """Return Error(Contract, #number) as a value."""
    kind = xdr.SCErrorType.SCE_CONTRACT
    value = xdr.SCError(kind, contract_code=xdr.Uint32(number))
    return xdr.SCVal(xdr.SCValType.SCV_ERROR, error=value)


def context_error() -> xdr.SCVal:
    """Return Error(Context, InvalidAction) as a value: any other failure that can be caught."""
    kind = xdr.SCErrorType.SCE_CONTEXT
    value = xdr.SCError(kind, code=xdr.SCErrorCode.SCEC_INVALID_ACTION)
    return xdr.SCVal(xdr.SCValType.SCV_ERROR, error=value)
