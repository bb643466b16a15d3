"""registry's settings."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from libs.common.config import Count, Milliseconds, Port, Seconds, ServiceSettings, WholeSeconds
from services.registry.domain.joining import JoinLimits
from services.registry.domain.webhooks import WebhookKeys, read_keys


class RegistrySettings(ServiceSettings):
    """Settings that registry reads on top of those of every service."""

    #: Port to listen on.
    port: Port = 50051
    #: Seconds between two looks for registrations that a crash has cut off, and the age from which
    #: one counts as cut off.
    recovery_seconds: Annotated[Seconds, Field(gt=0)] = 5.0
    #: Farmers of one owner account that may join by themselves within 24 hours (SELF_JOIN_DAILY is
    #: for all of them together).
    self_join_owner_daily: Annotated[Count, Field(ge=1, le=1_000_000)] = 1
    #: Seconds between two looks at a farmer or pooler that leaves, and is not gone yet
    #: (docs/leaving.md).
    leaving_seconds: Annotated[Seconds, Field(gt=0, le=3600)] = 10.0
    #: Seconds without a heartbeat after which a pooler that sent some counts as gone
    #: (docs/notifications.md).
    pooler_gone_seconds: Annotated[Seconds, Field(gt=0, le=86_400)] = 120.0
    #: Seconds for which notifications are kept.
    notification_keep_seconds: Annotated[WholeSeconds, Field(ge=2_678_400)] = 7_776_000
    #: Keys that webhooks' secrets are made from: base64 of 32 bytes each, with spaces or line ends
    #: between, the newest first. Set this or WEBHOOK_KEY_FILE; without both there are no webhooks.
    webhook_key: SecretStr = SecretStr("")
    #: File with these keys.
    webhook_key_file: Path | None = None
    #: Whether webhooks may go to private hosts, this machine included, and without TLS: for tests,
    #: and for pools whose poolers are trusted with the network that registry is in.
    webhooks_allow_private: bool = False
    #: Certificates (PEM) of authorities that vouch for webhooks' receivers, beside the system's.
    webhook_ca_file: Path | None = None
    #: Milliseconds that a webhook's receiver has for its answer.
    webhook_timeout_ms: Milliseconds = 10_000
    #: Seconds for which a notification is tried at a webhook. A webhook whose receiver fails for as
    #: long is disabled.
    webhook_give_up_seconds: Annotated[WholeSeconds, Field(ge=60, le=2_592_000)] = 259_200

    def join_limits(self) -> JoinLimits:
        """Return the operator's limits of who joins by itself."""
        return JoinLimits(daily=self.self_join_daily, owner_daily=self.self_join_owner_daily)

    def webhook_keys(self) -> WebhookKeys | None:
        """Return the keys of webhooks' secrets; None where there are no webhooks.

        Raise ValueError, which names the setting, for what is no key.
        """
        text, name = self.webhook_key.get_secret_value(), "WEBHOOK_KEY"
        if self.webhook_key_file is not None:
            if text:
                raise ValueError("set WEBHOOK_KEY or WEBHOOK_KEY_FILE, not both")
            text, name = _text_of(self.webhook_key_file), "WEBHOOK_KEY_FILE"
        elif not text:
            return None
        try:
            return read_keys(text)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None

    @model_validator(mode="after")
    def _has_webhook_files(self) -> Self:
        """Refuse, at the start, files that would only fail later."""
        self.webhook_keys()
        if self.webhook_ca_file is not None and not self.webhook_ca_file.is_file():
            raise ValueError("WEBHOOK_CA_FILE: there is no such file")
        return self


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError as error:
        raise ValueError(f"WEBHOOK_KEY_FILE: {error.strerror}") from error
    except UnicodeError:
        raise ValueError("WEBHOOK_KEY_FILE: is no text") from None
