"""Settings of the key providers: one of them seals; every provider that is set up opens."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from libs.common.config import Count, Milliseconds, Settings, WholeSeconds
from services.wallet.keys.local import load_master_key, load_previous_keys
from services.wallet.keys.open_providers import AwsOptions, KeyOptions, Kind, VaultOptions
from services.wallet.keys.provider import MasterKeyError
from services.wallet.keys.vault_session import AppRole, Login, TokenFile


class KeySettings(Settings):
    """Settings of the providers of key-encryption keys (KEKs)."""

    #: What seals new keys: local (MASTER_KEY), vault or aws-kms. Others that are set up still open
    #: what they sealed before.
    key_provider: Kind = "local"
    #: Key-encryption key: base64 of 32 bytes. Set this or MASTER_KEY_FILE.
    master_key: SecretStr = SecretStr("")
    #: File with the key-encryption key: base64 of 32 bytes.
    master_key_file: Path | None = None
    #: Files with further KEKs that may only open keys, separated by commas: older ones, until
    #: `kalepool keys rotate` is through, or the next one.
    master_key_previous_files: str = ""
    #: Address of HashiCorp Vault or OpenBao: https://host:port (http:// for this machine only).
    vault_addr: str = ""
    #: Namespace of an enterprise Vault; empty means none.
    vault_namespace: str = ""
    #: File with the certificates to trust for VAULT_ADDR; empty means the system's.
    vault_cacert: Path | None = None
    #: Mount of Vault's transit engine.
    vault_transit_mount: str = "transit"
    #: Name of the transit key, of type aes256-gcm96.
    vault_transit_key: str = ""
    #: File with a token, such as an agent writes it. Set this, or VAULT_ROLE_ID with its secret.
    vault_token_file: Path | None = None
    #: Role id of an AppRole.
    vault_role_id: str = ""
    #: File with the AppRole's secret id.
    vault_secret_id_file: Path | None = None
    #: Mount of Vault's AppRole method.
    vault_approle_mount: str = "approle"
    #: Key of AWS KMS, symmetric: id, ARN or alias. Credentials are found as AWS's tools find them.
    aws_kms_key_id: str = ""
    #: Another address of AWS KMS, such as a VPC endpoint; empty means the region's.
    aws_kms_endpoint: str = ""
    #: Region of the key; empty means as AWS's own settings say.
    aws_region: str = ""
    #: Milliseconds that one request of Vault or AWS KMS may take.
    key_timeout_ms: Milliseconds = 5000
    #: Seconds that data keys from Vault or AWS KMS are kept in memory; 0 means never.
    key_cache_seconds: Annotated[WholeSeconds, Field(ge=0, le=3600)] = 30
    #: Data keys that are kept at most.
    key_cache_entries: Annotated[Count, Field(ge=1, le=100_000)] = 2000

    def keys(self) -> KeyOptions:
        """Return the options of the providers.

        Raises MasterKeyError, which names the setting that is missing or does not fit.
        """
        options = KeyOptions(
            sealing=self.key_provider,
            local=self._local(),
            vault=self._vault(),
            aws=self._aws(),
            timeout=self.key_timeout_ms / 1000,
            cache_seconds=self.key_cache_seconds,
            cache_entries=self.key_cache_entries,
        )
        if self.key_provider == "vault" and options.vault is None:
            raise MasterKeyError("KEY_PROVIDER=vault needs VAULT_ADDR")
        if self.key_provider == "aws-kms" and options.aws is None:
            raise MasterKeyError("KEY_PROVIDER=aws-kms needs AWS_KMS_KEY_ID")
        return options

    def _local(self) -> list[bytes]:
        names = self.master_key_previous_files.split(",")
        previous = load_previous_keys([Path(name.strip()) for name in names if name.strip()])
        value, file = self.master_key.get_secret_value(), self.master_key_file
        if self.key_provider != "local" and not value and file is None:
            return previous
        return [load_master_key(value=value, file=file), *previous]

    def _vault(self) -> VaultOptions | None:
        if not self.vault_addr:
            return None
        _check_address("VAULT_ADDR", self.vault_addr)
        if not self.vault_transit_key:
            raise MasterKeyError("VAULT_ADDR needs VAULT_TRANSIT_KEY, the name of the key")
        return VaultOptions(
            address=self.vault_addr,
            namespace=self.vault_namespace,
            ca_file=self.vault_cacert,
            mount=self.vault_transit_mount,
            key=self.vault_transit_key,
            login=self._login(),
        )

    def _login(self) -> Login:
        if (self.vault_token_file is None) != bool(self.vault_role_id):
            raise MasterKeyError(
                "VAULT_ADDR needs exactly one of VAULT_TOKEN_FILE and VAULT_ROLE_ID"
            )
        if self.vault_token_file is not None:
            return TokenFile(path=self.vault_token_file)
        if self.vault_secret_id_file is None:
            raise MasterKeyError("VAULT_ROLE_ID needs VAULT_SECRET_ID_FILE")
        return AppRole(
            mount=self.vault_approle_mount,
            role_id=self.vault_role_id,
            secret_id_file=self.vault_secret_id_file,
        )

    def _aws(self) -> AwsOptions | None:
        if not self.aws_kms_key_id:
            return None
        if self.aws_kms_endpoint:
            _check_address("AWS_KMS_ENDPOINT", self.aws_kms_endpoint)
        return AwsOptions(
            key=self.aws_kms_key_id, region=self.aws_region, endpoint=self.aws_kms_endpoint
        )

    @model_validator(mode="after")
    def _keys_fit_together(self) -> Self:
        """Check the settings at the start, so that none fails only later."""
        self.keys()
        return self


def _check_address(name: str, address: str) -> None:
    """Check that the address uses TLS, except within this machine: data keys go there in clear."""
    parts = urlsplit(address)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme != "http" or not _is_loopback(parts.hostname or ""):
        raise MasterKeyError(f"{name} must be https://... (http:// on this machine only)")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
