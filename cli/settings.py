"""What a command line says, then variables, then the selected profile, then the defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from cli import profiles
from cli.errors import CommandLineError
from cli.profiles import PATHS, TARGETS, Profile, wrong_with_target
from client import Targets

#: The profile's name that stands for no profile.
NO_PROFILE = "none"


Text = str | None
File = Path | None


@dataclass(frozen=True, kw_only=True)
class Given:
    """The settings of a connection as options and variables give them; None: not given.

    Parameters
    ----------
    profile
        A profile in place of the selected one; none for none.
    registry_target
        Where registry listens (host:port); 127.0.0.1:50051 when nothing says.
    wallet_target
        Where wallet listens; 127.0.0.1:50052.
    plant_target
        Where plant listens; 127.0.0.1:50053.
    work_target
        Where work listens; 127.0.0.1:50054.
    harvest_target
        Where harvest listens; 127.0.0.1:50055.
    transport
        plaintext for services of this machine that ask nobody who it is; mtls otherwise.
    tls_cert_file
        Your certificate (PEM); `kalepool certificates` makes some.
    tls_key_file
        Its private key (PEM).
    tls_ca_file
        Certificates of the authorities that the pool trusts (PEM).
    token_file
        File with an API token in place of a certificate; the addresses are then TOKEN_PORTs.
    """

    profile: Annotated[Text, Parameter(env_var="KALEPOOL_PROFILE")] = None
    registry_target: Annotated[Text, Parameter(env_var="REGISTRY_TARGET")] = None
    wallet_target: Annotated[Text, Parameter(env_var="WALLET_TARGET")] = None
    plant_target: Annotated[Text, Parameter(env_var="PLANT_TARGET")] = None
    work_target: Annotated[Text, Parameter(env_var="WORK_TARGET")] = None
    harvest_target: Annotated[Text, Parameter(env_var="HARVEST_TARGET")] = None
    transport: Annotated[Literal["mtls", "plaintext"] | None, Parameter(env_var="TRANSPORT")] = None
    tls_cert_file: Annotated[File, Parameter(env_var="TLS_CERT_FILE")] = None
    tls_key_file: Annotated[File, Parameter(env_var="TLS_KEY_FILE")] = None
    tls_ca_file: Annotated[File, Parameter(env_var="TLS_CA_FILE")] = None
    token_file: Annotated[File, Parameter(env_var="KALEPOOL_TOKEN_FILE")] = None

    def profile_settings(self) -> Profile:
        """Return what a profile of these settings holds: paths from the root."""
        found = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "profile"}
        return {
            name: str(value.absolute()) if isinstance(value, Path) else value
            for name, value in found.items()
            if value is not None
        }


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The settings of a connection that count."""

    #: Name of the profile that they come from, in part at least; empty: none.
    profile: str
    #: host:port by service name.
    targets: Mapping[str, str]
    #: Whether there are no certificates at all.
    is_plaintext: bool
    #: Certificate, key and authorities; None where one is not known.
    tls: tuple[Path | None, Path | None, Path | None]
    #: File with an API token; None: a certificate names the caller.
    token_file: Path | None


def choose(given: Given) -> Chosen:
    """Return the settings that count: what is given wins over the profile, and that over defaults.

    Raise CommandLineError when the profile cannot be used.
    """
    name, profile = _profile(given.profile)
    merged = {**profile, **given.profile_settings()}
    merged.update(_one_way(given, merged))
    for key in TARGETS:
        if key in merged and (problem := wrong_with_target(merged[key])):
            raise CommandLineError(f"{key.upper()}: {problem}")
    paths = {key: Path(merged[key]) if merged.get(key) else None for key in PATHS}
    defaults = Targets().by_name()
    return Chosen(
        profile=name,
        targets={
            service: merged.get(f"{service}_target", default)
            for service, default in defaults.items()
        },
        is_plaintext=merged.get("transport") == "plaintext",
        tls=(paths["tls_cert_file"], paths["tls_key_file"], paths["tls_ca_file"]),
        token_file=paths["token_file"],
    )


def _profile(named: str | None) -> tuple[str, Profile]:
    if named == NO_PROFILE:
        return "", {}
    found = profiles.load()
    name = named or found.selected
    return (name, found.get(name)) if name else ("", {})


def _one_way(given: Given, merged: Mapping[str, str]) -> dict[str, str]:
    """Return what else to set: a caller that is given one way is not named in the other, too."""
    named_otherwise = given.tls_cert_file is not None or given.transport is not None
    if given.token_file is None and named_otherwise:
        return {"token_file": ""}
    if "token_file" in merged:
        return {"transport": "mtls", "tls_cert_file": "", "tls_key_file": ""}
    return {}
