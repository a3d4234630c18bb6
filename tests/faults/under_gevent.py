"""The fault matrix where threads are greenlets, as in gunicorn's worker: ``python -m tests.faults.under_gevent``."""

import sys

from gevent import monkey

monkey.patch_all()  # before anything else is imported

from tests.faults.__main__ import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
