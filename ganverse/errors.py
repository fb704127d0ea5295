"""The one exception a user is meant to read."""


class GanverseError(Exception):
    """Bad input or an impossible request, in one sentence: what was expected, what came, what to do.

    The command line prints the sentence without a traceback and exits with code 2.
    """


def brief(error: BaseException) -> str:
    """What another library complains about, in one line: the first two, where it wrote many."""
    return " ".join(line.strip() for line in str(error).strip().splitlines()[:2])
