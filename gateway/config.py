"""The gateway's settings."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from gateway.poolers import PoolerAddress, pooler_addresses
from libs.common.config import (
    Bytes,
    Count,
    Milliseconds,
    Port,
    TransportSettings,
    Unit,
    WholeSeconds,
)
from libs.common.local import LOCAL_HOSTS
from libs.common.log import LogLevel
from libs.http.addresses import Network, parse_networks
from libs.http.server import Serving
from libs.http.transport import check_tls

#: Characters of 32 bytes in base64, the shorter of both forms, with or without padding.
_SHORTEST_SECRET = 43


class GatewaySettings(TransportSettings):
    """Settings of the gateway. TLS_CERT_FILE and its like are for its calls of the services."""

    #: Address to listen on.
    host: str = "127.0.0.1"
    #: Port to listen on; 0 lets the system choose.
    port: Port = 3000
    #: Certificate that the gateway shows to browsers and other HTTP clients, in PEM, with those
    #: between it and its authority's. Empty: it speaks plain HTTP. Read again when it changes.
    gateway_tls_cert_file: Path | None = None
    #: Its private key, in PEM.
    gateway_tls_key_file: Path | None = None
    #: Whether a proxy before the gateway speaks TLS with others, so that the gateway may speak
    #: plain HTTP on an address that other machines reach.
    behind_proxy: bool = False
    #: File with at least 32 random bytes in hexadecimal or base64, by which gateways seal the
    #: sessions of people who sign in; several gateways have the same. Empty: each makes its own
    #: when it starts, and people sign in again after that.
    gateway_session_key_file: Path | None = None
    #: Seconds after which people have to sign in again.
    session_seconds: Annotated[WholeSeconds, Field(ge=60, le=43_200)] = 43_200
    #: Addresses and networks of proxies whose X-Forwarded-For is believed: 10.0.0.7,10.1.0.0/16.
    trusted_proxies: str = ""
    #: debug, info, warning or error.
    log_level: LogLevel = "info"
    #: Port on which Prometheus finds the gateway's figures (GET /metrics, no TLS); 0: none.
    metrics_port: Port = 0
    #: Address of that port.
    metrics_host: str = "127.0.0.1"
    #: Bytes of a request's body at most.
    max_body_bytes: Annotated[Bytes, Field(ge=1024, le=67_108_864)] = 2_097_152
    #: Connections at most. One more is closed at once.
    max_connections: Annotated[Count, Field(ge=1, le=60_000)] = 20_000
    #: Requests in progress at most, three quarters of them poolers', of whom none has more than
    #: there is room left; more are told to come again. As many again may be in progress of those
    #: who have no token.
    max_calls_in_progress: Annotated[Count, Field(ge=1)] = 1000
    #: Streams of events that one caller may have open at a time: a token's subject, or an address.
    max_streams_per_caller: Annotated[Count, Field(ge=1)] = 100
    #: Requests without a token, or with a login token, that one address may make of one path in a
    #: minute; 0: no limit. The services limit those with a token.
    public_rate_limit: Annotated[Count, Field(ge=0)] = 600
    #: Tokens that are none, and logins with Stellar accounts, that one address may try in a minute,
    #: each by itself.
    wrong_token_limit: Annotated[Count, Field(ge=1)] = 30
    #: Milliseconds in which a connection has to send the head of a request, once it has begun; some
    #: have a quarter more, so that not all end at once.
    head_timeout_ms: Annotated[int, Unit.MILLISECONDS, Field(ge=100, le=60_000)] = 10_000
    #: Milliseconds in which a request has to bring its body.
    body_timeout_ms: Milliseconds = 30_000
    #: Milliseconds after which a connection without requests is closed.
    keep_alive_ms: Milliseconds = 60_000
    #: Milliseconds between two signs of life of a stream of events.
    heartbeat_ms: Milliseconds = 15_000
    #: Milliseconds that a call of a service may take; services have their own, shorter limits.
    call_timeout_ms: Milliseconds = 250_000
    #: Milliseconds that running requests get to end after SIGTERM.
    shutdown_grace_ms: Milliseconds = 10_000
    #: Address of a Horizon server, which GET /info tells; empty: the network's public one. The pool
    #: itself needs none.
    horizon_url: Annotated[str, Field(max_length=512)] = ""
    #: Addresses at which poolers serve miners, comma separated (https://pooler.example:3333): the
    #: overview shows their hash rates, workers and zeros. Empty: it shows none.
    pooler_urls: Annotated[str, Field(max_length=4096)] = ""
    #: Certificates (PEM) of the authorities that vouch for those; empty: the system's.
    pooler_ca_file: Path | None = None
    #: Where registry is reached (host:port).
    registry_target: str = "127.0.0.1:50051"
    #: Where wallet is reached (host:port).
    wallet_target: str = "127.0.0.1:50052"
    #: Where plant is reached (host:port).
    plant_target: str = "127.0.0.1:50053"
    #: Where work is reached (host:port).
    work_target: str = "127.0.0.1:50054"
    #: Where harvest is reached (host:port).
    harvest_target: str = "127.0.0.1:50055"

    @model_validator(mode="after")
    def _tokens_are_not_read_on_the_way(self) -> Self:
        check_tls(
            self.gateway_tls_cert_file,
            self.gateway_tls_key_file,
            host=self.host,
            behind_proxy=self.behind_proxy,
            prefix="GATEWAY_TLS",
            proxy_setting="BEHIND_PROXY",
            shown="tokens",
        )
        if self.transport == "plaintext" and self.host not in LOCAL_HOSTS:
            raise ValueError(
                f"TRANSPORT=plaintext is for one machine: HOST must be {LOCAL_HOSTS[0]}"
            )
        return self

    @model_validator(mode="after")
    def _sessions_can_be_sealed(self) -> Self:
        self.session_secret()
        return self

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, text: str) -> str:
        parse_networks(text)
        return text

    @field_validator("pooler_urls")
    @classmethod
    def _are_addresses(cls, text: str) -> str:
        pooler_addresses(text)
        return text

    def poolers(self) -> tuple[PoolerAddress, ...]:
        """Return where poolers serve miners."""
        return pooler_addresses(self.pooler_urls)

    def proxies(self) -> tuple[Network, ...]:
        """Return the networks of the proxies that are believed."""
        return parse_networks(self.trusted_proxies)

    @property
    def is_reached_by_tls(self) -> bool:
        """Tell whether browsers reach the gateway over TLS, its own or a proxy's."""
        return self.gateway_tls_cert_file is not None or self.behind_proxy

    def serving(self) -> Serving:
        """Return how HTTP is served."""
        return Serving(
            host=self.host,
            port=self.port,
            certificate=self.gateway_tls_cert_file,
            key=self.gateway_tls_key_file,
            max_connections=self.max_connections,
            head_seconds=self.head_timeout_ms / 1000,
            keep_alive_seconds=max(1, self.keep_alive_ms // 1000),
            grace_seconds=max(1, self.shutdown_grace_ms // 1000),
        )

    def session_secret(self) -> bytes | None:
        """Return what sessions are sealed by; None when each process makes its own.

        Raise ValueError for a file that is away or too short.
        """
        path = self.gateway_session_key_file
        if path is None:
            return None
        try:
            secret = path.read_bytes().strip()
        except OSError as error:
            raise ValueError(f"GATEWAY_SESSION_KEY_FILE cannot be read: {error}") from error
        if len(secret) < _SHORTEST_SECRET:
            raise ValueError(
                f"GATEWAY_SESSION_KEY_FILE has {len(secret)} characters; 32 random bytes in "
                f"hexadecimal have 64, in base64 {_SHORTEST_SECRET}"
            )
        return secret

    def targets(self) -> dict[str, str]:
        """Return the address of each service (host:port) by its short name."""
        return {
            "registry": self.registry_target,
            "wallet": self.wallet_target,
            "plant": self.plant_target,
            "work": self.work_target,
            "harvest": self.harvest_target,
        }
