"""Keccak on GPUs: one OpenCL kernel that takes many farmers in a launch.

`scan.cl` is the kernel, `devices.py` finds what can run it, `engine.py` feeds it. pyopencl is
needed (`requirements/opencl.txt`), and the driver of the device.
"""
