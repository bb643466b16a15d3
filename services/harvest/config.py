"""harvest's settings."""

from typing import Annotated, Literal

from pydantic import Field

from libs.batches.config import BatchSettings
from libs.common.config import Count, Port, Seconds


class HarvestSettings(BatchSettings):
    """Settings that harvest reads on top of those of every service with batches."""

    #: Port to listen on.
    port: Port = 50055
    #: Seconds between two sweeps of what is pending, where what has failed waits for 1, 2, 4 ... 32
    #: times as long; 0 leaves it to HarvestPending, which tries everything.
    harvest_sweep_seconds: Annotated[Seconds, Field(ge=0)] = 60.0
    #: Blocks that a pooler's oldest closed block has to be behind the running one when a sweep
    #: harvests all of its blocks: 1 for each block as soon as it is closed. With more, several
    #: blocks of a farmer share a transaction, where wallet has a multicall contract; choose more
    #: than the poolers' `--harvest-group`, so that poolers who group are not forestalled.
    harvest_sweep_blocks: Annotated[Count, Field(ge=1, le=100)] = 1
    #: Seconds that a sweep waits for one block before it goes on to the next one.
    harvest_patience_seconds: Annotated[Seconds, Field(gt=0)] = 60.0
    #: Seconds between two looks for what wallet has to tell the pool's ledger.
    bookkeeping_seconds: Annotated[Seconds, Field(gt=0)] = 5.0
    #: Hour (UTC) at which harvest looks every night whether the whole ledger adds up.
    ledger_check_hour: Annotated[Count, Field(ge=0, le=23)] = 3
    #: Seconds after midnight (UTC) at which a day is closed: what was booked until then belongs to
    #: it, and its statements and its root are made.
    closing_delay_seconds: Annotated[Seconds, Field(ge=0, lt=86_400)] = 60.0
    #: Seconds between two looks whether a day is to be closed, or its root to be published.
    closing_look_seconds: Annotated[Seconds, Field(gt=0)] = 30.0
    #: open: everybody who may call GetFarmerSummary sees the figures of every farmer, which are on
    #: the chain for all to read; closed: operators, and poolers for their own farmers.
    farmer_pages: Literal["open", "closed"] = "open"
