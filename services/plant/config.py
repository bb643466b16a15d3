"""plant's settings."""

from libs.batches.config import BatchSettings
from libs.common.config import Port


class PlantSettings(BatchSettings):
    """Settings that plant reads on top of those of every service with batches."""

    #: Port to listen on.
    port: Port = 50053
