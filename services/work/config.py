"""work's settings."""

from libs.batches.config import BatchSettings
from libs.common.config import Milliseconds, Port


class WorkSettings(BatchSettings):
    """What work reads on top of what every service with batches reads."""

    #: Port to listen on.
    port: Port = 50054
    #: Milliseconds that the check of one nonce may take.
    nonce_validation_timeout: Milliseconds = 5_000
