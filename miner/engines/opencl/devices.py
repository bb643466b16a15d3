"""The devices that OpenCL finds on this machine."""

from collections.abc import Sequence

import pyopencl as cl

from miner.model import EngineUnavailableError


def devices(*, processors: bool) -> Sequence[cl.Device]:
    """Return the GPUs and accelerators; or the processors that OpenCL runs on.

    Raise EngineUnavailableError when there are none.
    """
    found = [
        device
        for platform in _platforms()
        for device in platform.get_devices()
        if bool(device.type & cl.device_type.CPU) == processors and device.available
    ]
    if not found:
        kind = "processor" if processors else "GPU"
        raise EngineUnavailableError(
            f"opencl: no {kind} with an OpenCL driver; a GPU's driver brings it, "
            "for processors there is pocl-binary-distribution"
        )
    return found


def _platforms() -> Sequence[cl.Platform]:
    try:
        return list(cl.get_platforms())
    except cl.Error as error:
        # Without any driver the loader answers by an error.
        raise EngineUnavailableError(f"opencl: no driver: {error}") from error
