"""What can go wrong with the sandbox, in words for the person in front of it."""


class SandboxError(Exception):
    """The sandbox cannot run as asked; the message names the cause and the remedy."""


class NotReadyError(SandboxError):
    """A server did not answer within its time, or ended before it did."""
