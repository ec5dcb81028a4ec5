"""Errors meant for a person, each with the exit code of the command line."""


class AdmmError(Exception):
    """An error whose message says what was got, what was expected and what to do."""

    exit_code = 1


class InputError(AdmmError):
    """Bad data or options."""

    exit_code = 2


class DivergedError(AdmmError):
    """Training left the finite numbers."""

    exit_code = 3
