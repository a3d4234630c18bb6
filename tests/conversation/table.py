"""The conversation, turn by turn: a cook asks about crème brûlée.

Its texts hold what breaks careless gateways: letters of several bytes, cut in the middle on the wire; line separators
that are no line ends of SSE (U+2028, U+0085); ``<``, ``>`` and ``&``, which Google escapes; quotes and backslashes.
"""

import json
from collections.abc import Mapping

from tests.conversation.turn import Call, Effort, Family, File, Heard, JsonObject, Result, Text, Tokens, Tool, Turn
from tests.fake_google import Answer, Usage, calls, text, thoughts

MODELS: Mapping[str, Family] = {
    "gemini-flash-latest": "3",
    "gemini-2.5-flash": "2.5",
    "gemini-3-flash-preview": "3",
}

# Holds for every turn: what the client sets, and what Gemini receives.

SYSTEM = "You help a pâtissier. Answer in a few words, with metric units & °C."
SYSTEM_INSTRUCTION: JsonObject = {"parts": [{"text": SYSTEM}]}

MAX_TOKENS = 20000
GENERATION_CONFIG: JsonObject = {"maxOutputTokens": MAX_TOKENS}

THINKING_CONFIG: Mapping[Effort, Mapping[Family, JsonObject]] = {
    "low": {
        "2.5": {"thinkingBudget": 1024, "includeThoughts": True},
        "3": {"thinkingLevel": "low", "includeThoughts": True},
    },
    "medium": {
        "2.5": {"thinkingBudget": 8192, "includeThoughts": True},
        "3": {"thinkingLevel": "medium", "includeThoughts": True},
    },
}

# For a protocol that knows no thinking: the least that each of ``MODELS`` can do. An alias may stand for a model that
# does not know "minimal".
LEAST_THINKING: Mapping[str, JsonObject] = {
    "gemini-flash-latest": {"thinkingLevel": "low"},
    "gemini-2.5-flash": {"thinkingBudget": 0},
    "gemini-3-flash-preview": {"thinkingLevel": "minimal"},
}

PRICE_PARAMETERS: JsonObject = {
    "type": "object",
    "properties": {"item": {"type": "string", "description": "What to buy."}},
    "required": ["item"],
    "additionalProperties": False,
}
OVEN_PARAMETERS: JsonObject = {
    "type": "object",
    "properties": {
        "mode": {"type": "string", "enum": ["fan", "grill"]},
        "steps": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"celsius": {"type": "integer"}, "minutes": {"type": "number"}},
                "required": ["celsius"],
            },
        },
    },
    "required": ["mode"],
}
TOOLS = (
    Tool("get_price", "The price of one kilogram.", PRICE_PARAMETERS),
    Tool("set_oven", "Program the oven.", OVEN_PARAMETERS),
)
TOOLS_OF_GEMINI: list[JsonObject] = [
    {
        "functionDeclarations": [
            {
                "name": "get_price",
                "description": "The price of one kilogram.",
                "parametersJsonSchema": PRICE_PARAMETERS,
            },
            {
                "name": "set_oven",
                "description": "Program the oven.",
                "parametersJsonSchema": OVEN_PARAMETERS,
            },
        ]
    }
]

RECIPE_SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "dish": {"type": "string"},
        "minutes": {"type": "integer"},
        "ingredients": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "grams": {"type": "number"}},
                "required": ["name", "grams"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["dish", "minutes", "ingredients"],
    "additionalProperties": False,
}
RECIPE = {
    "dish": "Crème brûlée 🍮",
    "minutes": 50,
    "ingredients": [{"name": "cream", "grams": 400}, {"name": 'sugar, "fine"', "grams": 62.5}],
}
RECIPE_TEXT = json.dumps(RECIPE, ensure_ascii=False)

# One pixel, and the least that counts as a PDF.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQKJSVFT0YK"

# The first two are equal but for their ids, and stay two.
SUGAR = Call("get_price", {"item": "sugar 🍬"}, id="price-1")
SUGAR_AGAIN = Call("get_price", {"item": "sugar 🍬"}, id="price-2")
OVEN = Call("set_oven", {"mode": "fan", "steps": [{"celsius": 110, "minutes": 45.5}, {"celsius": 90}]}, id="oven-1")
OVEN_AGAIN = Call("set_oven", {"mode": "grill"}, id="oven-2")


def calling(*wanted: Call, usage: Usage) -> Answer:
    """Calls as Gemini 3 streams them: one event each, the first signed, and an empty text at the end."""
    return calls(*((call.name, call.arguments) for call in wanted), split=True, tail=True, usage=usage)


def user(*parts: JsonObject) -> JsonObject:
    """One content of the user."""
    return {"role": "user", "parts": list(parts)}


TURNS = (
    Turn(
        name="greeting",
        says=(Text('Was heißt "crème brûlée" auf Japanisch?\n<1 Wort> 🍮'),),
        contents=(user({"text": 'Was heißt "crème brûlée" auf Japanisch?\n<1 Wort> 🍮'}),),
        answer=text(
            "クレーム", "・ブリュ", "レ\u2028\u0085 <&> \\o/ 🍮", usage=Usage(prompt=25, candidates=9)
        ).delivered(split_writes=3),
        heard=Heard(text="クレーム・ブリュレ\u2028\u0085 <&> \\o/ 🍮", usage=Tokens(input=25, output=9)),
        remembered=({"text": "クレーム・ブリュレ\u2028\u0085 <&> \\o/ 🍮"},),
    ),
    Turn(
        name="thinking",
        says=(Text("How long does it bake?"),),
        contents=(user({"text": "How long does it bake?"}),),
        thinking="medium",
        answer=thoughts("**Custard**\n\nIt sets at 80 °C. ", "Low heat, then.\n")
        + text("About ", "50 minutes", " at 110 °C.", sign=True, usage=Usage(60, 14, thoughts=40, cached=20)),
        heard=Heard(
            reasoning="**Custard**\n\nIt sets at 80 °C. Low heat, then.\n",
            text="About 50 minutes at 110 °C.",
            usage=Tokens(input=60, output=54, cached=20, reasoning=40),
        ),
        remembered=({"text": "About 50 minutes at 110 °C.", "thoughtSignature": "signature of thinking"},),
    ),
    Turn(
        name="parallel calls",
        says=(Text("Heat the oven, and ask two shops for the price of sugar."),),
        contents=(user({"text": "Heat the oven, and ask two shops for the price of sugar."}),),
        tools=TOOLS,
        thinking="low",
        answer=thoughts("Two shops: the same call twice.")
        + text("Let me ", "see. ")
        + calling(SUGAR, SUGAR_AGAIN, OVEN, usage=Usage(prompt=140, candidates=45, thoughts=12)),
        heard=Heard(
            reasoning="Two shops: the same call twice.",
            text="Let me see. ",
            calls=(SUGAR, SUGAR_AGAIN, OVEN),
            finish="tool_calls",
            usage=Tokens(input=140, output=57, reasoning=12),
        ),
        remembered=(
            {"text": "Let me see. "},
            {
                "functionCall": {"id": "price-1", "name": "get_price", "args": {"item": "sugar 🍬"}},
                "thoughtSignature": "signature of price-1",
            },
            {"functionCall": {"id": "price-2", "name": "get_price", "args": {"item": "sugar 🍬"}}},
            {
                "functionCall": {
                    "id": "oven-1",
                    "name": "set_oven",
                    "args": {"mode": "fan", "steps": [{"celsius": 110, "minutes": 45.5}, {"celsius": 90}]},
                }
            },
        ),
    ),
    Turn(
        name="results, one of them an error",
        # In the order in which the tools were done; Gemini gets them in the order of the calls.
        says=(
            Result(OVEN, "The oven knows no step at 90 °C.", is_error=True),
            Result(SUGAR_AGAIN, "1.30 €"),
            Result(SUGAR, '{"€": 1.2}'),
        ),
        contents=(
            user(
                {"functionResponse": {"id": "price-1", "name": "get_price", "response": {"output": '{"€": 1.2}'}}},
                {"functionResponse": {"id": "price-2", "name": "get_price", "response": {"output": "1.30 €"}}},
                {
                    "functionResponse": {
                        "id": "oven-1",
                        "name": "set_oven",
                        "response": {"error": "The oven knows no step at 90 °C."},
                    }
                },
            ),
        ),
        tools=TOOLS,
        thinking="low",
        answer=thoughts("The grill", " will do.") + calling(OVEN_AGAIN, usage=Usage(210, 15, thoughts=6, cached=100)),
        heard=Heard(
            reasoning="The grill will do.",
            calls=(OVEN_AGAIN,),
            finish="tool_calls",
            usage=Tokens(input=210, output=21, cached=100, reasoning=6),
        ),
        remembered=(
            {
                "functionCall": {"id": "oven-2", "name": "set_oven", "args": {"mode": "grill"}},
                "thoughtSignature": "signature of oven-2",
            },
        ),
    ),
    Turn(
        name="end of the tool loop",
        says=(Result(OVEN_AGAIN, "done"),),
        contents=(user({"functionResponse": {"id": "oven-2", "name": "set_oven", "response": {"output": "done"}}}),),
        tools=TOOLS,
        thinking="low",
        answer=text("The grill is on; ", "sugar: 1.20 €.", usage=Usage(prompt=240, candidates=11)),
        heard=Heard(text="The grill is on; sugar: 1.20 €.", usage=Tokens(input=240, output=11)),
        remembered=({"text": "The grill is on; sugar: 1.20 €."},),
    ),
    Turn(
        name="image and document",
        says=(
            Text("Is it brown enough?"),
            File("image/png", PNG, "brûlée.png"),
            Text("It should look as in my book:"),
            File("application/pdf", PDF, "book.pdf"),
        ),
        contents=(
            user(
                {"text": "Is it brown enough?"},
                {"inlineData": {"mimeType": "image/png", "data": PNG}},
                {"text": "It should look as in my book:"},
                {"inlineData": {"mimeType": "application/pdf", "data": PDF}},
            ),
        ),
        tools=TOOLS,
        answer=text("One more minute.", usage=Usage(prompt=800, candidates=4, cached=200)),
        heard=Heard(text="One more minute.", usage=Tokens(input=800, output=4, cached=200)),
        remembered=({"text": "One more minute."},),
    ),
    Turn(
        name="answer by schema",
        says=(Text("Write the recipe down."),),
        contents=(user({"text": "Write the recipe down."}),),
        schema=RECIPE_SCHEMA,
        answer=text(RECIPE_TEXT[:12], RECIPE_TEXT[12:60], RECIPE_TEXT[60:], usage=Usage(prompt=820, candidates=48)),
        heard=Heard(text=RECIPE_TEXT, json=RECIPE, usage=Tokens(input=820, output=48)),
        remembered=({"text": RECIPE_TEXT},),
    ),
    Turn(
        name="follow-up, cut short",
        says=(Text("And what did you say about the oven?"),),
        contents=(user({"text": "And what did you say about the oven?"}),),
        tools=TOOLS,
        answer=text("50 minutes", " at", finish="MAX_TOKENS", usage=Usage(prompt=880, candidates=5, cached=600)),
        heard=Heard(text="50 minutes at", finish="length", usage=Tokens(input=880, output=5, cached=600)),
        remembered=({"text": "50 minutes at"},),
    ),
)
