"""The settings of a pooler."""

from dataclasses import dataclass, field
from uuid import UUID

from client import Enrolment, PoolerId, Targets, TlsFiles, TokenFiles, Transport, transport_of
from miner.choice import Choice
from miner.model import NO_CAP
from pooler.prices import PriceSettings
from pooler.shares.config import SharesSettings
from pooler.strategies.choice import StrategyNames


@dataclass(frozen=True, kw_only=True)
class PoolerConfig:
    """All settings that may differ from one pooler to the next."""

    #: Where the services listen.
    targets: Targets = field(default_factory=Targets)
    #: Certificate, key and authorities; None: plaintext, for a pool on this machine that allows it.
    tls: TlsFiles | None = None
    #: An API token in place of a certificate; wins over tls.
    token: TokenFiles | None = None
    #: The pooler's own Stellar account (G...); it is registered under it, or found by it.
    public_key: str = ""
    #: Id of a pooler that is registered already; wins over public_key.
    pooler_id: UUID | None = None
    #: Name to register it by.
    name: str = "pooler"
    #: Farmers it shall have at least; missing ones are registered.
    farmers: int = 0
    #: Stake of farmers that are registered now: a decimal from "0" to "1".
    stake_percentage: str = "0.1"
    #: Blocks to farm; 0 means without an end.
    blocks: int = 0
    #: Engines that mine (docs/miner.md); none means the best ones that this machine has.
    engines: tuple[str, ...] = ()
    #: Threads that mine on processors; 0 means one per processor.
    threads: int = 0
    #: Command lines of other miners to mine with (docs/miner.md).
    programs: tuple[str, ...] = ()
    #: How the pooler decides (docs/strategies.md).
    strategies: StrategyNames = field(default_factory=StrategyNames)
    #: Part of the works with a stake, and of those without, that may be expected to come too late.
    risk: float = 0.00001
    reward_risk: float = 0.01
    #: Work for miners; None: there is none.
    shares: SharesSettings | None = None
    #: Part of a block after which works are sent, where the strategy is `share`.
    submit_share: float = 0.8
    #: Blocks that are harvested together at most, where the strategy is `grouped`, and stroops of
    #: XLM that each of them but the first costs less for a farmer: 0 where wallet has no multicall.
    harvest_group: int = 12
    harvest_saving_stroops: int = 4_287
    #: Where the profitability gate finds prices.
    prices: PriceSettings = field(default_factory=PriceSettings)
    #: A farmer with this many zeros is not mined for any more; once all have them, the nonces are
    #: submitted. Zeros that earn nothing in a block are not mined for either way.
    enough_zeros: int = NO_CAP
    #: Seconds to wait at the start until the farmers' accounts are on the chain.
    onboarding_seconds: float = 120.0
    #: Seconds after the last block's interval in which somebody else may open the next one; after
    #: that the pooler plants one farmer to open it, as rewards are paid only then.
    closing_seconds: float = 15.0
    #: Seconds between two heartbeats.
    heartbeat_seconds: float = 30.0

    def caller(self) -> Transport | TokenFiles:
        """Return who calls. Raise CertificateError when a file cannot be used."""
        return self.token or transport_of(self.tls)

    def choice(self) -> Choice:
        """Return what mines."""
        return Choice(engines=self.engines, threads=self.threads, programs=self.programs)

    def enrolment(self) -> Enrolment:
        """Return the pooler and the farmers that there shall be."""
        return Enrolment(
            pooler_id=None if self.pooler_id is None else PoolerId(self.pooler_id),
            public_key=self.public_key,
            name=self.name,
            farmers=self.farmers,
            stake_percentage=self.stake_percentage,
            onboarding_seconds=self.onboarding_seconds,
        )
