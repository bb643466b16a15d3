"""The command `python -m pooler`: runs the reference pooler against any pool."""

import asyncio
import signal
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import cyclopts
import uvloop
from cyclopts import Parameter, validators

from client import CertificateError, PoolError, Targets, TlsFiles, TokenFiles
from libs.common.descriptors import raise_limit
from libs.common.grpc.tls import TLS_OPTIONS
from libs.common.log import configure_logging
from libs.common.start import ListenError, read_settings
from miner.model import EngineUnavailableError
from pooler.config import PoolerConfig
from pooler.prices import PricesError, PriceSettings
from pooler.report import TextReport, describe_run, write_json, write_line
from pooler.run import RunSummary, run
from pooler.shares.config import SharesSettings
from pooler.shares.store.database import WrongDatabaseError
from pooler.strategies.choice import StrategyNames
from pooler.strategies.model import StrategyError

#: What ends a pooler at its start, and is told in words.
_REFUSALS = (
    CertificateError,
    EngineUnavailableError,
    ListenError,
    PricesError,
    StrategyError,
    WrongDatabaseError,
)


def _lines(_type: object, text: str, *, delimiter: str | None = None) -> list[str]:  # noqa: ARG001
    """Split a variable that has a value in each line."""
    return text.splitlines()


Share = Annotated[float, Parameter(validator=validators.Number(gt=0, lt=1))]
Count = Annotated[int, Parameter(validator=validators.Number(gte=0))]
Seconds = Annotated[float, Parameter(validator=validators.Number(gte=0))]
Port = Annotated[int, Parameter(validator=validators.Number(gte=0, lte=65_535))]
Zeros = Annotated[int, Parameter(validator=validators.Number(gte=0, lte=64))]

_DEFAULTS = PoolerConfig()
_TARGETS = Targets()

app = cyclopts.App(
    name="pooler",
    help="Mines KALE for a pool's farmers: plants, mines, works and harvests block after block. "
    "Every option may also come from the environment: --blocks is POOLER_BLOCKS.",
    config=cyclopts.config.Env("POOLER_", command=False),
    version_flags=(),
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the command line or of POOLER_* variables.

    Parameters
    ----------
    public_key
        The pooler's own Stellar account (G...): it is registered under it, or found by it.
    pooler_id
        Id of a pooler that is registered already, instead of its public key.
    name
        Name to register the pooler by.
    farmers
        Farmers that it shall have at least; missing ones are registered.
    stake_percentage
        Stake of farmers that are registered now, a decimal from 0 to 1.
    blocks
        Blocks to farm; 0 means until it is stopped.
    engines
        Engines that mine: `python -m miner engines` lists them; the best that there are by default.
    threads
        Threads that mine on processors; 0 means one per processor. They give way to everything
        else.
    programs
        Command line of another miner to mine with, such as "kale-miner=/opt/miner --gpu"; may be
        given again. POOLER_PROGRAM has one in each line.
    stake
        How much is staked: full, agreed, none, or module:function of your own, as all strategies.
    zeros
        When a farmer has enough zeros: cap or endless.
    send
        When works are sent: late or share.
    works
        Works of a farmer in a block: once or second-work.
    harvests
        When blocks are harvested: each or grouped.
    gate
        Who takes part in a block: profitable or always.
    risk
        Part of the works with a stake that may be expected to come too late.
    reward_risk
        The same of works without a stake.
    harvest_group
        Blocks that are harvested together at most, if grouped.
    harvest_saving_stroops
        Stroops of XLM that each of them but the first costs less; 0, where wallet has no
        multicall contract: nothing waits.
    kale_price
        Price of one KALE, a decimal; with the price of one XLM it closes the profitability gate.
    xlm_price
        Price of one XLM in the same currency.
    prices_file
        File with both prices, {"kale": "0.0004", "xlm": "0.25"}, that something else keeps fresh.
    submit_share
        Part of a block after which works are sent, if the strategy is share.
    enough_zeros
        A farmer whose nonce has this many zeros is not mined for any more; once all have them, the
        nonces are submitted.
    shares_port
        Port on which miners get work and bring shares; SHARES_PORT is the same, and docs/mining.md
        has the other settings. 0: no work for miners.
    closing_seconds
        Seconds that somebody else has to open the block after the last one.
    registry_target
        Where registry listens.
    wallet_target
        Where wallet listens.
    plant_target
        Where plant listens.
    work_target
        Where work listens.
    harvest_target
        Where harvest listens.
    transport
        plaintext for a pool of this machine that asks nobody who it is.
    tls_cert_file
        Your certificate (PEM), of the pooler, or of an operator.
    tls_key_file
        Its private key (PEM).
    tls_ca_file
        Certificates of the authorities that the pool trusts (PEM).
    token_file
        File with an API token of the pooler, in place of a certificate and its key: the targets are
        then the services' TOKEN_PORTs.
    json
        Write one JSON object per event instead of text.
    """

    public_key: str = ""
    pooler_id: Annotated[UUID | None, Parameter(name="--id")] = None
    name: str = _DEFAULTS.name
    farmers: Count = _DEFAULTS.farmers
    stake_percentage: str = _DEFAULTS.stake_percentage
    blocks: Count = _DEFAULTS.blocks
    engines: tuple[str, ...] = _DEFAULTS.engines
    threads: Count = _DEFAULTS.threads
    programs: Annotated[tuple[str, ...], Parameter(name="--program", env_var_split=_lines)] = (
        _DEFAULTS.programs
    )
    stake: str = _DEFAULTS.strategies.stake
    zeros: str = _DEFAULTS.strategies.zeros
    send: str = _DEFAULTS.strategies.send
    works: str = _DEFAULTS.strategies.works
    harvests: str = _DEFAULTS.strategies.harvests
    gate: str = _DEFAULTS.strategies.gate
    risk: Share = _DEFAULTS.risk
    reward_risk: Share = _DEFAULTS.reward_risk
    harvest_group: Annotated[int, Parameter(validator=validators.Number(gte=1))] = (
        _DEFAULTS.harvest_group
    )
    harvest_saving_stroops: Count = _DEFAULTS.harvest_saving_stroops
    kale_price: str = ""
    xlm_price: str = ""
    prices_file: Path | None = None
    submit_share: Share = _DEFAULTS.submit_share
    enough_zeros: Zeros = _DEFAULTS.enough_zeros
    shares_port: Port = 0
    closing_seconds: Seconds = _DEFAULTS.closing_seconds
    registry_target: str = _TARGETS.registry
    wallet_target: str = _TARGETS.wallet
    plant_target: str = _TARGETS.plant
    work_target: str = _TARGETS.work
    harvest_target: str = _TARGETS.harvest
    transport: Literal["mtls", "plaintext"] = "mtls"
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    tls_ca_file: Path | None = None
    token_file: Path | None = None
    json: Annotated[bool, Parameter(negative="")] = False

    def config(self) -> PoolerConfig:
        """Return the pooler's settings: options of the same name, and the targets together.

        Raise CertificateError when there is no certificate to show.
        """
        names = {one.name for one in fields(PoolerConfig)} & {one.name for one in fields(self)}
        chosen = {name: getattr(self, name) for name in names}
        targets = {one.name: getattr(self, f"{one.name}_target") for one in fields(Targets)}
        kinds = {one.name: getattr(self, one.name) for one in fields(StrategyNames)}
        return PoolerConfig(
            targets=Targets(**targets),
            tls=self._tls(),
            token=self._token(),
            strategies=StrategyNames(**kinds),
            prices=PriceSettings(kale=self.kale_price, xlm=self.xlm_price, file=self.prices_file),
            shares=self._shares(),
            **chosen,
        )

    def _shares(self) -> SharesSettings | None:
        """Return the settings of the work for miners; None when there is none."""
        settings = read_settings(SharesSettings)
        if self.shares_port:
            settings = settings.model_copy(update={"shares_port": self.shares_port})
        return settings if settings.shares_port else None

    def _token(self) -> TokenFiles | None:
        if self.token_file is None:
            return None
        files = TokenFiles.both_of(self.token_file, self.tls_ca_file)
        files.read()
        return files

    def _tls(self) -> TlsFiles | None:
        if self.transport == "plaintext" or self.token_file is not None:
            return None
        given = self.tls_cert_file, self.tls_key_file, self.tls_ca_file
        return TlsFiles.all_of(*given, otherwise=TLS_OPTIONS)


@app.default
def main(options: Annotated[Options, Parameter(name="*")] = Options()) -> int:
    """Farm until the pooler is stopped, or for a number of blocks."""
    if not options.public_key and options.pooler_id is None:
        sys.stderr.write("pooler: give --public-key or --id\n")
        return 2
    try:
        return _serve(options.config(), as_json=options.json)
    except _REFUSALS as error:
        sys.stderr.write(f"pooler: {error}\n")
        return 2


def _serve(config: PoolerConfig, *, as_json: bool) -> int:
    """Run the pooler to its end; return the exit status.

    0: it reached the end. 130: it was stopped. 1: the pool refused it, or nobody knows what is
    still to be harvested.
    """
    loop = asyncio.run
    if config.shares is not None:  # what serves miners is a server like any other
        configure_logging(service="pooler", level="info", secrets=config.shares.secrets())
        raise_limit()
        loop = uvloop.run
    try:
        summary = loop(_stoppable(config, as_json=as_json))
    except PoolError as error:
        sys.stderr.write(f"pooler: {error.reason}: {error}\n")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    if as_json:
        write_json(summary)
    else:
        write_line(describe_run(summary))
    return 0 if summary.still_pending is not None else 1


async def _stoppable(config: PoolerConfig, *, as_json: bool) -> RunSummary:
    """Run the pooler; SIGTERM ends it as Ctrl-C does.

    What was accepted goes on in the pool; the search ends.
    """
    running = asyncio.current_task()
    if running is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    return await run(config, write_json if as_json else TextReport())
