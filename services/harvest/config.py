"""harvest's settings."""

from typing import Annotated

from pydantic import Field

from libs.common.config import Port, ServiceSettings


class HarvestSettings(ServiceSettings):
    """What harvest reads on top of what every service reads."""

    #: Port to listen on.
    port: Port = 50055
    #: Farmers of one call of wallet.
    max_batch_size: Annotated[int, Field(ge=1, le=1000)] = 50
    #: Calls of wallet at a time, per batch.
    parallel_limit: Annotated[int, Field(ge=1, le=100)] = 10
    #: Seconds between two looks for batches that a crash has left open.
    recovery_seconds: Annotated[float, Field(gt=0)] = 5.0
    #: Seconds between two sweeps of what is pending, where what has failed waits for 1, 2, 4 ... 32
    #: times as long; 0 leaves it to HarvestPending, which tries everything.
    harvest_sweep_seconds: Annotated[float, Field(ge=0)] = 60.0
    #: Seconds that a sweep waits for one block before it goes on to the next one.
    harvest_patience_seconds: Annotated[float, Field(gt=0)] = 60.0
