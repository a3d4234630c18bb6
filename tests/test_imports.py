"""The pure modules touch no edge: no network, clock, random, environment, files, threads, configuration or log.

They import nothing of ours that is not pure too, so what holds for each of them holds for all that it reaches.
Imports within functions count.
"""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

import agproxy

PACKAGE = Path(agproxy.__file__).parent
PURE_MODULES = (
    "chat",
    "fold",
    "names",
    "conversations",
    "errors",
    "sse",
    "jsonwire",
    "retry",
    "auth",
    "routing",
    "models",
    "near_misses",
    "endpoints",
    "clients",
    "pages",
    "unfence",
)
PURE_PREFIXES = ("schema", "protocols", "upstreams")

# Prefixes: "urllib.request" does not forbid "urllib.parse".
FORBIDDEN_MODULES = (
    *("socket", "ssl", "http", "urllib.request", "urllib.error", "urllib.robotparser", "ftplib", "smtplib", "asyncio"),
    *("select", "selectors", "socketserver", "wsgiref", "xmlrpc", "telnetlib", "webbrowser"),
    *("threading", "_thread", "queue", "multiprocessing", "concurrent", "subprocess", "signal", "contextvars"),
    *("time", "sched", "zoneinfo", "random", "secrets", "uuid"),
    *("os", "pathlib", "shutil", "tempfile", "glob", "fileinput", "mmap", "platform", "getpass", "pwd"),
    *("logging", "warnings", "configparser", "argparse", "sqlite3", "dbm", "shelve", "pickle", "importlib", "sys"),
)
# datetime may be used to compute, not to ask what time it is; built-ins that reach out are calls, not imports.
FORBIDDEN_CALLS = ("now", "utcnow", "today", "open", "print", "input", "__import__", "exec", "eval")


def module_name(path: Path) -> str:
    parts = ("agproxy", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(part for part in parts if part != "__init__")


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def is_pure(module: str) -> bool:
    name = module.removeprefix("agproxy.")
    first = name.partition(".")[0]
    return name in PURE_MODULES or first in PURE_PREFIXES or first.startswith("schema_")


PURE = sorted(filter(is_pure, MODULES))


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_bytes())


@cache
def imports(module: str) -> frozenset[str]:
    """The full names that a module imports; a package that it imports from counts too."""
    found: set[str] = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import, line {node.lineno}"
            assert node.module is not None
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = names & MODULES.keys()
            found |= modules
            if node.module != "agproxy" or names - modules:
                found |= {node.module}
    return frozenset(found)


def is_forbidden(name: str) -> bool:
    return any(name == forbidden or name.startswith(f"{forbidden}.") for forbidden in FORBIDDEN_MODULES)


def test_there_is_something_to_check() -> None:
    assert {"agproxy.chat", "agproxy.sse", "agproxy.protocols.openai_chat", "agproxy.upstreams.gemini"} <= set(PURE)
    assert {f"agproxy.{name}" for name in PURE_MODULES} <= set(PURE)
    assert "agproxy.gateway" not in PURE
    assert "agproxy.sse" in imports("agproxy.protocols.openai_chat")
    assert "agproxy.transport" in imports("agproxy.gateway")


def test_package_itself_imports_nothing() -> None:
    assert imports("agproxy") == frozenset()  # it runs whichever module is imported


@pytest.mark.parametrize("module", PURE)
def test_pure_module_imports_no_edge_of_the_standard_library(module: str) -> None:
    assert [name for name in sorted(imports(module)) if is_forbidden(name)] == []


@pytest.mark.parametrize("module", PURE)
def test_pure_module_imports_nothing_of_ours_that_is_not_pure(module: str) -> None:
    ours = {name for name in imports(module) if name == "agproxy" or name.startswith("agproxy.")}
    assert sorted(name for name in ours if not is_pure(name)) == []


@pytest.mark.parametrize("module", PURE)
def test_pure_module_imports_nothing_that_has_to_be_installed(module: str) -> None:
    foreign = {name.partition(".")[0] for name in imports(module)} - {"agproxy"}
    assert sorted(foreign - sys.stdlib_module_names) == []


@pytest.mark.parametrize("module", PURE)
def test_pure_module_asks_neither_the_clock_nor_the_world(module: str) -> None:
    calls = [node.func for node in ast.walk(tree(module)) if isinstance(node, ast.Call)]
    names = {call.id if isinstance(call, ast.Name) else getattr(call, "attr", "") for call in calls}
    assert sorted(names & set(FORBIDDEN_CALLS)) == []


@pytest.mark.parametrize("module", PURE)
def test_pure_module_has_no_global_that_changes(module: str) -> None:
    assert [node.names for node in ast.walk(tree(module)) if isinstance(node, (ast.Global, ast.Nonlocal))] == []
