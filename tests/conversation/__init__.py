"""One conversation, as data, that every protocol holds with agproxy: the same contents must reach Gemini from each, and
the same answers must come back.

``table`` is the conversation, ``turn`` the words it is written in. A ``Speaker`` (``speakers``) is a client of one
protocol; each protocol has a module with its own (``openai_chat``, ``anthropic_messages``, ``gemini``, ...). ``play``
lets a speaker hold the conversation and holds each turn against the table; ``talk`` lets it say something else;
``wire`` carries its bytes to a server, ``without_server`` to the pure modules alone.

How the next protocol joins: one class that is a ``Speaker``, and one line in ``speakers.SPEAKERS``; see there.
"""
