"""The error of a command line that the command itself refuses."""


class CommandLineError(Exception):
    """The command line cannot be carried out as it stands; the message is for people."""
