"""The constants that the stack's environment and the tests rely on: apps, secrets, seeded accounts.

None of these secrets opens anything: they are known to the simulators only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CREATOR_HOST = "creator.example"
INDEXNOW_KEY = "0123456789abcdef0123456789abcdef"


@dataclass(frozen=True, slots=True)
class App:
    client_id: str
    client_secret: str


# By platform name as the contract spells it.
APPS: Mapping[str, App] = {
    "youtube": App("412907283510-streamvibe0local.apps.googleusercontent.com", "GOCSPX-local-google-secret-0001"),
    "instagram": App("990602627938098", "local-instagram-app-secret-0000001"),
    "tiktok": App("awlocalstreamvibe01", "local-tiktok-client-secret-0000001"),
    "facebook": App("804512367890123", "local-facebook-app-secret-00000001"),
    "twitter": App("bG9jYWwtc3RyZWFtdmliZTE6MTpjaQ", "local-x-client-secret-000000000000001"),
}


# By the name of the setting.
AI_KEYS: Mapping[str, str] = {
    "OPENAI_API_KEY": "sk-local-openai-key-0000000000000001",
    "ANTHROPIC_API_KEY": "sk-ant-local-anthropic-key-00000001",
    "GOOGLE_AI_API_KEY": "AIzaLocalGeminiKey-000000000000000001",
}


@dataclass(frozen=True, slots=True)
class SeedAccount:
    """Who can sign in on a platform. `size` is how many items were published; `options` are the
    platform's own switches.
    """

    slug: str
    name: str
    handle: str
    niche: str
    size: int
    followers: int
    description: str = ""
    following: int = 128
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def email(self) -> str:
        return f"{self.slug}@creator.example"


# The first account of each platform is the one that an authorise page signs in by default.
ACCOUNTS: Mapping[str, tuple[SeedAccount, ...]] = {
    "youtube": (
        SeedAccount(
            "maya-kitchen",
            "Maya's Little Kitchen",
            "mayaslittlekitchen",
            "cooking",
            120,
            48_300,
            "Home cooking without fuss. New video every Thursday. 🍋\n\nhttps://creator.example",
        ),
        SeedAccount("leo-trails", "Leo on Trails", "leoontrails", "travel", 20, 912, "Slow travel, long walks."),
        SeedAccount(
            "werkstatt-nord",
            "Werkstatt Nord",
            "werkstattnord",
            "handwerk",
            1_000,
            231_000,
            "Möbel, Garten, Altbau: jede Woche ein neues Projekt. Schön, dass du da bist!",
            options={"brand": True, "country": "DE"},
        ),
        SeedAccount(
            "daily-pixels",
            "Daily Pixels",
            "dailypixels",
            "gaming",
            20_000,
            1_840_000,
            "A clip a day and then some. 🎮",
        ),
        SeedAccount(
            "aya-kurashi",
            "あやの暮らし",
            "aya_kurashi",
            "nihongo",
            60,
            7_450,
            "毎日の小さな暮らしを記録しています。",
        ),
        SeedAccount(
            "layla-oasis",
            "واحة ليلى",
            "laylaoasis",
            "arabic",
            45,
            15_900,
            "ثقافة وقصص من كل مكان",
            options={"no_handle": True},
        ),
        SeedAccount(
            "quiet-lab",
            "Quiet Lab",
            "quietlab",
            "technology",
            35,
            5_210,
            options={"hidden_subscribers": True},
        ),
        SeedAccount("fresh-start", "Fresh Start", "freshstart", "cooking", 0, 0),
        SeedAccount("no-channel", "Noah Viewer", "noahviewer", "cooking", 0, 0, options={"no_channel": True}),
        SeedAccount("closed-doors", "Closed Doors", "closeddoors", "travel", 20, 44, options={"suspended": True}),
    ),
}


def default_account(platform: str) -> SeedAccount:
    return ACCOUNTS[platform][0]
