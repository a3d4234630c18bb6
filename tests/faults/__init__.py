"""The fault matrix: what goes wrong between agproxy and Google, for every protocol, streamed and whole.

``connection_faults``, ``body_faults`` and ``account_faults`` are the table, ``stage`` runs one row of it, ``outcome``
judges what each client got, ``left`` what must not be left behind. ``served`` has the faults that need a server of its
own. ``python -m tests.faults`` (``tools/faults``) prints the table; ``test_matrix`` and ``test_served`` assert it.
"""
