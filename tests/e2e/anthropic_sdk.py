"""The real anthropic SDK as the tests use it."""

import json
from typing import Any

import anthropic
from anthropic.types import Message

from tests.e2e.conftest import Agproxy

CLAUDE = "claude-sonnet-5-5"
ADAPTIVE: Any = {"type": "adaptive", "display": "summarized"}
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"], "default": "C"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


def client_of(agproxy: Agproxy, **options: Any) -> anthropic.Anthropic:
    """A client, to be used in a ``with``; without retries of its own unless asked for."""
    return anthropic.Anthropic(
        base_url=agproxy.url, **{"api_key": "unused", "max_retries": 0, "timeout": 30, **options}
    )


def user(content: Any) -> Any:
    """A message of the user."""
    return {"role": "user", "content": content}


def ask(agproxy: Agproxy, *, streamed: bool = False, max_retries: int = 0, **body: Any) -> Message:
    """The message of one request, whole or put together by the SDK; read without any leniency in either case."""
    body = {"model": CLAUDE, "max_tokens": 1000, "messages": [user("Hi")], **body}
    with client_of(agproxy, max_retries=max_retries) as client:
        if streamed:
            with client.messages.stream(**body) as stream:
                received = stream.get_final_message().to_json()
        else:
            received = client.messages.with_raw_response.create(**body).text()
    return Message.model_validate(json.loads(received), strict=True)


def said(message: Message) -> str:
    """The text of a message."""
    return "".join(block.text for block in message.content if block.type == "text")
