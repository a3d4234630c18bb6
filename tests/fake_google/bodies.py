"""Bodies of requests, short to write, and of answers, short to read, for tests."""

import json
from typing import Any

Json = dict[str, Any]
FLASH_25, PRO_25, LITE_25 = "gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.5-flash-lite"
FLASH_3, PRO_31, FLASH_36 = "gemini-3-flash-preview", "gemini-3.1-pro-preview", "gemini-3.6-flash"
ALIAS = "gemini-pro-latest"
IMAGE_25, IMAGE_3, PRO_IMAGE_3 = "gemini-2.5-flash-image", "gemini-3.1-flash-image", "gemini-3-pro-image"
ARGON, HYDROGEN = "gemini-4-argon", "gemini-4-hydrogen"
GEMMA = "gemma-3-27b-it"
EMBEDDING_1, EMBEDDING_2 = "gemini-embedding-001", "gemini-embedding-2"


def user(*parts: Json | str) -> Json:
    """A user content of parts, or of texts."""
    return {"role": "user", "parts": [{"text": part} if isinstance(part, str) else part for part in parts]}


def model(*parts: Json | str) -> Json:
    """A model content of parts, or of texts."""
    return {**user(*parts), "role": "model"}


def call(name: str = "f", signature: str | None = None, **fields: Any) -> Json:
    """A functionCall part."""
    part: Json = {"functionCall": {"name": name, "args": {}, **fields}}
    return {**part, "thoughtSignature": signature} if signature else part


def result(name: str = "f", response: Any = None, **fields: Any) -> Json:
    """A functionResponse part."""
    return {"functionResponse": {"name": name, "response": response or {"output": "ok"}, **fields}}


def ask(**fields: Any) -> Json:
    """A request of one user text and these fields."""
    return {"contents": [user("hi")], **fields}


def part(value: Json) -> Json:
    """A request of this one part."""
    return {"contents": [user(value)]}


def talk(*contents: Json) -> Json:
    """A request of these contents."""
    return {"contents": list(contents)}


def config(**fields: Any) -> Json:
    """A request with this generationConfig."""
    return ask(generationConfig=fields)


def thinking(**fields: Any) -> Json:
    """A request with this thinkingConfig."""
    return config(thinkingConfig=fields)


def tool(**fields: Any) -> Json:
    """A request that declares one function ``f``."""
    return ask(tools=[{"functionDeclarations": [{"name": "f", "description": "d", **fields}]}])


def schema(**properties: Any) -> Json:
    """A request whose function has ``parameters`` of these properties."""
    return tool(parameters={"type": "OBJECT", "properties": properties})


def json_schema(**fields: Any) -> Json:
    """A request whose function has ``parametersJsonSchema`` of these keywords."""
    return tool(parametersJsonSchema={"type": "object", **fields})


def mode(tools: list[Json] | None = None, **fields: Any) -> Json:
    """A request with this functionCallingConfig."""
    declared = [{"functionDeclarations": [{"name": "f", "description": "d"}]}] if tools is None else tools
    return ask(tools=declared, toolConfig={"functionCallingConfig": fields})


def to_embed(text: str = "hi", name: str | None = EMBEDDING_1, **fields: Any) -> Json:
    """A request to embed this text; the name is left out if None."""
    return {**({"model": f"models/{name}"} if name else {}), "content": {"parts": [{"text": text}]}, **fields}


def events(body: bytes) -> list[Json]:
    """The events of a server-sent stream that is whole."""
    return [json.loads(line.removeprefix(b"data: ")) for line in body.splitlines() if line]


def parts_of(event: Json) -> list[Json]:
    """The parts of a GenerateContentResponse."""
    return list(event["candidates"][0]["content"].get("parts", []))
