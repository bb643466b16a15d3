"""The settings of the work for miners."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from libs.common.config import Bytes, Count, Milliseconds, Port, Settings, WholeSeconds
from libs.http.addresses import Network, parse_networks
from libs.http.server import Serving
from libs.http.transport import check_tls
from libs.kale.amounts import parse_percentage
from pooler.shares.domain.conduct import ConductRules
from pooler.shares.domain.difficulty import Bounds
from pooler.shares.domain.terms import Terms

#: Hashes that a share may be set to take: up to 10 zeros, beyond which no farmer gets one in time.
_Difficulty = Annotated[Count, Field(ge=1, le=16**12)]


class SharesSettings(Settings):
    """Settings of a pooler that gives work to miners."""

    #: Port to listen on for miners (HTTP); 0: no work for miners.
    shares_port: Port = 0
    #: Address to listen on.
    shares_host: str = "127.0.0.1"
    #: Certificate that miners are shown, in PEM, with those between it and its authority's. Empty:
    #: plain HTTP. Read again when it changes.
    shares_tls_cert_file: Path | None = None
    #: Its private key, in PEM.
    shares_tls_key_file: Path | None = None
    #: Whether a proxy before it speaks TLS with miners, so that it may speak plain HTTP on an
    #: address that other machines reach.
    shares_behind_proxy: bool = False
    #: Addresses and networks of proxies whose X-Forwarded-For is believed: 10.0.0.7,10.1.0.0/16.
    shares_trusted_proxies: str = ""
    #: Where shares are kept: a file of SQLite, or postgresql://role:password@host/database, a
    #: database of the pooler's own.
    shares_database: SecretStr = SecretStr("var/shares.db")
    #: Certificates (PEM) of the authorities that vouch for PostgreSQL; empty: the system's.
    shares_database_ca_file: Path | None = None
    #: What the pool is called, for miners.
    shares_name: Annotated[str, Field(max_length=64)] = "KALE pool"
    #: Part of what a block's farmers earn that is divided among those who mined it, by their
    #: hashes: a decimal from 0 to 1. Miners have to agree again when it is changed.
    shares_miners_part: str = "0.1"
    #: Whether the pool's own hashes take part in that.
    shares_own_hashes_take_part: bool = True
    #: Whether the pool is told who mined each block, so that it credits and pays them from the part
    #: of the pooler's fee that the farmers' agreements name. Otherwise somebody else pays:
    #: `python -m pooler.shares parts`.
    shares_credits: bool = True
    #: What else miners agree to, in words.
    shares_terms_note: Annotated[str, Field(max_length=1000)] = ""
    #: Shares of a worker in a block that the difficulty is set for.
    shares_per_block: Annotated[Count, Field(ge=5, le=200)] = 20
    #: Hashes that a share takes on average at least.
    shares_lowest_difficulty: _Difficulty = 16**4
    #: Hashes that a share takes on average at most.
    shares_highest_difficulty: _Difficulty = 16**10
    #: Shares of a worker in a block at most.
    shares_most_per_block: Annotated[Count, Field(ge=1)] = 20_000
    #: Miners at most.
    shares_max_miners: Annotated[Count, Field(ge=1)] = 100_000
    #: Workers of a miner at most.
    shares_max_workers: Annotated[Count, Field(ge=1)] = 100
    #: Miners that may join from one address in a minute.
    shares_join_limit: Annotated[Count, Field(ge=1)] = 10
    #: Requests of one path that a miner may make in a minute; 0: no limit.
    shares_rate_limit: Annotated[Count, Field(ge=0)] = 1200
    #: Requests without a credential that one address may make of one path in a minute; 0: no limit.
    shares_public_rate_limit: Annotated[Count, Field(ge=0)] = 600
    #: Credentials that are none, and that one address may try in a minute.
    shares_wrong_credential_limit: Annotated[Count, Field(ge=1)] = 30
    #: Streams of events that one miner may have open at a time.
    shares_max_streams: Annotated[Count, Field(ge=1)] = 100
    #: Requests in progress at most.
    shares_max_calls: Annotated[Count, Field(ge=4)] = 2000
    #: Bytes of a request's body at most: a thousand shares, each with its job, have 160,000.
    shares_max_body_bytes: Annotated[Bytes, Field(ge=1024, le=8_388_608)] = 262_144
    #: Connections at most. One more is closed at once.
    shares_max_connections: Annotated[Count, Field(ge=1, le=60_000)] = 20_000
    #: Milliseconds in which a connection has to send the head of a request, once it has begun.
    shares_head_timeout_ms: Milliseconds = 10_000
    #: Milliseconds in which a request has to bring its body.
    shares_body_timeout_ms: Milliseconds = 20_000
    #: Milliseconds after which a connection without requests is closed.
    shares_keep_alive_ms: Milliseconds = 120_000
    #: Milliseconds between two signs of life of a stream of events.
    shares_heartbeat_ms: Milliseconds = 15_000
    #: Milliseconds that running requests get to end when the pooler stops.
    shares_shutdown_grace_ms: Milliseconds = 5_000
    #: Seconds without a share after which a worker counts as gone.
    shares_gone_seconds: Annotated[WholeSeconds, Field(ge=60)] = 600
    #: Shares that were none, within five minutes, that end in a ban, when they are more than the
    #: accepted ones.
    shares_faults: Annotated[Count, Field(ge=1)] = 200
    #: Seconds of such a ban; 0: none.
    shares_ban_seconds: Annotated[WholeSeconds, Field(ge=0)] = 600
    #: Seconds of a ban of who withholds nonces; 0: none, it is only told.
    shares_withholding_ban_seconds: Annotated[WholeSeconds, Field(ge=0)] = 86_400

    @field_validator("shares_miners_part")
    @classmethod
    def _is_part(cls, text: str) -> str:
        parse_percentage(text)
        return text

    @field_validator("shares_trusted_proxies")
    @classmethod
    def _are_networks(cls, text: str) -> str:
        parse_networks(text)
        return text

    @model_validator(mode="after")
    def _credentials_are_not_read_on_the_way(self) -> Self:
        check_tls(
            self.shares_tls_cert_file,
            self.shares_tls_key_file,
            host=self.shares_host,
            behind_proxy=self.shares_behind_proxy,
            prefix="SHARES_TLS",
            proxy_setting="SHARES_BEHIND_PROXY",
            shown="credentials",
        )
        return self

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> Self:
        if self.shares_lowest_difficulty > self.shares_highest_difficulty:
            raise ValueError("SHARES_LOWEST_DIFFICULTY is above SHARES_HIGHEST_DIFFICULTY")
        return self

    @property
    def place(self) -> str:
        """Return where shares are kept."""
        return self.shares_database.get_secret_value()

    def secrets(self) -> frozenset[str]:
        """Return every value that must not be shown: the name of a file may be."""
        return super().secrets() if "://" in self.place else frozenset()

    def proxies(self) -> tuple[Network, ...]:
        """Return the networks of the proxies that are believed."""
        return parse_networks(self.shares_trusted_proxies)

    def terms(self) -> Terms:
        """Return the terms that hold."""
        return Terms(
            miners_bps=parse_percentage(self.shares_miners_part),
            own_hashes_take_part=self.shares_own_hashes_take_part,
            note=self.shares_terms_note,
        )

    def bounds(self) -> Bounds:
        """Return the bounds of difficulty."""
        return Bounds(
            lowest=self.shares_lowest_difficulty,
            highest=self.shares_highest_difficulty,
            shares=self.shares_per_block,
        )

    def conduct(self) -> ConductRules:
        """Return when conduct ends in a ban."""
        return ConductRules(
            faults=self.shares_faults,
            ban=float(self.shares_ban_seconds),
            withholding_ban=float(self.shares_withholding_ban_seconds),
        )

    def serving(self) -> Serving:
        """Return how HTTP is served."""
        return Serving(
            host=self.shares_host,
            port=self.shares_port,
            certificate=self.shares_tls_cert_file,
            key=self.shares_tls_key_file,
            max_connections=self.shares_max_connections,
            head_seconds=self.shares_head_timeout_ms / 1000,
            keep_alive_seconds=max(1, self.shares_keep_alive_ms // 1000),
            grace_seconds=max(1, self.shares_shutdown_grace_ms // 1000),
        )
