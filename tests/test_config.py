"""Finding and loading the configuration."""

import os
import re
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

import agproxy
from agproxy import options
from agproxy.config import Account, Config, Log, Safety, Scheduling, Server, Store, Upstream, find, load, user_path
from agproxy.errors import ConfigError

KEY = "AIza" + "k" * 35
REFERENCE = Path(agproxy.__file__).with_name("agproxy.ini")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "agproxy.ini"


def loaded(file: Path, text: str, environ: dict[str, str] | None = None) -> Config:
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return load(file, environ or {})


def refusal(file: Path, text: str, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(file, text, environ)
    return str(caught.value)


class TestFind:
    def test_nothing_there(self, tmp_path: Path) -> None:
        assert find({}, cwd=tmp_path, system=tmp_path / "etc" / "agproxy.ini") is None

    def test_order(self, tmp_path: Path) -> None:
        home = tmp_path / "home"
        system = tmp_path / "etc" / "agproxy.ini"
        environ = {"HOME": str(home), "APPDATA": str(home)}
        user = user_path(environ)
        assert user is not None
        here = tmp_path / "agproxy.ini"
        named = tmp_path / "named.ini"
        found = []
        for path in (system, user, here, named):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            if path is named:
                environ["AGPROXY_CONFIG"] = str(named)
            found.append(find(environ, cwd=tmp_path, system=system))
        assert found == [system, user, here, named]

    def test_name_of_a_missing_file_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"AGPROXY_CONFIG names .*gone\.ini, which is not a file"):
            find({"AGPROXY_CONFIG": "gone.ini"}, cwd=tmp_path)

    def test_name_may_begin_with_the_home(self, tmp_path: Path) -> None:
        (tmp_path / "my.ini").touch()
        assert find({"AGPROXY_CONFIG": "~/my.ini", "HOME": str(tmp_path)}, cwd=Path("/")) == tmp_path / "my.ini"

    @pytest.mark.parametrize(
        ("platform", "environ", "folder"),
        [
            ("linux", {"HOME": "/h"}, "/h/.config/agproxy"),
            ("linux", {"HOME": "/h", "XDG_CONFIG_HOME": "/x"}, "/x/agproxy"),
            ("darwin", {"HOME": "/h"}, "/h/Library/Application Support/agproxy"),
            ("win32", {"APPDATA": "/a"}, "/a/agproxy"),
        ],
    )
    def test_users_folder(self, platform: str, environ: dict[str, str], folder: str) -> None:
        assert user_path(environ, platform=platform) == Path(folder, "agproxy.ini")

    @pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
    def test_no_home_no_users_folder(self, platform: str) -> None:
        assert user_path({}, platform=platform) is None


class TestReference:
    def test_loads_and_changes_nothing(self) -> None:
        assert load(REFERENCE, {}) == Config(path=REFERENCE, accounts=load(None, {}).accounts)

    @pytest.mark.parametrize("section", [Server, Upstream, Scheduling, Safety, Store, Account, Log])
    def test_holds_every_option(self, section: type) -> None:
        documented = re.findall(r"^#(\w+) =", REFERENCE.read_text("utf-8"), re.MULTILINE)
        missing = [name for name in options.options(section) if name not in documented]
        assert missing == []

    def test_documents_the_defaults_that_hold(self, file: Path) -> None:
        text = REFERENCE.read_text("utf-8")
        config = loaded(file, re.sub(r"^#(?=\w+ =|\[)", "", text, flags=re.MULTILINE))
        assert (config.server, config.upstream) == (Server(), Upstream())
        assert (config.scheduling, config.safety, config.store, config.log) == (Scheduling(), Safety(), Store(), Log())
        account = Account(name="me", source="[account:me]", problem=config.accounts[0].problem)
        assert config.accounts == (account,)

    def test_defaults_would_pass_their_own_casts(self) -> None:
        for section in (Server, Upstream, Scheduling, Safety, Store, Account, Log):
            for name, field in options.options(section).items():
                if isinstance(field.default, str) and field.default:
                    assert field.metadata["cast"](field.default) == field.default, name


class TestLoad:
    def test_all_sections(self, file: Path) -> None:
        config = loaded(
            file,
            f"""
[server]
host = ::1
port = 9000   ; mine
auth_mode = strict
api_key = agp-1
allowed_hosts = box.lan,
    llm.lan
fix_paths = on
max_body_bytes = 20 MiB
[upstream]
max_attempts = 2
[scheduling]
mode = cache_first
pin = me
[models]
gpt-4o = gemini-flash-latest        ; exact
gpt-4* = gemini-pro-latest
qwen/Q:free = gemini-x
[fallback]
gemini-pro-latest = gemini-flash-latest
gemini-flash-latest = gemini-flash-lite-latest
[families]
gemini-flash-latest = gemini-2.5-flash
[safety]
harassment = off
hate_speech = None
sexually_explicit = few
dangerous_content = some
civic_integrity = most
[account:me]
api_key = {KEY}
base_url = http://127.0.0.1:1234/v1beta
priority = 2
models = gemini-3*, models/gemini-flash-latest
requests_per_minute = 10
max_in_flight = 4
[account:you]
type = demo
enabled = no
[log]
level = debug
""",
        )
        assert config.path == file
        assert (config.server.host, config.server.port, config.server.auth_mode) == ("::1", 9000, "strict")
        assert config.server.allowed_hosts == ("box.lan", "llm.lan")
        assert config.server.fix_paths is True
        assert (config.server.api_key, config.server.max_body_bytes) == ("agp-1", 20 * 2**20)
        assert (config.upstream.max_attempts, config.upstream.ping_s) == (2, 10.0)
        assert (config.scheduling.mode, config.scheduling.pin, config.log.level) == ("cache_first", "me", "debug")
        assert config.models == (
            ("gpt-4o", "gemini-flash-latest"),
            ("gpt-4*", "gemini-pro-latest"),
            ("qwen/Q:free", "gemini-x"),
        )
        assert config.fallback == (
            ("gemini-pro-latest", "gemini-flash-latest"),
            ("gemini-flash-latest", "gemini-flash-lite-latest"),
        )
        assert config.families == (("gemini-flash-latest", "gemini-2.5-flash"),)
        assert config.safety.settings == (
            ("HARM_CATEGORY_HARASSMENT", "OFF"),
            ("HARM_CATEGORY_HATE_SPEECH", "BLOCK_NONE"),
            ("HARM_CATEGORY_SEXUALLY_EXPLICIT", "BLOCK_ONLY_HIGH"),
            ("HARM_CATEGORY_DANGEROUS_CONTENT", "BLOCK_MEDIUM_AND_ABOVE"),
            ("HARM_CATEGORY_CIVIC_INTEGRITY", "BLOCK_LOW_AND_ABOVE"),
        )
        me, you = config.accounts
        assert (me.name, me.api_key, me.base_url, me.priority) == ("me", KEY, "http://127.0.0.1:1234", 2)
        assert (me.models, me.requests_per_minute, me.max_in_flight) == (("gemini-3*", "gemini-flash-latest"), 10, 4)
        assert (you.type, you.enabled, you.problem) == ("demo", False, "")
        assert (you.models, you.requests_per_minute, you.max_in_flight) == ((), 0, 0)

    @pytest.mark.parametrize(
        ("models", "model", "serves"),
        [
            ((), "gemini-2.5-pro", True),
            (("gemini-2.5-pro",), "gemini-2.5-pro", True),
            (("gemini-2.5-pro",), "gemini-2.5-pro-x", False),
            (("gemini-3*", "gemini-2.5-*"), "gemini-2.5-pro", True),
            (("gemini-3*",), "gemini-2.5-pro", False),
            (("Gemini-2*",), "gemini-2.5-pro", False),
        ],
    )
    def test_models_that_an_account_may_be_asked_for(self, models: tuple[str, ...], model: str, serves: bool) -> None:
        assert Account("a", models=models).serves(model) is serves

    def test_lan_access_listens_on_all_addresses_unless_a_host_is_given(self, file: Path) -> None:
        assert loaded(file, "[server]\nallow_lan_access = on\n").server.host == "0.0.0.0"
        assert loaded(file, "[server]\nallow_lan_access = on\nhost = 127.0.0.1\n").server.host == "127.0.0.1"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[server]\n\napi_keys = x\n", "line 3: [server] unknown option 'api_keys'; did you mean 'api_key'?"),
            ("[sever]\n", "line 1: unknown section [sever]; did you mean 'server'?"),
            ("[account]\n", "line 1: unknown section [account]; write [account:NAME]"),
            ("[acount:me]\n", "line 1: unknown section [acount:me]; did you mean 'account:NAME'?"),
            ("[DEFAULT]\n", "line 1: unknown section [DEFAULT]"),
            ("[account:]\n", "line 1: [account:]: an account's name is made of letters, digits and . _ @ + -"),
            ("[account:a]\ntype=demo\n[account: a]\n", "line 3: a second account named 'a'"),
            ("[server]\nport = 99999\n", "line 2: [server] port = 99999: must be a whole number from 1 to 65535"),
            ("[server]\nport: 8045\n", "line 2: neither a [section] nor an 'option = value'"),
            ("[account:a]\ntype = vertex\n", "line 2: [account:a] type = vertex: is not served by this version"),
            ("[models]\na = b c\n", "line 2: [models] a = b c: must be a model name"),
            ("[families]\na = 2.5 flash\n", "line 2: [families] a = 2.5 flash: must be two model names"),
            ("[families]\na b = c\n", "line 2: [families] a b = c: must be two model names"),
            ("[fallback]\na = b c\n", "line 2: [fallback] a = b c: must be two model names"),
            ("[fallback]\na = a\n", "line 2: [fallback] goes round in a circle: a = a"),
            ("[fallback]\nx = a\na = b\nb = c\nc = a\n", "line 3: [fallback] goes round in a circle: a = b = c = a"),
            (
                "[account:a]\nmodels = gemini 3\n",
                "line 2: [account:a] models = gemini 3: 'gemini 3' is not a model name",
            ),
            ("[account:a]\nmax_in_flight = -1\n", "line 2: [account:a] max_in_flight = -1: must be a whole number"),
            ("[account:a]\nrequests_per_minute = x\n", "requests_per_minute = x: must be a whole number from 0"),
            ("[safety]\nharassment = never\n", "line 2: [safety] harassment = never: must be one of off, none, few"),
            ("[scheduling]\npin = mee\n[account:me]\n", "line 2: [scheduling] pin = mee: no account has this name"),
            ("[account:a]\nproblem = x\n", "line 2: [account:a] unknown option 'problem'"),
            ("[upstream]\nca_bundle = no.pem\n", "no.pem is not a file that can be read"),
            ("[store]\nurl = redis://box:port\n", "line 2: [store] url: must be redis://HOST:PORT/DATABASE"),
            ("[store]\nurl = sqlite:/\n", "line 2: [store] url = sqlite:/: / is a folder; name a file in it"),
            ("[store]\nurl = sqlite:new/\n", "new is a folder; name a file in it"),
            ("[store]\nurl = sqlite:~/x.db\n", "url = sqlite:~/x.db: ~ is the home folder only in ~/, and where HOME"),
            ("[store]\nurl = sqlite:~me/x.db\n", "url = sqlite:~me/x.db: ~ is the home folder only in ~/"),
            ("[store]\npath = x.db\n", "line 2: [store] unknown option 'path'"),
        ],
    )
    def test_mistake_is_named_with_its_place(self, file: Path, text: str, message: str) -> None:
        assert refusal(file, text).startswith(f"{file}, line ")
        assert message in refusal(file, text)

    @pytest.mark.parametrize(
        "text",
        [
            "[server]\napi_key = sesame secret-1\n",
            "[server]\nsecret-1 = x\napi_key: secret-1\n",
            '[server]\napi_key = "secret-1"\n',
            "[server]\napi_key = secret-1\n  port = 1\n",
            "[upstream]\nproxy = ftp://me:secret-1@proxy\n",
            "[account:a]\nbase_url = https://me:secret-1@example.com\n",
            "[store]\nurl = redis://:secret-1@box:port\n",
            "[store]\nurl = redis://:se/secret-1@box\n",
            "[store]\nurl = redis://box:secret-1\n",
            "[store]\nurl = unix:///run/redis?password=secret-1\n",
        ],
    )
    def test_secrets_are_never_quoted(self, file: Path, text: str) -> None:
        assert "secret-1" not in refusal(file, text).replace("'secret-1'", "")

    def test_google_key_in_the_wrong_place_is_not_quoted(self, file: Path) -> None:
        assert KEY not in refusal(file, f"[server]\n{KEY} = 1\n")
        assert KEY not in refusal(file, f"[{KEY}]\n")
        assert KEY not in refusal(file, f"[server]\nport = {KEY}\n")

    @pytest.mark.parametrize("source", ["env", "file"])
    def test_google_key_in_the_place_of_its_source_is_not_quoted(self, file: Path, source: str) -> None:
        (account,) = loaded(file, f"[account:a]\napi_key = {source}:{KEY}\n").accounts
        assert account.problem
        assert KEY not in account.problem

    def test_repr_hides_secrets(self, file: Path) -> None:
        text = f"[server]\napi_key = agp-1\n[upstream]\nproxy = http://u:agp-1@p\n[account:a]\napi_key = {KEY}\n"
        shown = repr(loaded(file, text))
        assert KEY not in shown
        assert "agp-1" not in shown

    def test_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
            load(tmp_path, {})

    def test_ca_bundle_is_relative_to_the_file(self, file: Path) -> None:
        bundle = file.with_name("ca.pem")
        bundle.touch()
        assert loaded(file, "[upstream]\nca_bundle = ca.pem\n").upstream.ca_bundle == str(bundle)

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("", ""),
            ("memory:", "memory:"),
            ("sqlite:state.db", "sqlite:{folder}/state.db"),
            ("sqlite:new/../../state.db", "sqlite:{folder.parent}/state.db"),
            ("sqlite:/var/lib/state.db", "sqlite:/var/lib/state.db"),
            ("sqlite:~/my state.db", "sqlite:/home/me/my state.db"),
            ("SQLite: a;b%c=d:e", "sqlite:{folder}/a;b%c=d:e"),
        ],
    )
    @pytest.mark.skipif(os.name == "nt", reason="POSIX paths")
    def test_file_of_the_store_is_relative_to_the_file(self, file: Path, url: str, expected: str) -> None:
        config = loaded(file, f"[store]\nurl = {url}\n", {"HOME": "/home/me"})
        assert config.store.url == expected.format(folder=file.parent)
        assert not file.with_name("new").exists()

    @pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
    def test_literal_key_that_all_can_read_is_warned_about(self, file: Path, caplog: pytest.LogCaptureFixture) -> None:
        loaded(file, f"[account:a]\napi_key = {KEY}\n")
        assert caplog.text == ""
        file.chmod(0o644)
        load(file, {})
        assert f"chmod 600 {file}" in caplog.text

    @pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
    def test_file_without_literal_keys_may_be_read_by_all(self, file: Path, caplog: pytest.LogCaptureFixture) -> None:
        loaded(file, "[server]\napi_key = env:K\n[account:a]\napi_key = file:k\n", {"K": "agp-1"})
        file.chmod(0o644)
        load(file, {"K": "agp-1"})
        assert caplog.text == ""


class TestSecrets:
    def test_from_the_environment_and_from_a_file(self, file: Path) -> None:
        file.with_name("key").write_text(f"{KEY}\n")
        text = "[server]\napi_key = env:MY_KEY\n[account:a]\napi_key = file:key\n[account:b]\napi_key = file:~/key\n"
        config = loaded(file, text, {"MY_KEY": "agp-1", "HOME": str(file.parent)})
        assert config.server.api_key == "agp-1"
        assert [account.api_key for account in config.accounts] == [KEY, KEY]

    @pytest.mark.parametrize(
        ("key", "problem"),
        [
            ("env:NOT_SET", "api_key: the environment variable NOT_SET is not set, or empty"),
            ("env:EMPTY", "api_key: the environment variable EMPTY is not set, or empty"),
            ("file:gone", "gone cannot be read: No such file or directory"),
            ("file:empty", "empty is empty"),
            ("file:binary", "binary is not text in UTF-8"),
            ("env:SPACED", "api_key: the key has a space or a line break in it"),
            ("two words", "api_key: the key has a space or a line break in it"),
            ("AIzaé", "api_key: the key has a character outside ASCII"),
            ("'quoted'", "api_key: is written without quotes"),
            ("", "api_key is empty"),
        ],
    )
    def test_key_that_cannot_be_used_puts_the_account_out(self, file: Path, key: str, problem: str) -> None:
        file.with_name("empty").touch()
        file.with_name("binary").write_bytes(b"\xff\xfe")
        environ = {"EMPTY": " \n", "SPACED": "a b", "GEMINI_API_KEY": KEY}
        (account,) = loaded(file, f"[account:a]\napi_key = {key}\n", environ).accounts
        assert problem in account.problem
        assert (account.name, account.type, account.api_key) == ("a", "gemini", "")

    def test_account_without_a_key_is_out(self, file: Path) -> None:
        assert "api_key is empty" in loaded(file, "[account:a]\n").accounts[0].problem

    def test_key_of_the_server_that_cannot_be_read_is_an_error(self, file: Path) -> None:
        message = refusal(file, "[server]\napi_key = env:NOT_SET\n")
        assert "line 2: [server] api_key: the environment variable NOT_SET is not set, or empty" in message


class TestImplicitAccount:
    def test_demo_without_a_key(self) -> None:
        (account,) = load(None, {"GEMINI_API_KEY": " "}).accounts
        assert (account.name, account.type, account.source) == ("demo", "demo", "built in")

    def test_key_of_the_environment(self, file: Path) -> None:
        for config in (load(None, {"GEMINI_API_KEY": KEY}), loaded(file, "[log]\n", {"GEMINI_API_KEY": KEY})):
            (account,) = config.accounts
            assert (account.name, account.type, account.api_key) == ("default", "gemini", KEY)
            assert account.source == "GEMINI_API_KEY"

    def test_bad_key_of_the_environment_is_a_problem_not_demo(self) -> None:
        (account,) = load(None, {"GEMINI_API_KEY": "a b"}).accounts
        assert (account.type, account.api_key) == ("gemini", "")
        assert account.problem == "GEMINI_API_KEY: the key has a space or a line break in it"

    def test_account_section_rules_both_out(self, file: Path) -> None:
        config = loaded(file, f"[account:a]\napi_key = {KEY}\nenabled = off\n", {"GEMINI_API_KEY": KEY})
        assert [(account.name, account.enabled) for account in config.accounts] == [("a", False)]


def test_values_are_frozen() -> None:
    for value in (Config(), Server(), Upstream(), Scheduling(), Safety(), Store(), Account("a"), Log()):
        assert not hasattr(value, "__dict__")
        with pytest.raises(FrozenInstanceError):
            setattr(value, fields(value)[0].name, None)
