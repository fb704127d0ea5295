"""The one exception a user is meant to read."""

from collections.abc import Mapping

_LONGEST = 60
_HIGHEST = 1e15


class GanverseError(Exception):
    """Bad input or an impossible request, in one sentence: what was expected, what came, what to do.

    The command line prints the sentence without a traceback and exits with code 2.
    """


def brief(error: object) -> str:
    """What another library complains about, in one line: the first two of many, at most 200 characters."""
    line = " ".join(line.strip() for line in str(error).strip().splitlines()[:2])
    return line if len(line) <= 200 else line[:199] + "…"


def quoted(value: object) -> str:
    """What came instead, as an error message quotes it: its repr, shortened."""
    try:
        text = repr(value[:_LONGEST] if isinstance(value, (str, bytes)) else value)
    except ValueError:  # an integer with more digits than Python prints
        text = "a very long number"
    shortened = isinstance(value, (str, bytes)) and len(value) > _LONGEST
    return text if len(text) <= 2 * _LONGEST and not shortened else text[:_LONGEST] + "…"


def check_ranges(settings: object, **ranges: tuple[float, float]) -> None:
    """Every number of a dataclass, or of a mapping, lies in its range, both ends included.

    ranges: lowest and highest value by name; all other numbers are 0 or more.

    Raises:
        GanverseError: names the first that does not, nan and infinity among them.
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
"""Of what is made at once and held in memory."""
