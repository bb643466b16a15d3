"""kalepool profile: pools by name, so that no option or variable has to be given."""

from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter

from cli import profiles
from cli.errors import CommandLineError
from cli.settings import NO_PROFILE, Given
from cli.show import Output, note
from client import CertificateError, TlsFiles, TokenFiles, transport_of

app = cyclopts.App(
    name="profile",
    help="Keep where a pool is and who you are there, by a name; paths only, never a key.",
)
COLUMNS = ("profile", "selected", "wallet", "caller")
#: Given by main, no options.
Settings = Annotated[Given, Parameter(parse=False)]
Shown = Annotated[Output, Parameter(parse=False)]


@app.command(name="list")
def list_profiles(*, output: Shown) -> None:
    """List the profiles, and which one counts."""
    found = profiles.load()
    if output.json:
        output.json_value({"selected": found.selected, "profiles": found.by_name})
        return
    if not found.by_name:
        note("there are none; kalepool profile add makes one, and so does make up")
        return
    output.table(
        COLUMNS,
        [
            (
                name,
                "yes" if name == found.selected else "",
                settings.get("wallet_target", "the default"),
                settings.get("token_file") or settings.get("tls_cert_file", ""),
            )
            for name, settings in sorted(found.by_name.items())
        ],
    )


@app.command
def show(name: str = "", /, *, output: Shown) -> None:
    """Show one profile, all of its settings.

    Parameters
    ----------
    name
        The profile; the selected one when it is not given.
    """
    found = profiles.load()
    name = name or found.selected
    if not name:
        raise CommandLineError("no profile is selected: give one, or kalepool profile use")
    settings = found.get(name)
    if output.json:
        output.json_value({"profile": name, "settings": settings})
        return
    rows = [(key.replace("_", " "), value) for key, value in sorted(settings.items())]
    output.table(("setting", "value"), [("profile", name), *rows])


@app.command
def use(name: str, /) -> None:
    """Select the profile that counts from now on; none selects none.

    Options and variables (REGISTRY_TARGET, TLS_CERT_FILE ...) win over it, and --profile or
    KALEPOOL_PROFILE names another one for a single command.
    """
    chosen = "" if name == NO_PROFILE else name
    profiles.save(profiles.load().select(chosen))
    note(f"{name} is selected" if chosen else "no profile is selected")


@app.command
def add(
    name: str,
    /,
    *,
    replace: Annotated[bool, Parameter(negative="")] = False,
    select: Annotated[bool, Parameter(negative="")] = False,
    given: Settings,
) -> None:
    """Add a profile of the addresses and files that this command line and variables give.

    As in `kalepool profile add north --wallet-target north:50052 --tls-cert-file me.pem ...`; what
    is not given stays the default.

    Parameters
    ----------
    name
        What to call it: small letters, digits, dots, dashes and underscores.
    replace
        Also when there is one of this name.
    select
        Select it at once.
    """
    settings = given.profile_settings()
    if not settings:
        raise CommandLineError("give at least one address or file, such as --tls-cert-file")
    found = profiles.load()
    if name in found.by_name and not replace:
        raise CommandLineError(f"there is a profile {name!r} already: --replace replaces it")
    found = found.put(name, settings)
    _check_files(settings)
    path = profiles.save(found.select(name) if select else found)
    note(f"{name} is in {path}" + ("" if select else f"; kalepool profile use {name} selects it"))


@app.command
def remove(name: str, /) -> None:
    """Remove a profile; the files that it names stay."""
    found = profiles.load()
    path = profiles.save(found.without(name))
    others = "; no profile is selected now" if name == found.selected else ""
    note(f"{name} is no longer in {path}{others}")


def _check_files(settings: profiles.Profile) -> None:
    """Raise CommandLineError when a file of a new profile is not there or of no use."""
    files = {key: Path(settings[key]) for key in profiles.PATHS if key in settings}
    for name, path in files.items():
        if not path.is_file():
            raise CommandLineError(f"--{name.replace('_', '-')}: there is no file {path}")
    certificate, key = files.get("tls_cert_file"), files.get("tls_key_file")
    authority, token = files.get("tls_ca_file"), files.get("token_file")
    try:
        if certificate and key and authority:
            transport_of(TlsFiles(certificate=certificate, key=key, authority=authority))
        if token and authority:
            TokenFiles(token=token, authority=authority).read()
    except CertificateError as error:
        raise CommandLineError(str(error)) from error
