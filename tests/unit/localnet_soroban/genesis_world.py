"""localnet's genesis contracts in a dictionary, called without a ledger around them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from stellar_sdk import Address, Keypair, StrKey, scval, xdr

from localnet.network import Network
from localnet.soroban import genesis
from localnet.soroban.assets import packed_asset
from localnet.soroban.host import invoke
from localnet.soroban.model import AuthMode, Entry, Footprint, InvocationResult, LedgerInfo
from localnet.soroban.modules import OLD_BUILD
from localnet.soroban.storage import Key, account_key, trustline_key

NETWORK = Network()
FARM, TOKEN, ROUTER, TRACTOR = (
    StrKey.encode_contract(raw)
    for raw in (NETWORK.farm, NETWORK.token, NETWORK.router, NETWORK.tractor)
)
ISSUER = NETWORK.issuer.public_key
ASSET = packed_asset("KALE", ISSUER)
#: The ledger that everything starts in.
START = 1000


def keypair(name: str) -> Keypair:
    """A key by its name."""
    return Keypair.from_raw_ed25519_seed(sha256(name.encode()).digest())


#: Some account that pays.
PAYER = keypair("payer").public_key


@dataclass(kw_only=True)
class Contracts:
    """The state, and short ways to use it."""

    #: The build that the farm starts with.
    farm_code: bytes = OLD_BUILD
    #: The ledger that calls run in.
    ledger: LedgerInfo = field(
        default_factory=lambda: LedgerInfo(sequence=START, close_time=0, network_id=NETWORK.id)
    )
    #: Entries by their keys.
    entries: dict[bytes, Entry] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.entries.update(genesis.entries(NETWORK, self.ledger, farm_code=self.farm_code))

    def get(self, key: bytes) -> Entry | None:
        """The view that the host reads."""
        return self.entries.get(key)

    def at(self, sequence: int, close_time: int) -> None:
        """Moves to a later ledger."""
        self.ledger = replace(self.ledger, sequence=sequence, close_time=close_time)

    def call(
        self,
        contract: str | xdr.SCAddress,
        function: str | bytes,
        arguments: Sequence[xdr.SCVal],
        *,
        source: str = PAYER,
        mode: AuthMode = "record_allow_nonroot",
        auth: Sequence[xdr.SorobanAuthorizationEntry] = (),
        footprint: Footprint | None = None,
        keep: bool = True,
    ) -> InvocationResult:
        """Makes a call and keeps what it changed."""
        name = function if isinstance(function, bytes) else function.encode()
        to = Address(contract).to_xdr_sc_address() if isinstance(contract, str) else contract
        args = xdr.InvokeContractArgs(
            contract_address=to, function_name=xdr.SCSymbol(name), args=list(arguments)
        )
        kind = xdr.HostFunctionType.HOST_FUNCTION_TYPE_INVOKE_CONTRACT
        return self.run(
            xdr.HostFunction(kind, invoke_contract=args),
            source=source,
            mode=mode,
            auth=auth,
            footprint=footprint,
            keep=keep,
        )

    def run(
        self,
        function: xdr.HostFunction,
        *,
        source: str = PAYER,
        mode: AuthMode = "record_allow_nonroot",
        auth: Sequence[xdr.SorobanAuthorizationEntry] = (),
        footprint: Footprint | None = None,
        keep: bool = True,
    ) -> InvocationResult:
        """Runs a host function and keeps what it changed."""
        result = invoke(
            self,
            function,
            ledger=self.ledger,
            source=source,
            auth=auth,
            footprint=footprint,
            auth_mode=mode,
        )
        for change in result.changes if keep else ():
            if change.after is None:
                self.entries.pop(change.key, None)
            else:
                self.entries[change.key] = change.after
        return result

    def plant(self, farmer: str, amount: int = 0) -> InvocationResult:
        """plant(farmer, amount) by the farmer itself."""
        return self.call(FARM, "plant", plant_arguments(farmer, amount), source=farmer)

    def add_account(
        self,
        owner: Keypair,
        *,
        signers: Mapping[str, int] | None = None,
        thresholds: bytes = b"\x01\0\0\0",
    ) -> None:
        """An account; `thresholds` are the master key's weight, low, medium and high."""
        keys = [
            xdr.Signer(
                key=xdr.SignerKey(
                    xdr.SignerKeyType.SIGNER_KEY_TYPE_ED25519,
                    ed25519=xdr.Uint256(StrKey.decode_ed25519_public_key(key)),
                ),
                weight=xdr.Uint32(weight),
            )
            for key, weight in (signers or {}).items()
        ]
        account = xdr.AccountEntry(
            account_id=owner.xdr_account_id(),
            balance=xdr.Int64(10**7),
            seq_num=xdr.SequenceNumber(xdr.Int64(1)),
            num_sub_entries=xdr.Uint32(len(keys)),
            inflation_dest=None,
            flags=xdr.Uint32(0),
            home_domain=xdr.String32(b""),
            thresholds=xdr.Thresholds(thresholds),
            signers=keys,
            ext=xdr.AccountEntryExt(0),
        )
        data = xdr.LedgerEntryData(xdr.LedgerEntryType.ACCOUNT, account=account)
        self._store(account_key(owner.public_key), data)

    def add_trustline(
        self, owner: Keypair, balance: int, *, limit: int = 2**63 - 1, flags: int = 1
    ) -> None:
        """A trustline of KALE; `flags` 1 is authorised."""
        line = xdr.TrustLineEntry(
            account_id=owner.xdr_account_id(),
            asset=xdr.TrustLineAsset.from_xdr_bytes(ASSET),
            balance=xdr.Int64(balance),
            limit=xdr.Int64(limit),
            flags=xdr.Uint32(flags),
            ext=xdr.TrustLineEntryExt(0),
        )
        data = xdr.LedgerEntryData(xdr.LedgerEntryType.TRUSTLINE, trust_line=line)
        self._store(trustline_key(owner.public_key, ASSET), data)

    def balance(self, owner: Keypair) -> int:
        """Stroops in a trustline."""
        line = self.entries[trustline_key(owner.public_key, ASSET).raw].entry.data.trust_line
        assert line is not None
        return line.balance.int64

    def _store(self, key: Key, data: xdr.LedgerEntryData) -> None:
        entry = xdr.LedgerEntry(
            last_modified_ledger_seq=xdr.Uint32(1), data=data, ext=xdr.LedgerEntryExt(0)
        )
        self.entries[key.raw] = Entry(entry=entry, live_until=None)


def plant_arguments(farmer: str, amount: int = 0) -> list[xdr.SCVal]:
    """plant(farmer, amount)"""
    return [scval.to_address(farmer), scval.to_int128(amount)]


def node_of(
    contract: str,
    function: str,
    arguments: Sequence[xdr.SCVal],
    *below: xdr.SorobanAuthorizedInvocation,
) -> xdr.SorobanAuthorizedInvocation:
    """A node of an authorisation tree."""
    call = xdr.InvokeContractArgs(
        contract_address=Address(contract).to_xdr_sc_address(),
        function_name=xdr.SCSymbol(function.encode()),
        args=list(arguments),
    )
    kind = xdr.SorobanAuthorizedFunctionType.SOROBAN_AUTHORIZED_FUNCTION_TYPE_CONTRACT_FN
    return xdr.SorobanAuthorizedInvocation(
        function=xdr.SorobanAuthorizedFunction(kind, contract_fn=call),
        sub_invocations=list(below),
    )


def plant_node(farmer: str, amount: int = 0) -> xdr.SorobanAuthorizedInvocation:
    """What a farmer signs for a plant."""
    below = []
    if amount:
        below.append(node_of(TOKEN, "burn", plant_arguments(farmer, amount)))
    return node_of(FARM, "plant", plant_arguments(farmer, amount), *below)


def payload_of(entry: xdr.SorobanAuthorizationEntry, network_id: bytes = NETWORK.id) -> bytes:
    """What the signatures of an entry are made over."""
    credentials = entry.credentials.address
    assert credentials is not None
    preimage = xdr.HashIDPreimage(
        xdr.EnvelopeType.ENVELOPE_TYPE_SOROBAN_AUTHORIZATION,
        soroban_authorization=xdr.HashIDPreimageSorobanAuthorization(
            network_id=xdr.Hash(network_id),
            nonce=credentials.nonce,
            signature_expiration_ledger=credentials.signature_expiration_ledger,
            invocation=entry.root_invocation,
        ),
    )
    return sha256(preimage.to_xdr_bytes()).digest()


def unsigned(
    address: str,
    root: xdr.SorobanAuthorizedInvocation,
    *,
    nonce: int = 7,
    until: int = START + 100,
) -> xdr.SorobanAuthorizationEntry:
    """An entry without signatures."""
    return xdr.SorobanAuthorizationEntry(
        credentials=xdr.SorobanCredentials(
            xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_ADDRESS,
            address=xdr.SorobanAddressCredentials(
                address=Address(address).to_xdr_sc_address(),
                nonce=xdr.Int64(nonce),
                signature_expiration_ledger=xdr.Uint32(until),
                signature=scval.to_void(),
            ),
        ),
        root_invocation=root,
    )


def signed(
    entry: xdr.SorobanAuthorizationEntry, *signers: Keypair, network_id: bytes = NETWORK.id
) -> xdr.SorobanAuthorizationEntry:
    """The same entry with signatures in the order given."""
    assert entry.credentials.address is not None
    payload = payload_of(entry, network_id)
    entry.credentials.address.signature = scval.to_vec(
        [signature_of(key.raw_public_key(), key.sign(payload)) for key in signers]
    )
    return entry


def signature_of(key: bytes, made: bytes) -> xdr.SCVal:
    """One signature as the account's contract takes it."""
    return scval.to_map(
        {
            scval.to_symbol("public_key"): scval.to_bytes(key),
            scval.to_symbol("signature"): scval.to_bytes(made),
        }
    )
