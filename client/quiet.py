"""Silence of gRPC's core, to be imported before gRPC is.

The core writes lines of its own to standard error, such as one for each handshake that fails. The
same comes as an exception. Who wants the lines sets GRPC_VERBOSITY.
"""

import os

os.environ.setdefault("GRPC_VERBOSITY", "NONE")
