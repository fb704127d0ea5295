"""The exception for user errors."""

from collections.abc import Mapping

_LONGEST = 60
_HIGHEST = 1e15


class GanverseError(Exception):
    """Bad input or an impossible request, in one sentence: what was expected, what was found, what to do.

    The command line prints the sentence without a traceback and exits with status 2.
    """


def brief(error: object) -> str:
    """The message of another library's error in one line of at most 200 characters."""
    line = " ".join(line.strip() for line in str(error).strip().splitlines()[:2])
    return line if len(line) <= 200 else line[:199] + "…"


def quoted(value: object) -> str:
    """A value as error messages quote it: its repr, shortened."""
    try:
        text = repr(value[:_LONGEST] if isinstance(value, (str, bytes)) else value)
    except ValueError:  # an integer with more digits than Python prints
        text = "a very long number"
    shortened = isinstance(value, (str, bytes)) and len(value) > _LONGEST
    return text if len(text) <= 2 * _LONGEST and not shortened else text[:_LONGEST] + "…"


def check_ranges(settings: object, **ranges: tuple[float, float]) -> None:
    """Checks that every number of a dataclass or mapping lies in its range, ends included.

    ranges: (lowest, highest) by name; all other numbers must be at least 0.

    Raises:
        GanverseError: names the first value out of range; nan and infinity always are.
    """
    for name, value in (settings if isinstance(settings, Mapping) else vars(settings)).items():
        low, high = ranges.get(name, (0, _HIGHEST))
        if isinstance(value, (int, float)) and not low <= value <= high:
            limits = f"at least {low:g}" if high == _HIGHEST else f"from {low:g} to {high:g}"
            raise GanverseError(f"expected {name} to be {limits}, got {quoted(value)}; correct it")


AT_LEAST_1 = (1, _HIGHEST)
POSITIVE = (1e-12, _HIGHEST)
SHARE = (0, 1)
FROM_1, FROM_2 = (1, 1e5), (2, 1e5)
"""Ranges for numbers of things that are in memory at the same time."""
