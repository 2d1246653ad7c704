"""Google's Indexing API, Search Console's URL Inspection, and service accounts.

https://developers.google.com/search/apis/indexing-api/v3/quickstart and
https://developers.google.com/webmaster-tools/v1/api_reference_index.

`POST /_sim/search_google/service_accounts` `{client_email?}` answers a key file, as the Cloud console does; assertions
of such accounts must be signed by it. Assertions of accounts that nobody has made are believed if they are well-formed,
and so is any access token, unless it begins with `invalid`. Only addresses that the Indexing API was told of become
known, then crawled, then indexed. Controls: see `search_index`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.local.upstream.messages import Refusal, Request, Response, json_response
from infra.local.upstream.provider import Route
from infra.local.upstream.providers.search_index import DailyQuota, SearchEngine
from infra.local.upstream.providers.youtube import YouTube

INDEXING, CONSOLE = "indexing.googleapis.com", "searchconsole.googleapis.com"
TOKEN_URL = "https://oauth2.googleapis.com/token"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_SECONDS = 3599
INSPECTIONS_PER_DAY = 2000


class GoogleSearch(SearchEngine):
    name = "search_google"
    hosts = (INDEXING, CONSOLE)
    daily_limit = 200

    def reset(self) -> None:
        super().reset()
        self.inspections = DailyQuota(self.clock, INSPECTIONS_PER_DAY)
        self.accounts: dict[str, rsa.RSAPublicKey] = {}
        self.tokens: dict[str, float] = {}
        self.world.get(YouTube).grant_types[JWT_BEARER] = self._redeem_assertion

    def routes(self) -> Sequence[Route]:
        return (
            Route("POST", INDEXING, "/v3/urlNotifications:publish", self._publish),
            Route("GET", INDEXING, "/v3/urlNotifications/metadata", self._metadata),
            Route("POST", CONSOLE, "/v1/urlInspection/index:inspect", self._inspect),
            Route("GET", CONSOLE, "/webmasters/v3/sites/{site}", self._site),
        )

    def controls(self) -> Sequence[Route]:
        return (*super().controls(), Route("POST", "", "/service_accounts", self._make_account))

    def not_found(self, request: Request) -> Response:
        return _error(404, "NOT_FOUND", f"No entity at {request.path}.")

    def _make_account(self, request: Request) -> Response:
        email = request.json().get("client_email", "indexer@streamvibe-local.iam.gserviceaccount.com")
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.accounts[email] = key.public_key()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return json_response(
            {
                "type": "service_account",
                "project_id": "streamvibe-local",
                "private_key_id": secrets.token_hex(20),
                "private_key": pem.decode(),
                "client_email": email,
                "client_id": "112233445566778899000",
                "token_uri": TOKEN_URL,
            },
            201,
        )

    def _redeem_assertion(self, request: Request) -> Response:
        assertion = request.form().get("assertion", "")
        try:
            claims = jwt.decode(assertion, options={"verify_signature": False})
            known = self.accounts.get(str(claims.get("iss")))
            if known is not None:
                jwt.decode(assertion, known, algorithms=["RS256"], audience=TOKEN_URL, options={"verify_exp": False})
        except jwt.PyJWTError:
            return json_response({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, 400)
        now = self.clock.now()
        if claims.get("aud") != TOKEN_URL or not claims.get("scope") or "@" not in str(claims.get("iss")):
            return json_response({"error": "invalid_grant", "error_description": "Invalid JWT."}, 400)
        if not 0 < float(claims.get("exp", 0)) - float(claims.get("iat", 0)) <= 3600:
            return json_response({"error": "invalid_grant", "error_description": "Invalid JWT: exp or iat."}, 400)
        token = "ya29.c." + secrets.token_urlsafe(48)
        self.tokens[token] = now + TOKEN_SECONDS
        return json_response({"access_token": token, "expires_in": TOKEN_SECONDS, "token_type": "Bearer"})

    def _authorise(self, request: Request) -> None:
        token = request.bearer()
        if not token or token.startswith("invalid") or self.tokens.get(token, float("inf")) < self.clock.now():
            message = "Request had invalid authentication credentials."
            raise Refusal(_error(401, "UNAUTHENTICATED", message))

    def _publish(self, request: Request) -> Response:
        self._authorise(request)
        body = request.json()
        url, kind = str(body.get("url", "")), body.get("type")
        if kind not in {"URL_UPDATED", "URL_DELETED"} or not url.startswith(("https://", "http://")):
            return _error(400, "INVALID_ARGUMENT", "Request contains an invalid argument.")
        if not self.owns(url):
            return _error(403, "PERMISSION_DENIED", "Permission denied. Failed to verify the URL ownership.")
        if not self.quota.take("project"):
            return _quota_error("DefaultPublishRequestsPerDayPerProject")
        page = self.index.tell(url)
        update = {"url": url, "type": kind, "notifyTime": _time(page.told_at)}
        return json_response({"urlNotificationMetadata": {"url": url, "latestUpdate": update}})

    def _metadata(self, request: Request) -> Response:
        self._authorise(request)
        page = self.index.pages.get(request.query.get("url", ""))
        if page is None:
            return self.not_found(request)
        update = {"url": page.url, "type": "URL_UPDATED", "notifyTime": _time(page.told_at)}
        return json_response({"url": page.url, "latestUpdate": update})

    def _site(self, request: Request, site: str) -> Response:
        self._authorise(request)
        if not self._owns_property(site):
            return _no_permission(site)
        return json_response({"siteUrl": site, "permissionLevel": "siteOwner"})

    def _inspect(self, request: Request) -> Response:
        self._authorise(request)
        body = request.json()
        url, site = str(body.get("inspectionUrl", "")), str(body.get("siteUrl", ""))
        if not self._owns_property(site):
            return _no_permission(site)
        if not self.inspections.take(site):
            return _quota_error("InspectionsPerDayPerProperty")
        link = f"https://search.google.com/search-console/inspect?resource_id={site}&id={secrets.token_urlsafe(9)}"
        return json_response(
            {"inspectionResult": {"inspectionResultLink": link, "indexStatusResult": self._status(url)}}
        )

    def _status(self, url: str) -> dict[str, object]:
        crawled_at = self.index.crawled_at(url)
        if self.index.is_indexed(url):
            verdict, coverage = "PASS", "Submitted and indexed"
        elif crawled_at is not None:
            verdict, coverage = "NEUTRAL", "Crawled - currently not indexed"
        elif url in self.index.pages:
            verdict, coverage = "NEUTRAL", "Discovered - currently not indexed"
        else:
            verdict, coverage = "NEUTRAL", "URL is unknown to Google"
        status: dict[str, object] = {
            "verdict": verdict,
            "coverageState": coverage,
            "robotsTxtState": "ROBOTS_TXT_STATE_UNSPECIFIED",
            "indexingState": "INDEXING_STATE_UNSPECIFIED",
            "pageFetchState": "PAGE_FETCH_STATE_UNSPECIFIED",
        }
        if crawled_at is not None:
            status |= {
                "robotsTxtState": "ALLOWED",
                "indexingState": "INDEXING_ALLOWED",
                "pageFetchState": "SUCCESSFUL",
                "lastCrawlTime": _time(crawled_at),
                "googleCanonical": url,
                "userCanonical": url,
                "crawledAs": "MOBILE",
            }
        return status

    def _owns_property(self, site: str) -> bool:
        return self.owns(f"https://{site.removeprefix('sc-domain:')}" if site.startswith("sc-domain:") else site)


def _time(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _error(status: int, code: str, message: str, details: Sequence[object] = ()) -> Response:
    error: dict[str, object] = {"code": status, "message": message, "status": code}
    if details:
        error["details"] = list(details)
    return json_response({"error": error}, status)


def _no_permission(site: str) -> Response:
    message = f"You do not own this site, or the inspected URL is not part of this property: {json.dumps(site)}."
    return _error(403, "PERMISSION_DENIED", message)


def _quota_error(limit: str) -> Response:
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "RATE_LIMIT_EXCEEDED",
        "metadata": {"quota_limit": limit},
    }
    return _error(429, "RESOURCE_EXHAUSTED", f"Quota exceeded for quota metric, limit '{limit}'.", [info])
