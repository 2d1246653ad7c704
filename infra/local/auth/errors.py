"""Error answers as Auth gives them: https://supabase.com/docs/guides/auth/debugging/error-codes

Two formats, chosen by the client's X-Supabase-Api-Version: before 2024-01-01 `{code: status, error_code, msg}`, from
then on `{code, message}` with the version echoed.
"""

from dataclasses import dataclass, field
from datetime import date
from typing import Any

API_VERSION_HEADER = "x-supabase-api-version"
CODES_SINCE = "2024-01-01"


def api_version(header: str) -> str:
    """The version that a client's header asks for: the newest that is not later; "" is the first, and for nonsense."""
    try:
        return CODES_SINCE if date.fromisoformat(header) >= date.fromisoformat(CODES_SINCE) else ""
    except ValueError:
        return ""


@dataclass
class AuthError(Exception):
    """One refusal: HTTP status, Auth's error code, its message."""

    status: int
    code: str
    message: str
    extra: dict[str, Any] = field(default_factory=dict)

    def body(self, api_version: str) -> dict[str, Any]:
        if api_version:
            return {"code": self.code, "message": self.message, **self.extra}
        return {"code": self.status, "error_code": self.code, "msg": self.message, **self.extra}


@dataclass
class OAuthError(AuthError):
    """A refusal of the token endpoint in OAuth's own format, which has no versions."""

    def body(self, api_version: str) -> dict[str, Any]:  # noqa: ARG002 - the same in every version
        return {"error": self.code, "error_description": self.message}


def validation_failed(message: str) -> AuthError:
    return AuthError(400, "validation_failed", message)


def weak_password(minimum: int) -> AuthError:
    return AuthError(
        422,
        "weak_password",
        f"Password should be at least {minimum} characters.",
        {"weak_password": {"reasons": ["length"]}},
    )


def bad_jwt(message: str) -> AuthError:
    return AuthError(403, "bad_jwt", message)


def user_exists() -> AuthError:
    return AuthError(422, "user_already_exists", "User already registered")


def email_exists() -> AuthError:
    return AuthError(422, "email_exists", "A user with this email address has already been registered")


def phone_exists() -> AuthError:
    return AuthError(422, "phone_exists", "A user with this phone number has already been registered")
