"""The one exception of the local stack that a person is meant to read: what is wrong and what to do about it."""


class StackError(Exception):
    """Something outside our code stands in the way (a busy port, a missing program). Commands print just that."""
