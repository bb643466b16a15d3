"""Deployment of our multicall contract: its code is uploaded, then a contract is created from it.

The deployment takes two transactions of the treasury, in this order. Both can be repeated: an
upload of code that is there already changes nothing, and the creation of a contract that is there
already fails with Error(Storage, ExistingValue). A third transaction lets code and contract live
longer before they are archived (STELLAR.md section 2). The contract's id follows from network,
deployer and salt, and the salt is the code's hash. So one deployer has one multicall for each
version of the code, wherever and however often the deployment is asked for.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib import resources

from stellar_sdk import (
    Account,
    InvokeHostFunction,
    StrKey,
    TransactionBuilder,
    xdr,
)
from stellar_sdk import TransactionEnvelope as Envelope
from stellar_sdk.address import Address

from services.wallet.chain.build import ledger_keys
from services.wallet.chain.build.envelopes import sign
from services.wallet.chain.errors import FeeCapExceededError
from services.wallet.chain.node.fields import (
    LONGEST_DATA,
    Json,
    decimal,
    needed,
    objects,
    raw_bytes,
    text,
    texts,
)
from services.wallet.chain.node.newer import decoded
from services.wallet.domain.bids import MIN_INCLUSION_FEE
from services.wallet.domain.chain_facts import SignedEnvelope, Signer
from services.wallet.domain.rent import MULTICALL_LIFE, MULTICALL_THRESHOLD

#: Ledgers that the entries live for after an extension: 120 days at 5 s a ledger. Their first life
#: on mainnet is as long; the maximum there is 180 days.
LIFE = MULTICALL_LIFE
#: Authorisations of one step at most; each is an authorisation of the deployer.
_AUTHORISATIONS = 10
#: Ledgers before the end of the entries' life from which on the entries are extended: 30 days.
RENEW = MULTICALL_THRESHOLD


@dataclass(frozen=True, kw_only=True)
class DeploymentStep:
    """One transaction of a deployment.

    It uploads the code, creates the contract, or lets both live longer.
    """

    #: Name for people and logs: upload, create or extend.
    name: str
    #: The source account of the transaction (strkey G...).
    deployer: str
    #: Passphrase of the transaction's network.
    passphrase: str
    #: The ledger entries (LedgerKeys, base64) that the step creates, or lets live longer.
    entries: tuple[str, ...]
    #: The host function that the step invokes; None for a longer life.
    function: xdr.HostFunction | None
    #: Ledgers that the entries are to have left after a longer life.
    extend_to: int = LIFE


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """The id of our multicall contract for one deployer, and the steps that deploy it."""

    #: Contract id of the multicall (strkey C...).
    contract: str
    #: SHA-256 of the contract's code (hex).
    code_hash: str
    #: Upload and creation, in this order.
    steps: tuple[DeploymentStep, ...]

    @property
    def entry_keys(self) -> list[str]:
        """Return the ledger entries (base64) that tell how far the deployment is."""
        return [key for step in self.steps for key in step.entries]

    def missing(self, present: Collection[str]) -> tuple[DeploymentStep, ...]:
        """Return the steps still to be done when these entries exist (and have not expired)."""
        return tuple(step for step in self.steps if not set(step.entries) <= set(present))

    def extension(self) -> DeploymentStep:
        """Return the step that lets all entries live for LIFE ledgers from now on."""
        first = self.steps[0]
        return extension(
            self.entry_keys, deployer=first.deployer, passphrase=first.passphrase, extend_to=LIFE
        )


def extension(
    entries: Sequence[str], *, deployer: str, passphrase: str, extend_to: int
) -> DeploymentStep:
    """Return the step after which entries (LedgerKeys, base64) have `extend_to` ledgers left.

    The entries may belong to any contract.
    """
    return DeploymentStep(
        name="extend",
        deployer=deployer,
        passphrase=passphrase,
        entries=tuple(entries),
        function=None,
        extend_to=extend_to,
    )


@cache
def multicall_code() -> bytes:
    """Return the compiled contract (contracts/multicall)."""
    return (resources.files(__package__) / "contracts" / "multicall.wasm").read_bytes()


def multicall_deployment(*, deployer: str, passphrase: str) -> Deployment:
    """Return the multicall deployment of a deployer (strkey G...).

    `passphrase` is that of the network.
    """
    code = multicall_code()
    code_hash = sha256(code).digest()
    preimage = _preimage(deployer, salt=code_hash)
    contract = contract_id(passphrase, preimage)
    upload = DeploymentStep(
        name="upload",
        deployer=deployer,
        passphrase=passphrase,
        entries=(ledger_keys.code_key(code_hash.hex()),),
        function=_upload(code),
    )
    create = DeploymentStep(
        name="create",
        deployer=deployer,
        passphrase=passphrase,
        entries=(ledger_keys.instance_key(contract),),
        function=_create(preimage, code_hash),
    )
    return Deployment(contract=contract, code_hash=code_hash.hex(), steps=(upload, create))


def contract_id(passphrase: str, preimage: xdr.ContractIDPreimage) -> str:
    """Return the id (strkey C...) of the contract that is created from a deployer and a salt."""
    network_id = xdr.Hash(sha256(passphrase.encode()).digest())
    hashed = xdr.HashIDPreimage(
        xdr.EnvelopeType.ENVELOPE_TYPE_CONTRACT_ID,
        contract_id=xdr.HashIDPreimageContractID(
            network_id=network_id, contract_id_preimage=preimage
        ),
    )
    return StrKey.encode_contract(sha256(hashed.to_xdr_bytes()).digest())


@dataclass(frozen=True, kw_only=True)
class PreparedStep:
    """The findings of a simulation about a step."""

    #: Footprint, resources and their fee.
    data: xdr.SorobanTransactionData
    #: Authorisations; those of the source account need no signature of their own.
    auth: tuple[xdr.SorobanAuthorizationEntry, ...]


def unsigned_step(step: DeploymentStep, *, sequence: int, max_time: int) -> str:
    """Build the envelope (base64) to simulate."""
    return _build(step, sequence=sequence, max_time=max_time, prepared=None).to_xdr()


def prepare_step(answer: Json) -> PreparedStep:
    """Read the answer of a simulation that succeeded; the fee in it has margins already."""
    for name in ("transactionData", "minResourceFee"):
        needed(answer, name)
    encoded = text(answer, "transactionData", longest=LONGEST_DATA)
    data = decoded(xdr.SorobanTransactionData, raw_bytes(encoded, "transactionData"))
    data.resource_fee = xdr.Int64(decimal(answer, "minResourceFee"))
    results = objects(answer, "results", most=1) or [{}]  # a longer life has no result
    entries = texts(results[0], "auth", most=_AUTHORISATIONS)
    auth = tuple(xdr.SorobanAuthorizationEntry.from_xdr(entry) for entry in entries)
    return PreparedStep(data=data, auth=auth)


def sign_step(
    step: DeploymentStep,
    *,
    treasury: Signer,
    sequence: int,
    max_time: int,
    inclusion_fee: int,
    max_fee: int,
    prepared: PreparedStep,
) -> SignedEnvelope:
    """Sign the transaction of a step.

    Raises FeeCapExceededError when the bid would exceed `max_fee` stroops. The deployer must be the
    treasury: as the transaction's source it needs no other signature. `max_time` (unix seconds) is
    the close time after which no ledger may take the transaction. The upload pays rent for the
    code's first life: about 9 XLM while the network's state is small, up to ten times that when the
    state is at its target size. So the cap of an upload has to be far above that of a call.
    """
    if treasury.address != step.deployer:
        raise ValueError(f"a step of {step.deployer} cannot be signed by {treasury.address}")
    envelope = _build(step, sequence=sequence, max_time=max_time, prepared=prepared)
    resources = prepared.data.resource_fee.int64
    bid = max(MIN_INCLUSION_FEE, min(inclusion_fee, max_fee - resources)) + resources
    if bid > max_fee:
        raise FeeCapExceededError(
            f"the bid of {bid} stroops exceeds the cap of {max_fee}",
            bid=bid,
            metadata={"bid": str(bid), "cap": str(max_fee)},
        )
    envelope.transaction.fee = bid
    sign(envelope, treasury)
    return SignedEnvelope(
        xdr=envelope.to_xdr(),
        hash=envelope.hash_hex(),
        inner_hash=None,
        source=step.deployer,
        sequence=sequence,
        max_time=max_time,
        fee_bid=bid,
    )


def _build(
    step: DeploymentStep, *, sequence: int, max_time: int, prepared: PreparedStep | None
) -> Envelope:
    source = Account(step.deployer, sequence - 1)
    builder = TransactionBuilder(source, step.passphrase, base_fee=MIN_INCLUSION_FEE)
    auth = list(prepared.auth) if prepared is not None else []
    if step.function is None:
        builder.append_extend_footprint_ttl_op(step.extend_to)
        builder.set_soroban_data(_read_only(step.entries))  # names the entries to extend
    else:
        builder.append_operation(InvokeHostFunction(host_function=step.function, auth=auth))
    builder.add_time_bounds(0, max_time)
    if prepared is not None:
        builder.set_soroban_data(prepared.data)
    return builder.build()


def _read_only(keys: Sequence[str]) -> xdr.SorobanTransactionData:
    """Build a footprint without resources; the simulation adds their amounts."""
    footprint = xdr.LedgerFootprint(
        read_only=[xdr.LedgerKey.from_xdr(key) for key in keys], read_write=[]
    )
    resources = xdr.SorobanResources(
        footprint=footprint,
        instructions=xdr.Uint32(0),
        disk_read_bytes=xdr.Uint32(0),
        write_bytes=xdr.Uint32(0),
    )
    return xdr.SorobanTransactionData(
        ext=xdr.SorobanTransactionDataExt(v=0), resources=resources, resource_fee=xdr.Int64(0)
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
