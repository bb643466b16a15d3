"""The names of this machine for itself."""

#: No network lies between it and whoever uses one of these.
LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")
