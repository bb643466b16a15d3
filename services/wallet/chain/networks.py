"""Which network, farm and asset the wallet works with, and whether a node has just these."""

import hashlib
from dataclasses import dataclass, field

from stellar_sdk import Asset

from libs.kale.networks import NETWORKS
from services.wallet.chain.errors import NetworkMismatchError
from services.wallet.chain.node.rpc import host_of
from services.wallet.domain.chain_facts import FarmState

#: Public endpoints; mainnet has none that may be used without an agreement.
_RPC_URLS = {
    "testnet": "https://soroban-testnet.stellar.org",
    "localnet": "http://127.0.0.1:8000",
}
_FRIENDBOTS = {
    "testnet": "https://friendbot.stellar.org",
    "localnet": "http://127.0.0.1:8000/friendbot",
}


@dataclass(frozen=True, kw_only=True)
class Network:
    """Passphrase, contract ids and asset come as one set per network."""

    #: mainnet, testnet or localnet.
    name: str
    #: Network passphrase: every signature is bound to it.
    passphrase: str
    #: Contract id of the farm (strkey C...).
    farm: str
    #: The KALE asset.
    asset: Asset
    #: Where its JSON-RPC is, the preferred endpoint first; may hold secrets.
    rpc_urls: tuple[str, ...] = field(repr=False)
    #: Where accounts are funded for free, if anywhere.
    friendbot_url: str | None

    @property
    def id(self) -> bytes:
        """SHA-256 of the passphrase, as it goes into every hash that is signed."""
        return hashlib.sha256(self.passphrase.encode()).digest()

    @property
    def token(self) -> str:
        """Contract id of the asset's token (strkey C...), derived from asset and network."""
        return self.asset.contract_id(self.passphrase)


def network_for(
    name: str,
    *,
    farm: str = "",
    asset: str = "",
    passphrase: str = "",
    rpc_url: str = "",
    friendbot_url: str = "",
) -> Network:
    """The set of a network; what is given replaces its default.

    `rpc_url` may be several, comma separated. ValueError when there is none, or one is no URL.
    """
    known = NETWORKS[name]
    code, _, issuer = (asset or known.asset).partition(":")
    urls = _split(rpc_url or _RPC_URLS.get(name, ""))
    if not urls:
        raise ValueError(f"STELLAR_RPC_URLS or STELLAR_RPC_URL is required on {name}")
    return Network(
        name=name,
        passphrase=passphrase or known.passphrase,
        farm=farm or known.farm,
        asset=Asset(code, issuer),
        rpc_urls=urls,
        friendbot_url=friendbot_url or _FRIENDBOTS.get(name),
    )


def _split(urls: str) -> tuple[str, ...]:
    """Comma-separated URLs, each once, in their order. ValueError when one is none."""
    found = dict.fromkeys(url.strip() for url in urls.split(",") if url.strip())
    for url in found:
        host_of(url)
    return tuple(found)


def verify(network: Network, *, passphrase: str, farm: FarmState | None) -> None:
    """Raises NetworkMismatchError when a node shows another network or farm than ours."""
    if passphrase != network.passphrase:
        raise NetworkMismatchError(
            f"the node is on {passphrase!r}, not on {network.passphrase!r}",
            metadata={"expected": network.passphrase, "found": passphrase},
        )
    if farm is None:
        raise NetworkMismatchError(f"there is no farm {network.farm} on {network.name}")
    if farm.token != network.token:
        raise NetworkMismatchError(
            f"the farm {network.farm} pays in token {farm.token}, not in {network.token}",
            metadata={"expected": network.token, "found": farm.token},
        )
