"""A client of Responses, in front of the whole application."""

from typing import Any

from werkzeug.test import TestResponse

from tests.responses_stream import Told, checked, read
from tests.whole_app import WholeApp

Json = Any
FLASH = "gemini-3-flash-preview"
LOOK: Json = {
    "type": "function",
    "name": "look",
    "description": "Looks.",
    "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
    "strict": False,
}
PATCH: Json = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Applies a patch. This is a FREEFORM tool, so do not wrap the patch in JSON.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: begin_patch hunk+ end_patch"},
}


class ResponsesApp(WholeApp):
    """A client of Responses, and the agproxy that it talks to."""

    def post(self, *, buffered: bool = True, path: str = "/v1/responses", **body: Json) -> TestResponse:
        return self._client.post(
            path,
            json={"model": FLASH, "input": "Hi", **body},
            base_url="http://127.0.0.1:8045",
            environ_overrides={"REMOTE_ADDR": "127.0.0.1"},
            buffered=buffered,
        )

    def get(self, path: str) -> TestResponse:
        """The answer to a GET."""
        return self._client.get(path, base_url="http://127.0.0.1:8045", environ_overrides={"REMOTE_ADDR": "127.0.0.1"})

    def told(self, **body: Json) -> Told:
        """A stream, strictly read."""
        response = self.post(**{**body, "stream": True})
        assert response.status_code == 200, response.text
        return read(response.data)

    def answer(self, *, stream: bool, **body: Json) -> Json:
        """The response of a whole or a streamed answer, which a client cannot tell."""
        if stream:
            return self.told(**body).response
        response = self.post(**body)
        assert response.status_code == 200, response.text
        assert response.json is not None
        return {name: value for name, value in checked(response.json).items() if name != "choices"}
