"""The command `kalepool`: reads the command line, runs one command, reports its error."""

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from inspect import BoundArguments
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter, validators

from cli import (
    agreement,
    certificates,
    custody,
    engine,
    farmer,
    farming,
    keys,
    ledger,
    login,
    miner,
    orders,
    payout,
    pool,
    pooler,
    profile,
    reconcile,
    report,
    statement,
    tokens,
    wallet,
    watch,
    webhook,
    withdrawal,
)
from cli.errors import CommandLineError
from cli.session import Options, open_session
from cli.settings import Given, choose
from cli.show import Output, note
from libs.common.errors import PoolError, UnavailableError
from libs.common.grpc.errors import is_answered
from libs.common.stdout import with_output
from libs.common.version import VERSION

#: Exit status: the pool refused, is away, or is not healthy.
REFUSED = 1
#: Exit status: the command line is wrong.
USAGE = 2
#: Exit status: Ctrl-C.
INTERRUPTED = 130

#: The commands by what people want to do, in the order of the help.
TASKS: Mapping[str, Sequence[Callable[..., Any] | cyclopts.App]] = {
    "See how the pool is doing": (
        watch.watch,
        pool.status,
        pool.info,
        webhook.notifications,
        wallet.block,
        wallet.operations,
    ),
    "Farm": (
        pooler.app,
        farmer.app,
        farming.plant,
        farming.work,
        farming.harvest,
        farming.harvest_pending,
        farming.plantings,
        farming.works,
        farming.harvests,
    ),
    "Earnings and payouts": (
        report.app,
        ledger.app,
        statement.app,
        farming.balance,
        miner.app,
        wallet.wallets,
        payout.app,
        login.app,
        withdrawal.app,
        agreement.app,
    ),
    "Run the pool": (wallet.treasury, engine.app, reconcile.app),
    "Guard keys and money": (custody.app, keys.app, orders.app),
    "Connect": (profile.app, certificates.app, tokens.app, webhook.app),
}

app = cyclopts.App(
    name="kalepool",
    help="Run a KALE pool: poolers, farmers, wallets, blocks. Amounts are in KALE and XLM; "
    "--json gives protobuf's JSON, where they are stroops. Where the pool is and who you are there "
    "come from options, then variables, then the selected profile.",
    version=VERSION,
    exit_on_error=False,
    print_error=False,
)
app.meta.group_parameters = cyclopts.Group("Options of every command", sort_key=len(TASKS) + 1)
app["--help"].group = app["--version"].group = cyclopts.Group("Help", sort_key=len(TASKS))
for _number, (_task, _commands) in enumerate(TASKS.items()):
    _group = cyclopts.Group(_task, sort_key=_number)
    for _place, _command in enumerate(_commands):
        if isinstance(_command, cyclopts.App):
            _command.group, _command.sort_key = _group, _place
            app.command(_command)
        else:
            app.command(_command, group=_group, sort_key=_place)

Json = Annotated[bool, Parameter(negative="")]
Timeout = Annotated[float | None, Parameter(validator=validators.Number(gt=0))]
Wait = Annotated[float, Parameter(validator=validators.Number(gte=0))]


_NOTHING = Given()


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    json: Json = False,
    timeout: Timeout = None,
    approval_wait: Wait = 0.0,
    given: Annotated[Given, Parameter(name="*")] = _NOTHING,
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
    """
    run, bound, wanted = app.parse_args(tokens)
    if "session" in wanted:
        options = Options(
            connection=choose(given),
            # Who logs in has neither certificate nor token yet.
            is_for_strangers=run.__module__ == login.__name__,
            json=json,
            timeout=timeout,
            approval_wait=approval_wait,
        )
        return asyncio.run(_run(run, bound, options))
    parts = {"given": given, "output": Output(json=json)}
    return int(run(*bound.args, **bound.kwargs, **{name: parts[name] for name in wanted}) or 0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status, with one line on standard error when it is not 0."""
    given = sys.argv[1:] if arguments is None else arguments
    return with_output("kalepool", lambda: _told(given))


def _told(arguments: Sequence[str]) -> int:
    try:
        return _launch(arguments)
    except cyclopts.CycloptsError as error:
        note(_usage(error))
    except CommandLineError as error:
        note(str(error))
    except UnicodeError:
        note("the command line is not valid UTF-8")
    except PoolError as error:
        note(describe(error))
        return REFUSED
    except (KeyboardInterrupt, asyncio.CancelledError):
        return INTERRUPTED
    return USAGE


def _launch(tokens: Sequence[str]) -> int:
    status = app.meta(
        list(tokens), exit_on_error=False, print_error=False, result_action="return_value"
    )
    return int(status or 0)


def _usage(error: cyclopts.CycloptsError) -> str:
    """Describe what is wrong with a command line, and name the help of the command in it."""
    text = " ".join(str(error).split())
    if isinstance(error, cyclopts.UnusedCliTokensError) and error.unused_tokens:
        text = f"more than the command takes: {' '.join(error.unused_tokens)}"
    command = " ".join(("kalepool", *(error.command_chain or ())))
    return f"{text} ({command} --help)"


def describe(error: PoolError) -> str:
    """Describe an error in one line: the reason, and every field that is wrong, or the message."""
    violations = [f"{item.field} {item.description}" for item in error.violations]
    return f"{error.reason}: {'; '.join(violations) or ' '.join(error.message.split())}"


async def _run(run: Callable[..., Any], bound: BoundArguments, options: Options) -> int:
    """Run a command that calls the pool; a command without a result has succeeded."""
    try:
        async with open_session(options, Output(json=options.json)) as session:
            status = await run(*bound.args, **bound.kwargs, session=session)
    except UnavailableError as error:
        hint = _hint(error, options)
        raise UnavailableError(f"{error.message}{hint}", reason=error.reason) from error
    return int(status or 0)


def _hint(error: UnavailableError, options: Options) -> str:
    """Return what to look at when nobody answers at an address."""
    if is_answered(error):
        return ""
    profile = options.connection.profile
    addresses = f" (profile {profile}: kalepool profile show {profile})" if profile else ""
    is_here = all(name.startswith("127.0.0.1:") for name in options.connection.targets.values())
    start = "; make up starts one on this machine" if is_here else ""
    return f"; is the pool running at these addresses?{addresses}{start}"
