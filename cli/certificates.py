"""kalepool certificates: an authority of your own, for development and pools without one."""

from pathlib import Path
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter, validators

from cli.errors import CommandLineError
from cli.show import note
from libs.common.authority import (
    CERTIFICATE_FILE,
    PARTS,
    Authority,
    load_authority,
    make_authority,
)
from libs.common.grpc.identity import TRUST_DOMAIN, CallerKind
from libs.common.local import LOCAL_HOSTS

app = cyclopts.App(
    name="certificates",
    help="Make certificates: who may call what follows from the names in them.",
)
Days = Annotated[float, Parameter(validator=validators.Number(gt=0, lte=3650))]


@app.command(name="init")
def init(folder: Path, *, trust_domain: str = TRUST_DOMAIN) -> None:
    """Make an authority in an empty folder: ca.pem for everybody, ca.key for nobody else.

    Parameters
    ----------
    folder
        Where its files go.
    trust_domain
        What all names begin with; TRUST_DOMAIN of the services.
    """
    if (folder / CERTIFICATE_FILE).exists():
        raise CommandLineError(f"{folder} holds an authority already")
    try:
        make_authority(trust_domain).save(folder)
    except (OSError, ValueError) as error:
        raise CommandLineError(str(error)) from error
    note(f"made {folder / CERTIFICATE_FILE}")


@app.command(name="issue")
def issue(
    kind: Literal["service", "pooler", "operator"],
    name: str,
    *,
    folder: Path,
    out: Path | None = None,
    days: Days = 30.0,
    address: list[str] | None = None,
) -> None:
    """Make a certificate and its key.

    Repeat to renew the certificate, which running services notice.

    Parameters
    ----------
    kind
        What it is for.
    name
        registry, wallet, plant, work, harvest, gateway, or postgres for the database; a pooler's
        id; an operator's name.
    folder
        The authority's folder.
    out
        Where <name>.pem and <name>.key go: the authority's folder, unless it is given.
    days
        How long it is valid.
    address
        A service's further DNS name or IP address, as often as needed.
    """
    if kind == "service" and name not in PARTS:
        raise CommandLineError(f"no service is called {name!r}: it is {', '.join(PARTS)}")
    authority = _authority(folder)
    try:
        issued = authority.issue(
            CallerKind(kind), name, days=days, addresses=(*LOCAL_HOSTS, *(address or ()))
        )
        certificate, key = issued.save(out or folder, name)
    except (OSError, ValueError) as error:
        raise CommandLineError(str(error)) from error
    note(f"made {certificate} and {key}")


def _authority(folder: Path) -> Authority:
    try:
        return load_authority(folder)
    except (OSError, ValueError) as error:
        raise CommandLineError(f"no authority in {folder}: {error}") from error
