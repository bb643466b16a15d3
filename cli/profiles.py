"""Profiles: where a pool is, and which files name the caller there, by a name of one's own.

They are in one TOML file in the user's configuration folder. A profile holds addresses and paths
only: never a key, never a token.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import platformdirs

from cli.errors import CommandLineError

#: The variable that names another folder for the file.
HOME_VARIABLE = "KALEPOOL_CONFIG_HOME"
#: The settings of a profile that are paths, and those that are not.
PATHS = ("tls_cert_file", "tls_key_file", "tls_ca_file", "token_file")
TARGETS = (
    "registry_target",
    "wallet_target",
    "plant_target",
    "work_target",
    "harvest_target",
)
TEXTS = (*TARGETS, "transport")
_FILE = "profiles.toml"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
#: A name or an address of version 4, or one of version 6 in brackets; then the port. In front may
#: stand what has gRPC look at all addresses of a name.
_TARGET = re.compile(r"(?:dns:///)?(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.%a-z]+\]):(?P<port>[0-9]{1,5})")
#: What a value may not hold: no path and no address has it, keys in PEM have line ends.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Profile = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Profiles:
    """All profiles of a user."""

    #: Settings by the profile's name.
    by_name: Mapping[str, Profile] = field(default_factory=dict)
    #: The one that counts when none is named; empty: none.
    selected: str = ""

    def get(self, name: str) -> Profile:
        """Return a profile. Raise CommandLineError when there is none of this name."""
        if name not in self.by_name:
            known = ", ".join(sorted(self.by_name)) or "none"
            raise CommandLineError(f"no profile is called {name!r}: there are {known}")
        return self.by_name[name]

    def put(self, name: str, settings: Profile) -> "Profiles":
        """Return the profiles with this one among them, in place of one of the same name."""
        check_name(name)
        for key, value in settings.items():
            _check(name, key, value)
        return replace(self, by_name={**self.by_name, name: dict(settings)})

    def without(self, name: str) -> "Profiles":
        """Return the profiles without one of them; when that one was selected, none is."""
        self.get(name)
        others = {other: found for other, found in self.by_name.items() if other != name}
        return Profiles(by_name=others, selected="" if name == self.selected else self.selected)

    def select(self, name: str) -> "Profiles":
        """Return the profiles with another one selected; the empty name selects none."""
        if name:
            self.get(name)
        return replace(self, selected=name)


def place() -> Path:
    """Return the file of the profiles; it need not exist.

    Raise CommandLineError for a user without a home: the file would be made wherever we are.
    """
    home = os.environ.get(HOME_VARIABLE)
    folder = Path(home) if home else platformdirs.user_config_path("kalepool", appauthor=False)
    if not home and not folder.is_absolute():
        raise CommandLineError(f"this user has no home folder: set {HOME_VARIABLE} to a folder")
    return folder / _FILE


def load() -> Profiles:
    """Read the profiles. Raise CommandLineError for a file that holds anything else."""
    try:
        path = place()
    except CommandLineError:
        return Profiles()  # nowhere to have any
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Profiles()
    except OSError as error:
        raise CommandLineError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise CommandLineError(f"{path}: not TOML: {error}") from error
    try:
        return _profiles(found)
    except CommandLineError as error:
        raise CommandLineError(f"{path}: {error}") from error


def save(profiles: Profiles) -> Path:
    """Write the profiles, whole at every moment, and return their file."""
    path = place()
    passing = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        passing.write_text(_text(profiles), encoding="utf-8")
        passing.replace(path)
    except OSError as error:
        raise CommandLineError(f"{path}: {error.strerror}") from error
    return path


def check_name(name: str) -> None:
    """Raise CommandLineError for a name that no profile may have."""
    if not _NAME.fullmatch(name) or name == "none":
        raise CommandLineError(
            f"no profile can be called {name!r}: 1 to 64 of a-z, 0-9, dot, dash and underscore, "
            "at both ends a letter or a digit, and not none"
        )


def wrong_with_target(text: str) -> str:
    """Return in words why nothing listens at such an address; empty when something may."""
    found = _TARGET.fullmatch(text)
    if found is None or not 1 <= int(found["port"]) <= 65_535:
        return f"must be host:port, such as north.example.com:50052, not {text!r}"
    return ""


def _profiles(found: Mapping[str, object]) -> Profiles:
    unknown = set(found) - {"selected", "profiles"}
    if unknown:
        raise CommandLineError(f"{min(unknown)}: not known")
    tables, selected = found.get("profiles", {}), found.get("selected", "")
    if not isinstance(tables, dict):
        raise CommandLineError("profiles: must be tables")
    if not isinstance(selected, str):
        raise CommandLineError("selected: must be a name")
    profiles = Profiles()
    for name, settings in tables.items():
        if not isinstance(settings, dict):
            raise CommandLineError(f"profiles.{name}: must be a table")
        profiles = profiles.put(name, settings)
    return profiles.select(selected)


def _check(name: str, key: str, value: object) -> None:
    """Raise CommandLineError for what a profile cannot hold, a key or a token above all."""
    where = f"profiles.{name}.{key}"
    if key not in (*PATHS, *TEXTS):
        raise CommandLineError(f"{where}: not known")
    if not isinstance(value, str) or not value or _CONTROL.search(value):
        raise CommandLineError(f"{where}: must be a text in one line")
    if key in PATHS and not Path(value).is_absolute():
        raise CommandLineError(f"{where}: must be a path from the root, not the contents of a file")
    if key in TARGETS and (problem := wrong_with_target(value)):
        raise CommandLineError(f"{where}: {problem}")
    if key == "transport" and value not in {"mtls", "plaintext"}:
        raise CommandLineError(f"{where}: must be mtls or plaintext")


def _text(profiles: Profiles) -> str:
    """Return the file's text: tomllib reads TOML, and nothing in Python writes it."""
    lines = ["# Written by `kalepool profile` and `make up`: addresses and paths, never a key."]
    if profiles.selected:
        lines.append(f"selected = {_quoted(profiles.selected)}")
    for name, settings in sorted(profiles.by_name.items()):
        lines += ["", f"[profiles.{_quoted(name)}]"]
        lines += [f"{key} = {_quoted(value)}" for key, value in sorted(settings.items())]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Return a TOML string; no value has a control character."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
