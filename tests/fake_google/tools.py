"""The rules of ``tools`` and ``toolConfig``.

Sources: content.proto (Tool, FunctionDeclaration, FunctionCallingConfig);
ai.google.dev/gemini-api/docs/function-calling and /tool-combination; the words as seen in kaitranntt/ccs issue 25,
musistudio/claude-code-router pull 1207, cloudwego/eino-ext issue 761, symfony/ai issue 803,
owndev/Open-WebUI-Functions issue 135, BerriAI/litellm issue 10313 (functions of Gemma; the words about its search are
ours).
"""

import re

from tests.fake_google.families import Family
from tests.fake_google.json_schema import check_json_schema, check_parameters
from tests.fake_google.proto_schema import check_schema
from tests.fake_google.refusal import FieldErrors, JsonObject, Refusal

DECLARED_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")
_BAD_NAME = (
    "Invalid function name. Must start with a letter or an underscore. Must be alphameric (a-z, A-Z, 0-9), "
    "underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 64."
)
BUILT_IN = ("google_search", "code_execution", "url_context", "file_search", "google_maps", "computer_use")


def check_tools(request: JsonObject, family: Family, *, native: bool = False) -> None:
    """Refuse what Google would refuse in ``tools`` and ``toolConfig``."""
    tools = request.get("tools", [])
    errors = FieldErrors()
    for index, tool in enumerate(tools):
        path = f"tools[{index}]"
        if not tool or (list(tool) == ["function_declarations"] and not tool["function_declarations"]):
            errors.add(f"{path}.tool_type", "required one_of 'tool_type' must have one initialized field")
        if "google_search_retrieval" in tool:
            raise Refusal("google_search_retrieval is not supported. Please use google_search field instead.")
        for number, declared in enumerate(tool.get("function_declarations", ())):
            _check_declaration(declared, f"{path}.function_declarations[{number}]", errors, native)
    errors.refuse_if_any()
    names = [declared["name"] for tool in tools for declared in tool.get("function_declarations", ())]
    for name in names:
        if names.count(name) > 1:
            raise Refusal(f"Duplicate function declaration found: {name}")
    built_in = [name for tool in tools for name in BUILT_IN if name in tool]
    if family.is_gemma and names:
        raise Refusal(f"Function calling is not enabled for models/{family.model}")
    if family.is_gemma and built_in:
        raise Refusal("Search as tool is not enabled for this model", why=family.model)
    tool_config = request.get("tool_config", {})
    if names and built_in:
        _check_combination(tool_config, family, built_in)
    if "function_calling_config" in tool_config:
        _check_calling(tool_config["function_calling_config"], names)


def _check_declaration(declared: JsonObject, path: str, errors: FieldErrors, native: bool) -> None:
    if not DECLARED_NAME.fullmatch(declared.get("name", "")):
        errors.add(f"{path}.name", _BAD_NAME)
        declared.setdefault("name", "")
    if not native and not declared.get("description", "").strip():
        errors.add(f"{path}.description", "required field is not set.")
    for plain, as_json in (("parameters", "parameters_json_schema"), ("response", "response_json_schema")):
        if plain in declared and as_json in declared:
            errors.add(path, f"only one of {plain} and {as_json} can be set.")
    if "parameters" in declared:
        if declared["parameters"].get("type") != "OBJECT":
            errors.add(f"{path}.parameters", "parameters schema should be of type OBJECT")
        check_schema(declared["parameters"], f"{path}.parameters", errors, native=native)
    if "response" in declared:
        check_schema(declared["response"], f"{path}.response", errors, native=native)
    if "parameters_json_schema" in declared:
        check_parameters(declared["parameters_json_schema"], f"{path}.parameters_json_schema", errors, native=native)
    if "response_json_schema" in declared:
        check_json_schema(declared["response_json_schema"], f"{path}.response_json_schema", errors, native=native)
    if "behavior" in declared:
        errors.add(f"{path}.behavior", "only supported by the BidiGenerateContent method.")


def _check_combination(tool_config: JsonObject, family: Family, built_in: list[str]) -> None:
    if not family.is_3_or_newer:
        raise Refusal("Tool use with function calling is unsupported", why=f"functions with {built_in}")
    if not tool_config.get("include_server_side_tool_invocations"):
        raise Refusal(
            "Please enable tool_config.include_server_side_tool_invocations to use Built-in tools with Function "
            "calling.",
            why=f"functions with {built_in}",
        )


def _check_calling(config: JsonObject, names: list[str]) -> None:
    if not names:
        raise Refusal("Function calling config is set without function_declarations.")
    allowed = config.get("allowed_function_names", [])
    if allowed and config.get("mode") not in ("ANY", "VALIDATED"):
        raise Refusal(
            "Function calling config: allowed_function_names can only be set when the mode is ANY or VALIDATED.",
            why=f"mode {config.get('mode')}",
        )
    for name in allowed:
        if name not in names:
            raise Refusal(
                f"Function calling config: allowed_function_names contains '{name}', which is not declared.",
                why=f"declared are {names}",
            )
