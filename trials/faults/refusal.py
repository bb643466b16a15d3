"""What a machine cannot do."""


class NotHereError(Exception):
    """This machine cannot break this; the message says what is missing."""
