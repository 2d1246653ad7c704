"""The root: an OpenAPI 2.0 description of what the asking role may use.

https://docs.postgrest.org/en/v14/references/api/openapi.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from infra.local.data_api import errors
from infra.local.data_api.media import OPENAPI
from infra.local.data_api.response import Response, profile_header

if TYPE_CHECKING:
    from infra.local.data_api.request import Request

_PRODUCED = ("application/openapi+json", "application/json", "*/*")


def respond_root(request: Request) -> Response:
    """The answer to GET or HEAD of the root."""
    if not any(accepted.name in _PRODUCED for accepted in request.accepts):
        raise errors.no_media_type(accepted.mime for accepted in request.accepts)
    headers = [("Content-Type", OPENAPI.content_type), *profile_header(request)]
    document = {"swagger": "2.0", "info": {"title": "PostgREST API", "version": "14"}, "paths": {}}
    return Response(200, headers, json.dumps(document).encode())
