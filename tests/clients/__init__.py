"""Real client programs, headless, against agproxy under gunicorn in front of the strict fake Google.

``python -m tests.clients.codex`` runs one client's checks and prints a line for each; pytest runs the same ones
(``test_codex``, marked slow). A client's module says what it asks and what must come of it; ``stage`` is what it runs
against, ``program`` runs it, ``npm`` installs it, ``checks`` runs and prints.
"""
