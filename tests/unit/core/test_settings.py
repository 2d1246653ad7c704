"""Settings: what is missing or malformed is said in one sentence, and a secret's value is never repeated."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from functions.core import settings
from functions.core.errors import ConfigurationError


def test_all_missing_settings_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUPABASE_URL", raising=False)
    monkeypatch.delenv("SUPABASE_SECRET_KEY", raising=False)
    with pytest.raises(ConfigurationError) as missing:
        settings.require(settings.SUPABASE_URL, settings.SUPABASE_SECRET_KEY, settings.LOG_LEVEL)
    assert "SUPABASE_URL is missing" in missing.value.detail
    assert "SUPABASE_SECRET_KEY is missing" in missing.value.detail
    assert "LOG_LEVEL" not in missing.value.detail


def test_one_entry_of_a_module_may_need_more_than_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STRIPE_SECRET_KEY", raising=False)
    monkeypatch.setenv("_HANDLER", "functions.sync.handler.dispatch")
    settings.require(settings.STRIPE_SECRET_KEY, entry="worker")
    for loaded_for in ("functions.sync.handler.worker", ""):  # the local stack's runner calls every entry
        monkeypatch.setenv("_HANDLER", loaded_for)
        with pytest.raises(ConfigurationError, match="STRIPE_SECRET_KEY is missing"):
            settings.require(settings.STRIPE_SECRET_KEY, entry="worker")


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        (settings.SUPABASE_URL, "ref.supabase.co"),
        (settings.UPSTREAM_OVERRIDES, "{"),
        (settings.UPSTREAM_OVERRIDES, "[]"),
        (settings.UPSTREAM_OVERRIDES, '{"https://a.example": 1}'),
    ],
)
def test_a_malformed_setting_is_explained_without_its_value(
    setting: settings.Setting[object], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(setting.name, text)
    with pytest.raises(ConfigurationError, match=f"The setting {setting.name} is not usable") as malformed:
        setting.value()
    assert text == "{" or text not in malformed.value.detail


def test_values_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_URL", "https://ref.supabase.co/")
    monkeypatch.setenv("UPSTREAM_OVERRIDES", '{"https://a.example/": "http://127.0.0.1:1/a/"}')
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "whsec_one whsec_two")
    assert settings.SUPABASE_URL.value() == "https://ref.supabase.co"
    assert settings.UPSTREAM_OVERRIDES.value() == {"https://a.example": "http://127.0.0.1:1/a"}
    assert settings.STRIPE_WEBHOOK_SECRET.value() == ("whsec_one", "whsec_two")


def test_the_list_holds_every_setting_once_and_marks_the_secret_ones() -> None:
    names = [setting.name for setting in settings.all_settings()]
    assert len(names) == len(set(names))
    for setting in settings.all_settings():
        assert setting.description
        assert setting.secret == setting.name.endswith(("_SECRET", "SECRET_KEY", "API_KEY"))


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield


def store(value: str) -> None:
    boto3.client("ssm").put_parameter(Name="/streamvibe/test/hook", Value=value, Type="SecureString", Overwrite=True)


def test_none_stands_for_an_empty_stored_value(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "ssm:/streamvibe/test/nothing")
    boto3.client("ssm").put_parameter(Name="/streamvibe/test/nothing", Value="none", Type="SecureString")
    assert settings.OPENAI_API_KEY.value() == ""


def test_a_stored_value_is_cached_and_fetched_again_on_demand(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "ssm:/streamvibe/test/hook")
    store("whsec_old")
    assert settings.STRIPE_WEBHOOK_SECRET.value() == ("whsec_old",)
    store("whsec_new")
    assert settings.STRIPE_WEBHOOK_SECRET.value() == ("whsec_old",)
    assert settings.STRIPE_WEBHOOK_SECRET.value(fresh=True) == ("whsec_new",)


def test_a_stored_value_that_cannot_be_had_is_named(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_SECRET_KEY", "secretsmanager:streamvibe/nowhere")
    with pytest.raises(
        ConfigurationError, match="STRIPE_SECRET_KEY cannot be fetched: secretsmanager:streamvibe/nowhere"
    ):
        settings.STRIPE_SECRET_KEY.value()
