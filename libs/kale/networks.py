"""The farm and its asset on each network."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class KaleNetwork:
    """The farm and the asset of KALE on one network."""

    #: Contract id of the farm.
    farm: str
    #: Asset as CODE:ISSUER.
    asset: str
    #: Passphrase of the Stellar network.
    passphrase: str


MAINNET = KaleNetwork(
    farm="CDL74RF5BLYR2YBLCCI7F5FB6TPSCLKEJUBSD2RSVWZ4YHF3VMFAIGWA",
    asset="KALE:GBDVX4VELCDSQ54KQJYTNHXAHFLBCA77ZY2USQBM4CSHTTV7DME7KALE",
    passphrase="Public Global Stellar Network ; September 2015",
)
TESTNET = KaleNetwork(
    farm="CDSWUUXGPWDZG76ISK6SUCVPZJMD5YUV66J2FXFXFGDX25XKZJIEITAO",
    asset="KALE:GCHPTWXMT3HYF4RLZHWBNRF4MPXLTJ76ISHMSYIWCCDXWUYOQG5MR2AB",
    passphrase="Test SDF Network ; September 2015",
)
#: localnet's ids follow from fixed seeds (localnet/network.py); a test compares.
LOCALNET = KaleNetwork(
    farm="CBVEAHUA22LFNOF462H4N37IHDCWVX3APHHYL5JHE75H6S3SC7FBLMMX",
    asset="KALE:GCSSQCFASFDVGFDWHU7SX4PYW4PUJASJZDHVNCWWAJMZJPD5D22W2BCM",
    passphrase="Standalone Network ; February 2017",
)

NETWORKS = {"mainnet": MAINNET, "testnet": TESTNET, "localnet": LOCALNET}


def farm_of(network: str, override: str = "") -> str:
    """Return the contract id of the farm on a network; an override that is not empty wins."""
    return override or NETWORKS[network].farm
