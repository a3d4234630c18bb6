"""One conversation, as data, that every protocol holds with agproxy: the same contents must reach Gemini from each, and
the same answers must come back.

``table`` is the conversation, ``turn`` the words it is written in. A ``Speaker`` (``speakers``) is a client of one
protocol; ``openai_chat`` has those of Chat Completions, ``openai_responses`` those of Responses. ``play`` lets a
speaker hold the conversation and holds each turn against the table; ``wire`` carries its bytes to a server,
``without_server`` to the pure modules alone.

How the next protocol joins: one class that is a ``Speaker``, and one line in ``speakers.SPEAKERS``; see there.
"""
