"""work's settings."""

from libs.batches.config import BatchSettings
from libs.common.config import Milliseconds, Port


class WorkSettings(BatchSettings):
    """Settings that work reads on top of those of every service with batches."""

    #: Port to listen on.
    port: Port = 50054
    #: Milliseconds that the check of one nonce may take.
    nonce_validation_timeout: Milliseconds = 5_000
