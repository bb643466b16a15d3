"""Settings of a localnet: from the command line, then LOCALNET_* variables, then these defaults."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from localnet.network import STANDALONE_PASSPHRASE
from localnet.soroban.uploads import FARM_CODE_BYTES


class LocalnetSettings(BaseSettings):
    """One localnet; `python -m localnet --help` shows the same list."""

    model_config = SettingsConfigDict(
        env_prefix="LOCALNET_",
        frozen=True,
        cli_parse_args=False,
        cli_kebab_case=True,
        cli_prog_name="python -m localnet",
        use_attribute_docstrings=True,
        env_ignore_empty=True,
    )

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    """Port of JSON-RPC, friendbot and faucet; 0 lets the system choose."""
    passphrase: str = STANDALONE_PASSPHRASE
    """Network passphrase; every id follows from it."""
    ledger_seconds: Annotated[float, Field(gt=0, le=3600)] = 5.0
    """Seconds between two ledgers."""
    block_seconds: Annotated[int, Field(ge=1, le=86_400)] = 300
    """The farm's interval: a block may be followed by the next after so many seconds."""
    idle_seconds: Annotated[float, Field(gt=0, le=3600)] = 5.0
    """Seconds after which a connection is closed on which nothing is asked, as stellar-rpc does."""
    nodes: Annotated[int, Field(ge=1, le=16)] = 1
    """Nodes of the same chain: the first at /, the others at /node/1, /node/2 and so on."""
    state_dir: Path | None = None
    """Keep the chain in this folder and go on from it; without it the chain is in memory only."""
    retention_ledgers: Annotated[int, Field(ge=1)] = 17_280
    """Ledgers whose transactions can be asked for."""
    farm_code_bytes: Annotated[int, Field(ge=0)] = FARM_CODE_BYTES
    """Bytes of code for which the farm's code pays rent: those of the real farm."""
    simulation_clock: Literal["ledger", "wall"] = "ledger"
    """What a simulation takes for the time: the last close time (RPC 27.1) or now (RPC 24.0)."""
    lookup_order: Literal["transaction-first", "range-first"] = "transaction-first"
    """What getTransaction reads first: the transaction (RPC 25.1) or the range (RPC 24.0)."""
    network_settings: dict[str, int] = {}
    """Limits and fees to change: {"contract_ledger_cost_v0.ledger_max_write_bytes": 143360}."""
