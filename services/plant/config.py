"""plant's settings."""

from libs.batches.config import BatchSettings
from libs.common.config import Port


class PlantSettings(BatchSettings):
    """What plant reads on top of what every service with batches reads."""

    #: Port to listen on.
    port: Port = 50053
