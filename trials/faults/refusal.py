"""The error for things that a machine cannot do."""


class NotHereError(Exception):
    """This machine cannot break this thing; the message says what is missing."""
