"""Where agproxy's log goes when it runs on its own: standard error, one line a message."""

import logging


def configure(level: str) -> None:
    """Send the log of ``agproxy`` to standard error; an application that embeds agproxy does this its own way.

    :param level: ``debug``, ``info``, ``warning`` or ``error``.
    """
    logger = logging.getLogger("agproxy")
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
        logger.propagate = False
    logger.setLevel(level.upper())
    # What no format of ours shows need not be found out for each line, which costs most of it
    # (https://docs.python.org/3/howto/logging.html#optimization). gunicorn's own lines name the process.
    logging._srcfile = None
    logging.logThreads = logging.logMultiprocessing = False


class _Formatter(logging.Formatter):
    """One line a message, whatever stands in it: nobody outside can write a line of their own into the log."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        line = super().formatMessage(record)
        if line.isprintable():
            return line
        return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)
