"""The keys, assets and contracts of a localnet; all of them follow from the passphrase."""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from stellar_sdk import Address, Asset, Keypair, StrKey, xdr

#: The passphrase that stellar-core's standalone networks use.
STANDALONE_PASSPHRASE = "Standalone Network ; February 2017"  # noqa: S105  (public by nature)
#: Stroops in existence at genesis, as on every Stellar network: 100 billion XLM.
TOTAL_COINS = 10**18
#: Stroops of reserve for each entry that an account owns or sponsors; 0.5 XLM as on every network.
BASE_RESERVE = 5_000_000
#: Stroops of KALE that the faucet account has at genesis: 1,000,000 KALE.
FAUCET_KALE = 1_000_000 * 10**7
#: Asset code of KALE.
KALE_CODE = "KALE"


def _keypair(label: str) -> Keypair:
    """Return a key that everybody can derive: a localnet has no secrets."""
    return Keypair.from_raw_ed25519_seed(sha256(label.encode()).digest())


@dataclass(frozen=True, kw_only=True)
class Network:
    """The identity of one localnet."""

    #: Network passphrase; its SHA-256 is the network id that every signature binds.
    passphrase: str = STANDALONE_PASSPHRASE

    @cached_property
    def id(self) -> bytes:
        """The 32-byte network id."""
        return sha256(self.passphrase.encode()).digest()

    @cached_property
    def root(self) -> Keypair:
        """The account that owns every lumen at genesis, as stellar-core derives it."""
        return Keypair.from_raw_ed25519_seed(self.id)

    @cached_property
    def issuer(self) -> Keypair:
        """Issuer of KALE and admin of the farm."""
        return _keypair("kalepool localnet issuer")

    @cached_property
    def faucet(self) -> Keypair:
        """The account from which GET /kale pays."""
        return _keypair("kalepool localnet faucet")

    @cached_property
    def friendbot(self) -> Keypair:
        """The account with which GET /friendbot creates accounts."""
        return _keypair("kalepool localnet friendbot")

    @cached_property
    def validator(self) -> Keypair:
        """The only validator, which signs what every ledger has."""
        return _keypair("kalepool localnet validator")

    @cached_property
    def kale(self) -> Asset:
        """The KALE asset."""
        return Asset(KALE_CODE, self.issuer.public_key)

    @cached_property
    def token(self) -> bytes:
        """Raw id of KALE's asset contract."""
        return StrKey.decode_contract(self.kale.contract_id(self.passphrase))

    @cached_property
    def native_token(self) -> bytes:
        """Raw id of the native asset's contract, which names every fee event."""
        return StrKey.decode_contract(Asset.native().contract_id(self.passphrase))

    @cached_property
    def farm(self) -> bytes:
        """Raw id of the KALE farm."""
        return self._contract("kalepool localnet farm")

    @cached_property
    def tractor(self) -> bytes:
        """Raw id of the tractor, the contract that harvests many pails."""
        return self._contract("kalepool localnet tractor")

    @cached_property
    def router(self) -> bytes:
        """Raw id of the router, the contract that makes many calls in one."""
        return self._contract("kalepool localnet router")

    def _contract(self, label: str) -> bytes:
        from_address = xdr.ContractIDPreimageFromAddress(
            address=Address(self.issuer.public_key).to_xdr_sc_address(),
            salt=xdr.Uint256(sha256(label.encode()).digest()),
        )
        kind = xdr.ContractIDPreimageType.CONTRACT_ID_PREIMAGE_FROM_ADDRESS
        preimage = xdr.ContractIDPreimage(kind, from_address=from_address)
        return contract_id(self.id, preimage)


def contract_id(network_id: bytes, preimage: xdr.ContractIDPreimage) -> bytes:
    """Return the raw id of the contract that is created from this deployer and salt (or asset)."""
    hashed = xdr.HashIDPreimage(
        xdr.EnvelopeType.ENVELOPE_TYPE_CONTRACT_ID,
        contract_id=xdr.HashIDPreimageContractID(
            network_id=xdr.Hash(network_id), contract_id_preimage=preimage
        ),
    )
    return sha256(hashed.to_xdr_bytes()).digest()
