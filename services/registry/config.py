"""registry's settings."""

from typing import Annotated

from pydantic import Field

from libs.common.config import Port, Seconds, ServiceSettings


class RegistrySettings(ServiceSettings):
    """Settings that registry reads on top of those of every service."""

    #: Port to listen on.
    port: Port = 50051
    #: Seconds between two looks for registrations that a crash has cut off, and the age from which
    #: one counts as cut off.
    recovery_seconds: Annotated[Seconds, Field(gt=0)] = 5.0
