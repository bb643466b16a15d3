"""The command `kalepool`: reads the command line, runs one command, reports its error."""

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from inspect import BoundArguments
from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter, validators

from cli import (
    certificates,
    custody,
    engine,
    farmer,
    farming,
    keys,
    orders,
    pool,
    pooler,
    reconcile,
    report,
    tokens,
    wallet,
    withdrawal,
)
from cli.errors import CommandLineError
from cli.session import Options, open_session
from cli.show import Output, note
from libs.common.errors import PoolError
from libs.common.version import VERSION

#: Exit status: the pool refused, is away, or is not healthy.
REFUSED = 1
#: Exit status: the command line is wrong.
USAGE = 2
#: Exit status: Ctrl-C.
INTERRUPTED = 130

app = cyclopts.App(
    name="kalepool",
    help="Run a KALE pool: poolers, farmers, wallets, blocks. Amounts are in KALE and XLM; "
    "--json gives protobuf's JSON, where they are stroops.",
    version=VERSION,
    exit_on_error=False,
    print_error=False,
)
app.meta.group_parameters = cyclopts.Group("Options of every command", sort_key=1)
for group in (
    pooler.app,
    farmer.app,
    wallet.wallets,
    wallet.operations,
    withdrawal.app,
    custody.app,
    engine.app,
    keys.app,
    orders.app,
    tokens.app,
    reconcile.app,
    report.app,
    certificates.app,
):
    app.command(group)
for command in (
    wallet.block,
    wallet.treasury,
    farming.plant,
    farming.plantings,
    farming.work,
    farming.works,
    farming.harvest,
    farming.harvest_pending,
    farming.harvests,
    farming.balance,
    pool.status,
    pool.info,
):
    app.command(command)

Json = Annotated[bool, Parameter(negative="")]
Timeout = Annotated[float | None, Parameter(validator=validators.Number(gt=0))]
Wait = Annotated[float, Parameter(validator=validators.Number(gte=0))]
RegistryTarget = Annotated[str, Parameter(env_var="REGISTRY_TARGET")]
WalletTarget = Annotated[str, Parameter(env_var="WALLET_TARGET")]
PlantTarget = Annotated[str, Parameter(env_var="PLANT_TARGET")]
WorkTarget = Annotated[str, Parameter(env_var="WORK_TARGET")]
HarvestTarget = Annotated[str, Parameter(env_var="HARVEST_TARGET")]
Transport = Annotated[Literal["mtls", "plaintext"], Parameter(env_var="TRANSPORT")]
CertificateFile = Annotated[Path | None, Parameter(env_var="TLS_CERT_FILE")]
KeyFile = Annotated[Path | None, Parameter(env_var="TLS_KEY_FILE")]
AuthorityFile = Annotated[Path | None, Parameter(env_var="TLS_CA_FILE")]


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    json: Json = False,
    timeout: Timeout = None,
    approval_wait: Wait = 0.0,
    registry_target: RegistryTarget = "127.0.0.1:50051",
    wallet_target: WalletTarget = "127.0.0.1:50052",
    plant_target: PlantTarget = "127.0.0.1:50053",
    work_target: WorkTarget = "127.0.0.1:50054",
    harvest_target: HarvestTarget = "127.0.0.1:50055",
    transport: Transport = "mtls",
    tls_cert_file: CertificateFile = None,
    tls_key_file: KeyFile = None,
    tls_ca_file: AuthorityFile = None,
) -> int:
    """Options of every command, before or after it.

    Parameters
    ----------
    json
        One line of protobuf's JSON instead of tables.
    timeout
        Seconds that one call may take.
    approval_wait
        Seconds to wait for another operator's approval of what takes one (custody approve).
    registry_target
        Where registry listens (host:port).
    wallet_target
        Where wallet listens.
    plant_target
        Where plant listens.
    work_target
        Where work listens.
    harvest_target
        Where harvest listens.
    transport
        plaintext for services of this machine that ask nobody who it is.
    tls_cert_file
        Your certificate (PEM); `kalepool certificates` makes some.
    tls_key_file
        Its private key (PEM).
    tls_ca_file
        Certificates of the authorities that the pool trusts (PEM).
    """
    options = Options(
        targets={
            "registry": registry_target,
            "wallet": wallet_target,
            "plant": plant_target,
            "work": work_target,
            "harvest": harvest_target,
        },
        tls=(tls_cert_file, tls_key_file, tls_ca_file) if transport == "mtls" else None,
        json=json,
        timeout=timeout,
        approval_wait=approval_wait,
    )
    run, bound, missing = app.parse_args(tokens)
    return asyncio.run(_run(run, bound, options, needs_session="session" in missing))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status, with one line on standard error when it is not 0."""
    try:
        return _launch(sys.argv[1:] if arguments is None else arguments)
    except cyclopts.CycloptsError as error:
        note(f"{' '.join(str(error).split())} (kalepool --help)")
    except CommandLineError as error:
        note(str(error))
    except UnicodeError:
        note("the command line is not valid UTF-8")
    except PoolError as error:
        note(describe(error))
        return REFUSED
    except BrokenPipeError:
        # The reader has closed the pipe; output that Python would still flush is discarded.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return REFUSED
    except (KeyboardInterrupt, asyncio.CancelledError):
        return INTERRUPTED
    return USAGE


def _launch(tokens: Sequence[str]) -> int:
    status = app.meta(
        list(tokens), exit_on_error=False, print_error=False, result_action="return_value"
    )
    return int(status or 0)


def describe(error: PoolError) -> str:
    """Describe an error in one line: the reason, and every field that is wrong, or the message."""
    violations = [f"{item.field} {item.description}" for item in error.violations]
    return f"{error.reason}: {'; '.join(violations) or ' '.join(error.message.split())}"


async def _run(
    run: Callable[..., Any], bound: BoundArguments, options: Options, *, needs_session: bool
) -> int:
    """Run a command; help and version need no session; a command without a result has succeeded."""
    if not needs_session:
        run(*bound.args, **bound.kwargs)
        return 0
    async with open_session(options, Output(json=options.json)) as session:
        status = await run(*bound.args, **bound.kwargs, session=session)
    return int(status or 0)
