"""Structured logs of all functions.

Log lines carry ids (request, user, run), never e-mail addresses, tokens or request bodies.
"""

from __future__ import annotations

import os

from aws_lambda_powertools.logging import Logger

SERVICE = "streamvibe"

logger = Logger(service=SERVICE, level=os.environ.get("LOG_LEVEL", "INFO"), log_uncaught_exceptions=False)
