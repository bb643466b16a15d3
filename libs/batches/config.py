"""The settings that plant, work and harvest have in common."""

from typing import Annotated

from pydantic import Field

from libs.common.config import Count, Seconds, ServiceSettings


class BatchSettings(ServiceSettings):
    """The settings of a service with batches, on top of those of every service."""

    #: Farmers of one call of wallet.
    max_batch_size: Annotated[Count, Field(ge=1, le=1000)] = 50
    #: Calls of wallet at a time, per batch.
    parallel_limit: Annotated[Count, Field(ge=1, le=100)] = 10
    #: Seconds between two looks for batches that a crash has left open.
    recovery_seconds: Annotated[Seconds, Field(gt=0)] = 5.0
