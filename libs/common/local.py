"""The names of this machine for itself."""

#: No network lies between this machine and a caller that uses one of these names.
LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")
