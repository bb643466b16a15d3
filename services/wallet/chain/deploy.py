"""Deploying our multicall contract: its code is uploaded, then a contract is created from it.

Two transactions of the treasury, in this order. Both can be repeated: code that is there already
changes nothing, and a contract that is there already fails with Error(Storage, ExistingValue). The
contract's id follows from network, deployer and salt, and the salt is the code's hash: one deployer
has one multicall for each version of the code, wherever and however often it is asked for.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib import resources

from stellar_sdk import Account, InvokeHostFunction, StrKey, TransactionBuilder, xdr
from stellar_sdk import TransactionEnvelope as Envelope
from stellar_sdk.address import Address

from services.wallet.chain import ledger_keys
from services.wallet.chain.envelopes import MIN_INCLUSION_FEE, Terms, sign
from services.wallet.chain.errors import FeeCapExceededError
from services.wallet.chain.model import SignedEnvelope, Signer
from services.wallet.chain.shapes import RESOURCE_FEE_MARGIN


@dataclass(frozen=True, kw_only=True)
class DeploymentStep:
    """One transaction of a deployment: the upload of the code, or the creation of the contract."""

    #: For people and logs: upload or create.
    name: str
    #: The ledger entry that it makes (LedgerKey, base64): it is done when this is there.
    makes: str
    #: What it asks of the host.
    function: xdr.HostFunction

    def operation(self, auth: list[xdr.SorobanAuthorizationEntry]) -> InvokeHostFunction:
        """The operation, with the authorisations that it needs."""
        return InvokeHostFunction(host_function=self.function, auth=auth)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What a simulation found out about a step."""

    #: Footprint and resources.
    data: xdr.SorobanTransactionData
    #: Authorisations; those of the source account need no signature of their own.
    auth: tuple[xdr.SorobanAuthorizationEntry, ...]
    #: Stroops of XLM for the resources.
    resource_fee: int


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """Where our multicall contract is for one deployer, and how it gets there."""

    #: Its contract id (strkey C...).
    contract: str
    #: SHA-256 of its code (hex).
    code_hash: str
    #: Upload and creation, in the order in which they are done.
    steps: tuple[DeploymentStep, ...]

    @property
    def entry_keys(self) -> list[str]:
        """Ledger entries (base64) that tell how far it is."""
        return [step.makes for step in self.steps]

    def missing(self, present: Collection[str]) -> tuple[DeploymentStep, ...]:
        """What is still to be done when these entries exist (and have not expired)."""
        return tuple(step for step in self.steps if step.makes not in present)


@cache
def multicall_code() -> bytes:
    """The compiled contract (contracts/multicall)."""
    return (resources.files(__package__) / "contracts" / "multicall.wasm").read_bytes()


def multicall_deployment(*, deployer: str, passphrase: str) -> Deployment:
    """The multicall of this deployer (strkey G...) on the network with this passphrase."""
    code = multicall_code()
    code_hash = sha256(code).digest()
    preimage = _preimage(deployer, salt=code_hash)
    contract = contract_id(passphrase, preimage)
    upload = DeploymentStep(
        name="upload", makes=ledger_keys.code_key(code_hash), function=_upload(code)
    )
    create = DeploymentStep(
        name="create",
        makes=ledger_keys.instance_key(contract),
        function=_create(preimage, code_hash),
    )
    return Deployment(contract=contract, code_hash=code_hash.hex(), steps=(upload, create))


def contract_id(passphrase: str, preimage: xdr.ContractIDPreimage) -> str:
    """The id (strkey C...) of the contract that is created from a deployer and a salt."""
    network_id = xdr.Hash(sha256(passphrase.encode()).digest())
    hashed = xdr.HashIDPreimage(
        xdr.EnvelopeType.ENVELOPE_TYPE_CONTRACT_ID,
        contract_id=xdr.HashIDPreimageContractID(
            network_id=network_id, contract_id_preimage=preimage
        ),
    )
    return StrKey.encode_contract(sha256(hashed.to_xdr_bytes()).digest())


def prepare(*, transaction_data: str, auth: list[str], min_resource_fee: int) -> Prepared:
    """Reads a simulation's answer; the resource fee gets its margin."""
    data = xdr.SorobanTransactionData.from_xdr(transaction_data)
    fee = min_resource_fee + RESOURCE_FEE_MARGIN
    data.resource_fee = xdr.Int64(fee)
    entries = tuple(xdr.SorobanAuthorizationEntry.from_xdr(entry) for entry in auth)
    return Prepared(data=data, auth=entries, resource_fee=fee)


def build_step(
    step: DeploymentStep,
    *,
    source: str,
    sequence: int,
    terms: Terms,
    prepared: Prepared | None,
) -> Envelope:
    """The transaction with this sequence number; without `prepared`, for a simulation."""
    auth = list(prepared.auth) if prepared is not None else []
    bid = max(terms.inclusion_fee, MIN_INCLUSION_FEE)
    builder = TransactionBuilder(Account(source, sequence - 1), terms.passphrase, base_fee=bid)
    builder.append_operation(step.operation(auth)).add_time_bounds(0, terms.max_time)
    if prepared is not None:
        builder.set_soroban_data(prepared.data)
    envelope = builder.build()
    if prepared is not None:
        envelope.transaction.fee = bid + prepared.resource_fee
    return envelope


def sign_step(
    step: DeploymentStep, *, treasury: Signer, sequence: int, terms: Terms, prepared: Prepared
) -> SignedEnvelope:
    """The signed transaction; FeeCapExceededError when its bid would exceed terms.max_fee.

    The deployer must be the treasury: as the transaction's source it needs no other signature. The
    upload pays rent for the code's first life, so its cap has to be far above that of a call.
    """
    envelope = build_step(
        step, source=treasury.address, sequence=sequence, terms=terms, prepared=prepared
    )
    bid = envelope.transaction.fee
    if bid > terms.max_fee:
        raise FeeCapExceededError(
            f"the bid of {bid} stroops exceeds the cap of {terms.max_fee}",
            metadata={"bid": str(bid), "cap": str(terms.max_fee)},
        )
    sign(envelope, treasury)
    return SignedEnvelope(
        xdr=envelope.to_xdr(),
        hash=envelope.hash_hex(),
        inner_hash=None,
        source=treasury.address,
        sequence=sequence,
        max_time=terms.max_time,
        fee_bid=bid,
    )


def _preimage(deployer: str, *, salt: bytes) -> xdr.ContractIDPreimage:
    from_address = xdr.ContractIDPreimageFromAddress(
        address=Address(deployer).to_xdr_sc_address(), salt=xdr.Uint256(salt)
    )
    kind = xdr.ContractIDPreimageType.CONTRACT_ID_PREIMAGE_FROM_ADDRESS
    return xdr.ContractIDPreimage(kind, from_address=from_address)


def _upload(code: bytes) -> xdr.HostFunction:
    kind = xdr.HostFunctionType.HOST_FUNCTION_TYPE_UPLOAD_CONTRACT_WASM
    return xdr.HostFunction(kind, wasm=code)


def _create(preimage: xdr.ContractIDPreimage, code_hash: bytes) -> xdr.HostFunction:
    executable = xdr.ContractExecutable(
        xdr.ContractExecutableType.CONTRACT_EXECUTABLE_WASM, wasm_hash=xdr.Hash(code_hash)
    )
    args = xdr.CreateContractArgsV2(preimage, executable, constructor_args=[])
    kind = xdr.HostFunctionType.HOST_FUNCTION_TYPE_CREATE_CONTRACT_V2
    return xdr.HostFunction(kind, create_contract_v2=args)
