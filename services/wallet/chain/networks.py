"""The wallet's network, farm and asset, and the check that a node has the same."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

from stellar_sdk import Asset

from libs.kale.networks import NETWORKS
from services.wallet.chain.errors import NetworkMismatchError
from services.wallet.chain.node.rpc import shown_address
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
    """Passphrase, contract ids and asset of one network, which belong together."""

    #: mainnet, testnet or localnet.
    name: str
    #: Network passphrase: every signature is bound to it.
    passphrase: str
    #: Contract id of the farm (strkey C...).
    farm: str
    #: The KALE asset.
    asset: Asset
    #: URLs of its JSON-RPC endpoints, the preferred endpoint first; may hold secrets.
    rpc_urls: tuple[str, ...] = field(repr=False)
    #: URL of the friendbot, which funds accounts for free; None when there is none.
    friendbot_url: str | None

    @cached_property
    def id(self) -> bytes:
        """Return the SHA-256 of the passphrase, which goes into every hash that is signed."""
        return hashlib.sha256(self.passphrase.encode()).digest()

    @cached_property
    def asset_xdr(self) -> bytes:
        """Return the KALE asset as an Asset in XDR."""
        return self.asset.to_xdr_object().to_xdr_bytes()

    @cached_property
    def token(self) -> str:
        """Return the contract id (strkey C...) of the token, derived from asset and network."""
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
    """Return the settings of a network; an argument that is given replaces its default.

    `rpc_url` may hold several URLs, comma separated. Raises ValueError when there is no URL, or
    when one of them is not a URL.
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
    """Split comma-separated URLs, each once, in their order.

    Raises ValueError when one of them is not a URL.
    """
    found = dict.fromkeys(url.strip() for url in urls.split(",") if url.strip())
    for url in found:
        shown_address(url)
    return tuple(found)


def verify(network: Network, *, passphrase: str, farm: FarmState | None) -> None:
    """Raise NetworkMismatchError when a node shows another network or farm than ours."""
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
