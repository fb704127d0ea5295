"""The one exception a user is meant to read."""

_LONGEST = 60


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
