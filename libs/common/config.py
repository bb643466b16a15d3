"""Settings that every service has; each service adds its own in services/<name>/config.py.

Values come from the environment (upper-case field names), a `.env` file, or files in SECRETS_DIR.

A time, a length in bytes and an amount of money end with their unit (Unit). A setting that got
another name is read by its old one for one release (libs/common/renamed.py).
"""

import os
import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from libs.common.db.tls import DatabaseAddress, check_dsn
from libs.common.grpc.identity import DOMAIN_FORM, TRUST_DOMAIN
from libs.common.grpc.tls import TlsFiles, transport_of
from libs.common.local import LOCAL_HOSTS
from libs.common.log import LogLevel
from libs.common.renamed import OldNames, as_given, with_new_names


class Unit(Enum):
    """The unit of a number among the settings; its value is the end of the setting's name.

    The annotation of each number has one, mostly by an alias below: a test refuses a number
    without one.
    """

    MILLISECONDS = "_ms"
    SECONDS = "_seconds"
    BYTES = "_bytes"
    STROOPS = "_stroops"
    #: None of these: a number of what the name says (farmers, calls), or a port.
    COUNT = ""


Milliseconds = Annotated[int, Unit.MILLISECONDS, Field(ge=1, le=86_400_000)]
Seconds = Annotated[float, Unit.SECONDS]
WholeSeconds = Annotated[int, Unit.SECONDS]
Bytes = Annotated[int, Unit.BYTES]
Stroops = Annotated[int, Unit.STROOPS]
Count = Annotated[int, Unit.COUNT]
Port = Annotated[int, Unit.COUNT, Field(ge=0, le=65_535)]
NetworkName = Literal["mainnet", "testnet", "localnet"]
#: A method, by its short name or whole, and its calls a minute.
_RATE = re.compile(r"(?P<method>(?:/[\w.]+/)?\w+)=(?P<number>[0-9]{1,9})")

#: The only settings with a unit that do not end with it. All are milliseconds. Their names are
#: those of the earlier backend (docs/seed.md); BATCH_TIMEOUT is named as REQUEST_TIMEOUT beside it.
KEPT_NAMES = frozenset(
    {
        "database_timeout",
        "request_timeout",
        "batch_timeout",
        "operation_timeout",
        "nonce_validation_timeout",
    }
)


class Settings(BaseSettings):
    """Base of all settings: unknown variables are ignored, values out of range are refused."""

    model_config = SettingsConfigDict(
        frozen=True,
        env_file=".env",
        dotenv_filtering="only_existing",  # old names are taken by libs.common.renamed alone
        extra="ignore",
        env_ignore_empty=True,
        secrets_dir=os.environ.get("SECRETS_DIR"),
        hide_input_in_errors=True,
    )

    #: A sentence for each old name that was given.
    _old_names: tuple[str, ...] = PrivateAttr(default=())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Look for old names, too (the library's hook)."""
        outside = (env_settings, dotenv_settings, file_secret_settings)
        return (init_settings, *outside, OldNames(settings_cls, outside))

    @model_validator(mode="wrap")
    @classmethod
    def _accept_old_names(cls, given: Any, build: ModelWrapValidatorHandler[Self]) -> Self:
        """Take the value of an old name where the new one was not given."""
        if not isinstance(given, dict):
            return build(given)
        values, sentences, alone = with_new_names(given, cls.model_fields)
        try:
            settings = build(values)
        except ValidationError as error:
            if not alone:
                raise
            raise as_given(error, alone) from None
        settings._old_names = sentences
        return settings

    def old_names(self) -> tuple[str, ...]:
        """Return a sentence for each setting that was given by its old name; for the log."""
        return self._old_names

    def secrets(self) -> frozenset[str]:
        """Return every value that must not be shown.

        For an address with a password, return both the address and the password.
        """
        found = [value for _, value in self if isinstance(value, SecretStr)]
        parts = [part for value in found for part in value.get_secret_value().split(",")]
        return frozenset(filter(None, (*parts, *map(_password, parts))))


def _password(text: str) -> str:
    try:
        return urlsplit(text).password or ""
    except ValueError:  # no address at all
        return ""


class TransportSettings(Settings):
    """Settings of the connections between services and their callers."""

    #: mtls: everybody shows a certificate; plaintext: nobody does, for one machine only.
    transport: Literal["mtls", "plaintext"] = "mtls"
    #: Our certificate and those between it and the authority's, in PEM. Read again when it changes.
    tls_cert_file: Path | None = None
    #: Its private key, in PEM.
    tls_key_file: Path | None = None
    #: Certificates of the authorities whose word counts, in PEM.
    tls_ca_file: Path | None = None

    def tls_files(self) -> TlsFiles | None:
        """Return the files; None for plaintext.

        Raise CertificateError when one of them is not named.
        """
        if self.transport == "plaintext":
            return None
        return TlsFiles.all_of(
            self.tls_cert_file,
            self.tls_key_file,
            self.tls_ca_file,
            otherwise="set TLS_CERT_FILE, TLS_KEY_FILE and TLS_CA_FILE",
        )

    @model_validator(mode="after")
    def _can_be_used(self) -> Self:
        """Refuse, at the start, files that would only fail later."""
        transport_of(self.tls_files())
        return self


class ServiceSettings(TransportSettings):
    """Settings that every service reads."""

    #: Address to listen on.
    host: str = "127.0.0.1"
    #: Port to listen on; 0 lets the system choose.
    port: Port = 0
    #: Port for callers without certificates, who send access tokens over TLS (docs/tokens.md); 0:
    #: none.
    token_port: Port = 0
    #: SPIFFE trust domain of all certificates' names: spiffe://<trust domain>/service/plant.
    trust_domain: Annotated[str, Field(pattern=f"^{DOMAIN_FORM}$")] = TRUST_DOMAIN
    #: PostgreSQL of the pool, with the service's own role: postgresql://role:password@host/database.
    database_url: SecretStr
    #: Certificates (PEM) of the authorities that vouch for PostgreSQL; empty: the system's. On
    #: another machine it has to prove its name, unless DATABASE_URL has an sslmode.
    database_ca_file: Path | None = None
    #: DATABASE_URL is a PgBouncer's in transaction mode: nothing is kept in a session. The job of
    #: migrations needs PostgreSQL itself (DATABASE_ADMIN_URL).
    database_pgbouncer: bool = False
    #: Connections to PostgreSQL at most.
    database_pool_size: Annotated[Count, Field(ge=1, le=1000)] = 20
    #: Milliseconds that one statement, or waiting for a connection, may take.
    database_timeout: Milliseconds = 30_000
    #: Milliseconds that a statement may wait for a lock; then it fails and is tried again.
    database_lock_timeout_ms: Milliseconds = 10_000
    #: The Stellar network: mainnet, testnet or localnet.
    stellar_network: NetworkName = "localnet"
    #: Contract id of the KALE farm; empty means the network's own.
    kale_contract_id: str = ""
    #: debug, info, warning or error.
    log_level: LogLevel = "info"
    #: Port on which Prometheus finds the service's figures (GET /metrics, no TLS); 0: none.
    metrics_port: Port = 0
    #: Address of that port.
    metrics_host: str = "127.0.0.1"
    #: Calls a minute that one caller may make of one method; 0 means no limit.
    api_rate_limit: Annotated[Count, Field(ge=0)] = 100
    #: Other limits of single methods: SubmitWork=600,GetBlock=0. A method that services call among
    #: themselves is named whole: /kalepool.wallet.v1.WalletService/GetBalances=600.
    api_rate_limits: str = ""
    #: Calls in progress in one process at most, three quarters of them poolers', of whom none has
    #: more than there is room left; more are told to come again (UNAVAILABLE).
    max_calls_in_progress: Annotated[Count, Field(ge=1)] = 1000
    #: Connections of callers at most, half of them on TOKEN_PORT where that is set; fewer where the
    #: system allows the process fewer open files. One more is closed at once.
    max_connections: Annotated[Count, Field(ge=1, le=60_000)] = 4096
    #: Milliseconds in which a connection has to show its certificate and begin to speak.
    handshake_timeout_ms: Annotated[int, Unit.MILLISECONDS, Field(ge=100, le=60_000)] = 5000
    #: Streams without an end (WatchBlocks) that one caller may have at a time.
    max_streams_per_caller: Annotated[Count, Field(ge=1)] = 100
    #: Seconds in which another operator has to approve, and the first to repeat, an order that can
    #: move keys or money (docs/custody.md), for wallet, registry and harvest; 0: one operator is
    #: enough.
    second_person_seconds: Annotated[WholeSeconds, Field(ge=0, le=604_800)] = 0
    #: Milliseconds that a call may take, also when its own deadline is later.
    request_timeout: Milliseconds = 30_000
    #: Milliseconds that a batch (Plant, SubmitWork, Harvest) may take; it goes on afterwards.
    batch_timeout: Milliseconds = 240_000
    #: Milliseconds that running calls get to end after SIGTERM.
    shutdown_grace_ms: Milliseconds = 10_000
    #: Farmers that one call or one pooler may have at most.
    max_farmers: Annotated[Count, Field(ge=1, le=1000)] = 1000
    #: Farmers that may join poolers by themselves within 24 hours, all together, where the pooler
    #: lets them; 0: none may. Each takes a reserve of the treasury's. registry refuses, and harvest
    #: shows it in the public list.
    self_join_daily: Annotated[Count, Field(ge=0, le=1_000_000)] = 0
    #: Bytes of one request at most.
    max_request_bytes: Annotated[Bytes, Field(ge=1024)] = 4_194_304
    #: Where registry is reached (host:port); used by the aggregated status.
    registry_target: str = "127.0.0.1:50051"
    #: Where wallet is reached (host:port).
    wallet_target: str = "127.0.0.1:50052"
    #: Where plant is reached (host:port); used by the aggregated status.
    plant_target: str = "127.0.0.1:50053"
    #: Where work is reached (host:port); used by the aggregated status.
    work_target: str = "127.0.0.1:50054"
    #: Where harvest is reached (host:port); used by the aggregated status.
    harvest_target: str = "127.0.0.1:50055"

    @model_validator(mode="after")
    def _plaintext_stays_here(self) -> Self:
        if self.transport == "plaintext" and self.host not in LOCAL_HOSTS:
            raise ValueError(
                f"TRANSPORT=plaintext is for one machine: HOST must be {LOCAL_HOSTS[0]}"
            )
        if self.transport == "plaintext" and self.token_port:
            raise ValueError("TOKEN_PORT needs TRANSPORT=mtls: tokens are sent over TLS alone")
        if self.transport == "plaintext" and self.second_person_seconds:
            raise ValueError("SECOND_PERSON_SECONDS needs TRANSPORT=mtls: nobody shows a name else")
        return self

    @field_validator("database_url")
    @classmethod
    def _is_address(cls, url: SecretStr) -> SecretStr:
        check_dsn(url.get_secret_value())
        return url

    def database(self) -> DatabaseAddress:
        """Return PostgreSQL's address and the authority that vouches for it."""
        dsn = self.database_url.get_secret_value()
        return DatabaseAddress(dsn=dsn, authority=self.database_ca_file)

    @field_validator("api_rate_limits")
    @classmethod
    def _are_limits(cls, text: str) -> str:
        parse_rate_limits(text)
        return text

    def rate_limits(self) -> Mapping[str, int]:
        """Return the calls a minute by method, as API_RATE_LIMITS sets them."""
        return parse_rate_limits(self.api_rate_limits)


def parse_rate_limits(text: str) -> dict[str, int]:
    """Parse `Method=number,Method=number` into limits by method.

    Raise ValueError for anything else.
    """
    limits: dict[str, int] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        found = _RATE.fullmatch(item)
        if found is None or found["method"] in limits:
            raise ValueError(f"must be Method=number,Method=number with each method once: {item}")
        limits[found["method"]] = int(found["number"])
    return limits
