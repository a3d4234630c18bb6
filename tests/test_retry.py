"""What a failed attempt means: the table of "When Google says no"."""

from pathlib import Path

import pytest

from agproxy.errors import (
    BadRequest,
    UnusableAnswer,
    UpstreamCut,
    UpstreamError,
    UpstreamRefusal,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from agproxy.retry import (
    History,
    Verdict,
    client_error,
    decide,
    growing_cooldown_s,
    is_credential_fault,
    outage_s,
)
from agproxy.upstreams.gemini_errors import decode_error

RECORDED = Path(__file__).parent / "data" / "gemini_errors"

ACCOUNT_OUT = Verdict("next", "account")
MODEL_RESTS = Verdict("next", "model", 60.0)
GIVE_UP = Verdict("give_up")

# The verdict on each recorded error of Google, when it is the first failure of a request and nothing can be mended.
VERDICTS: dict[tuple[str, int], Verdict] = {
    ("quota_per_minute.json", 429): Verdict("next", "quota", 34.07),
    ("quota_in_an_array.json", 429): Verdict("next", "quota", 34.07),
    ("quota_words_only.json", 429): Verdict("next", "quota", 34.07),
    ("quota_retry_in_ms.json", 429): Verdict("next", "quota", 0.9),
    ("quota_long_delay.json", 429): Verdict("next", "quota", 3600.0),
    ("quota_words_of_hours.json", 429): Verdict("next", "quota", 3600.0),
    ("quota_reset_delay.json", 429): Verdict("next", "quota", 3600.0),
    ("quota_no_hint.json", 429): Verdict("next", "quota", None),
    ("quota_per_day.json", 429): Verdict("next", "quota", until_midnight=True),
    ("quota_limit_per_day.json", 429): Verdict("next", "quota", until_midnight=True),
    ("quota_limit_words_only.json", 429): Verdict("next", "quota", until_midnight=True),
    ("quota_limit_per_minute.json", 429): Verdict("next", "quota", None),
    ("quota_zero.json", 429): Verdict("next", "quota", 3600.0),
    ("capacity_exhausted.json", 429): Verdict("next", backoff_s=0.4),
    ("quota_no_hint.json", 499): Verdict("next", "quota", None),
    ("api_key_invalid.json", 400): ACCOUNT_OUT,
    ("api_key_invalid_words_only.json", 400): ACCOUNT_OUT,
    ("api_key_expired.json", 400): ACCOUNT_OUT,
    ("api_key_leaked.json", 403): ACCOUNT_OUT,
    ("consumer_suspended.json", 403): ACCOUNT_OUT,
    ("service_disabled.json", 403): ACCOUNT_OUT,
    ("unauthenticated.json", 401): ACCOUNT_OUT,
    ("model_forbidden.json", 403): MODEL_RESTS,
    ("file_forbidden.json", 403): GIVE_UP,
    ("cached_content_forbidden.json", 403): GIVE_UP,
    ("location_not_supported.json", 400): GIVE_UP,
    ("turn_order.json", 400): GIVE_UP,
    ("schema_unknown_name.json", 400): GIVE_UP,
    ("signature_not_valid.json", 400): GIVE_UP,
    ("model_not_found.json", 404): Verdict("elsewhere"),
    ("internal.json", 500): Verdict("same", backoff_s=0.4),
    ("bad_gateway.html", 502): Verdict("same", backoff_s=0.4),
    ("overloaded.json", 503): Verdict("next", backoff_s=0.4),
    ("overloaded.json", 504): Verdict("next", backoff_s=0.4),
    ("overloaded.json", 529): Verdict("next", backoff_s=0.4),
    ("turn_order.json", 413): GIVE_UP,
    ("turn_order.json", 409): GIVE_UP,
}


def recorded(name: str, status: int) -> UpstreamRefusal:
    return decode_error(status, {}, RECORDED.joinpath(name).read_bytes(), now=0.0)


def decided(error: UpstreamError, history: History | None = None, *, mendable: bool = False) -> Verdict:
    return decide(error, history or History(), mendable=mendable)


def refusal(status: int, message: str = "x", *reasons: str) -> UpstreamRefusal:
    return UpstreamRefusal(message, status=status, error_reasons=reasons)


@pytest.mark.parametrize(("name", "status"), VERDICTS)
def test_verdict_on_a_recorded_error(name: str, status: int) -> None:
    assert decided(recorded(name, status)) == VERDICTS[name, status]


class TestQuota:
    @pytest.mark.parametrize("quota_id", ["RequestsPerDayPerProject", "tokens_per_day", "DailyLimit", "requests-daily"])
    def test_daily_ones_rest_until_midnight_whatever_the_hint(self, quota_id: str) -> None:
        error = UpstreamRefusal("x", status=429, quota_ids=("PerMinute", quota_id), retry_after_s=2.0)
        assert decided(error) == Verdict("next", "quota", until_midnight=True)

    @pytest.mark.parametrize(
        ("hint", "cooldown_s"),
        [(0.0, None), (0.05, None), (0.9, 0.9), (3599.0, 3599.0), (3600.1, 3600.0), (1e9, 3600.0)],
    )
    def test_hint_is_capped_at_an_hour(self, hint: float, cooldown_s: float | None) -> None:
        assert decided(UpstreamRefusal("x", status=429, retry_after_s=hint)).cooldown_s == cooldown_s

    @pytest.mark.parametrize("words", ["limit: 0", "limit: 0, model: m", "limit: 0\nPlease retry in 12s."])
    def test_no_quota_at_all_rests_for_an_hour(self, words: str) -> None:
        assert decided(refusal(429, words)).cooldown_s == 3600.0

    @pytest.mark.parametrize("words", ["limit: 10", "limit: 05", "delimit: 0"])
    def test_other_limits_are_limits(self, words: str) -> None:
        assert decided(refusal(429, words)).cooldown_s is None


class TestRepeatedFailures:
    @pytest.mark.parametrize("error", [refusal(500), UpstreamUnreachable("reset")], ids=["500", "unreachable"])
    def test_same_account_once_more_then_the_next(self, error: UpstreamError) -> None:
        history = History()
        assert [decided(error, history).action for _ in range(3)] == ["same", "next", "next"]

    @pytest.mark.parametrize("error", [refusal(503), refusal(529), refusal(500), UpstreamUnreachable("reset")], ids=str)
    def test_backoff_grows_and_stays_well_under_5_s_in_all(self, error: UpstreamError) -> None:
        history = History()
        waits = [decided(error, history).backoff_s for _ in range(2)]  # the third failure is the last
        assert waits == [0.4, 0.8]

    @pytest.mark.parametrize(
        "error",
        [
            UpstreamCut("cut"),
            UnusableAnswer("empty"),
            UnusableAnswer("broken", finish_reason="MALFORMED_FUNCTION_CALL"),
        ],
        ids=str,
    )
    def test_unusable_answers_get_one_more_attempt(self, error: UpstreamError) -> None:
        history = History()
        assert [decided(error, history) for _ in range(2)] == [Verdict("same"), GIVE_UP]

    def test_unusable_answers_of_different_kinds_count_together(self) -> None:
        history = History()
        assert decided(UpstreamCut("cut"), history) == Verdict("same")
        assert decided(UnusableAnswer("empty"), history) == GIVE_UP

    def test_other_failures_in_between_do_not_use_up_the_attempt(self) -> None:
        history = History()
        assert decided(refusal(503), history).action == "next"
        assert decided(UnusableAnswer("empty"), history) == Verdict("same")

    def test_tokens_used_up_by_thinking_would_be_used_up_again(self) -> None:
        assert decided(UnusableAnswer("thinking", finish_reason="MAX_TOKENS")) == GIVE_UP

    def test_silence_takes_the_next_account(self) -> None:
        assert decided(UpstreamTimeout("silent")) == Verdict("next")


class TestMending:
    @pytest.mark.parametrize("name", ["signature_not_valid.json", "schema_unknown_name.json"])
    def test_what_can_be_mended_is(self, name: str) -> None:
        assert decided(recorded(name, 400), mendable=True) == Verdict("mend")

    def test_a_bad_key_is_no_case_for_mending(self) -> None:
        assert decided(recorded("api_key_invalid.json", 400), mendable=True) == ACCOUNT_OUT

    @pytest.mark.parametrize("status", [403, 404, 429, 500])
    def test_only_a_400_can_be_mended(self, status: int) -> None:
        assert decided(refusal(status), mendable=True).action != "mend"


class TestCredentialFault:
    @pytest.mark.parametrize(
        ("status", "words"),
        [
            (401, "whatever"),
            (400, "API key not valid. Please pass a valid API key."),
            (400, "API Key not found. Please pass a valid API key."),
            (400, "API key expired. Please renew the API key."),
            (403, "Your API key was reported as leaked. Please use another API key."),
            (403, "Permission denied: Consumer 'api_key:[redacted]' has been suspended."),
            (403, "Generative Language API has not been used in project 1 before or it is disabled."),
            (403, "Requests to this API generativelanguage.googleapis.com method x are blocked."),
            (403, "This API method requires billing to be enabled."),
            (403, "Method doesn't allow unregistered callers (callers without established identity)."),
            (403, "Your project has been denied access. Please contact support."),
        ],
    )
    def test_told_by_words(self, status: int, words: str) -> None:
        assert is_credential_fault(refusal(status, words))

    @pytest.mark.parametrize("status", [400, 403])
    @pytest.mark.parametrize("reason", ["API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "BILLING_DISABLED"])
    def test_told_by_details(self, status: int, reason: str) -> None:
        assert is_credential_fault(refusal(status, "x", "OTHER", reason))

    @pytest.mark.parametrize(
        ("status", "words"),
        [
            (400, "Please ensure that function call turn comes immediately after a user turn."),
            (400, "User location is not supported for the API use."),
            # What a client sent, in the words that refuse it.
            (400, "Invalid value at 'safety_settings[0].category' (type.googleapis.com/H), \"API key not valid\""),
            (400, "Invalid or unsupported file uri: https://example.com/api_key_invalid.png"),
            (403, "Permission denied on resource 'billing API key suspended'."),
            (403, "You do not have permission to access the File abc or it may not exist."),
            (403, "CachedContent not found (or permission denied)"),
            (403, "The caller does not have permission"),
            (404, "API key not valid"),
            (429, "check your plan and billing details"),
            (500, "credential service failed"),
        ],
    )
    def test_not_so(self, status: int, words: str) -> None:
        assert not is_credential_fault(refusal(status, words))


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 5.0), (2, 10.0), (3, 20.0), (10, 2560.0), (11, 3600.0), (10_000, 3600.0)]
)
def test_cooldown_grows_to_an_hour(failures: int, seconds: float) -> None:
    assert growing_cooldown_s(failures) == seconds


@pytest.mark.parametrize(("failures", "seconds"), [(1, 60.0), (2, 120.0), (6, 1920.0), (7, 3600.0), (10_000, 3600.0)])
def test_outage_grows_to_an_hour(failures: int, seconds: float) -> None:
    assert outage_s(failures) == seconds


class TestClientError:
    @pytest.mark.parametrize(
        ("name", "status"),
        [
            ("unauthenticated.json", 401),
            ("api_key_invalid.json", 400),
            ("api_key_invalid_words_only.json", 400),
            ("api_key_leaked.json", 403),
            ("service_disabled.json", 403),
            ("model_forbidden.json", 403),
        ],
    )
    def test_failures_of_the_pools_credentials_are_502(self, name: str, status: int) -> None:
        cause = recorded(name, status)
        error = client_error(cause)
        assert (error.status, error.code) == (502, "upstream_credentials")
        assert "not your key" in error.message
        assert error.message.endswith(cause.message)

    @pytest.mark.parametrize("name", ["file_forbidden.json", "cached_content_forbidden.json"])
    def test_forbidden_files_are_the_requests_fault(self, name: str) -> None:
        error = client_error(recorded(name, 403))
        assert isinstance(error, BadRequest)
        assert (error.status, error.code) == (400, "upstream_refused_file")

    def test_tokens_used_up_by_thinking_are_the_requests_fault(self) -> None:
        error = client_error(UnusableAnswer("used up", finish_reason="MAX_TOKENS"))
        assert isinstance(error, BadRequest)
        assert (error.status, error.param) == (400, "max_completion_tokens")
        assert error.message == "used up"

    @pytest.mark.parametrize(
        ("name", "status", "seen", "code"),
        [
            ("quota_per_minute.json", 429, 429, "rate_limit_exceeded"),
            ("quota_no_hint.json", 499, 429, "rate_limit_exceeded"),
            ("model_not_found.json", 404, 404, "model_not_found"),
            ("location_not_supported.json", 400, 400, "failed_precondition"),
            ("turn_order.json", 400, 400, "invalid_argument"),
            ("turn_order.json", 413, 413, "invalid_argument"),
            ("too_many_tokens.json", 400, 400, "context_length_exceeded"),
            ("internal.json", 500, 500, "upstream_error"),
            ("overloaded.json", 503, 503, "upstream_error"),
            ("bad_gateway.html", 502, 502, "upstream_error"),
        ],
    )
    def test_other_refusals_keep_status_and_words(self, name: str, status: int, seen: int, code: str) -> None:
        cause = recorded(name, status)
        error = client_error(cause)
        assert (error.status, error.code, error.message) == (seen, code, cause.message)

    @pytest.mark.parametrize(
        ("words", "seen"),
        [
            ("the model service answered HTTP 418 without saying why", "the model service answered HTTP 418 without"),
            ("I am a teapot", "the model service answered HTTP 418: I am a teapot"),
        ],
    )
    def test_other_status_of_a_proxy_in_between_is_told_once(self, words: str, seen: str) -> None:
        error = client_error(refusal(418, words))
        assert error.status == 502
        assert error.message.startswith(seen)
        assert error.message.count("HTTP 418") == 1

    def test_missing_model_names_the_field(self) -> None:
        assert client_error(recorded("model_not_found.json", 404)).param == "model"

    def test_hint_is_kept(self) -> None:
        assert client_error(recorded("quota_per_minute.json", 429)).retry_after_s == 34.07

    @pytest.mark.parametrize(
        ("cause", "status", "code"),
        [
            (UpstreamUnreachable("x"), 502, "upstream_unreachable"),
            (UpstreamTimeout("x"), 504, "upstream_timeout"),
            (UpstreamCut("x"), 502, "upstream_cut"),
            (UnusableAnswer("x", finish_reason="STOP"), 502, "upstream_unusable_answer"),
        ],
    )
    def test_what_is_no_refusal_stays(self, cause: UpstreamError, status: int, code: str) -> None:
        error = client_error(cause)
        assert error is cause
        assert (error.status, error.code) == (status, code)
