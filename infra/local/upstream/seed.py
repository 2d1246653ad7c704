"""The constants that the stack's environment and the tests rely on: apps, secrets, seeded accounts.

None of these secrets opens anything: they are known to the simulators only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CREATOR_HOST = "creator.example"
CREATOR_PAGES = 20
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
    "tiktok": (
        SeedAccount("nora-moves", "Nora Moves", "nora.moves", "travel", 80, 64_200, "small adventures ✨"),
        SeedAccount("tiny-clips", "Tiny Clips", "tinyclips", "cooking", 12, 340, "one pan, one minute"),
        SeedAccount("pixel-rush", "Pixel Rush", "pixelrush", "gaming", 900, 812_000, "clips every day 🎮"),
        SeedAccount("mari-desu", "まり", "mari_desu", "nihongo", 45, 9_100, "猫とコーヒー"),
        SeedAccount("not-yet", "Not Yet", "notyet", "technology", 0, 3),
    ),
    "instagram": (
        SeedAccount(
            "maya.eats", "Maya Eats", "maya.eats", "cooking", 90, 27_300, "small kitchen, big appetite 🍜", 412
        ),
        SeedAccount("leo.outside", "Leo Outside", "leo.outside", "travel", 15, 780, "slow travel"),
        SeedAccount(
            "holz.und.heim",
            "Holz & Heim",
            "holz.und.heim",
            "handwerk",
            800,
            154_000,
            "Möbel zum Selberbauen",
            options={"account_type": "BUSINESS"},
        ),
        SeedAccount("huge.feed", "Huge Feed", "huge.feed", "gaming", 12_000, 2_400_000, "more than the API shows"),
        SeedAccount("blank.page", "Blank Page", "blank.page", "technology", 0, 9),
    ),
    "facebook": (
        SeedAccount(
            "maya-chen",
            "Maya Chen",
            "maya.chen",
            "cooking",
            0,
            0,
            options={"pages": ("maya-page", "supper-club", "jam")},
        ),
        SeedAccount("agency-anna", "Agency Anna", "agency.anna", "travel", 0, 0, options={"page_count": 60}),
        SeedAccount("big-brand-ben", "Ben Brandt", "ben.brandt", "gaming", 0, 0, options={"pages": ("big-brand",)}),
        SeedAccount("pageless-paul", "Paul Pageless", "paul.pageless", "travel", 0, 0, options={"pages": ()}),
    ),
    "twitter": (
        SeedAccount("maya_cooks", "Maya Cooks", "maya_cooks", "cooking", 70, 11_800, "I post what I eat."),
        SeedAccount("leo_walks", "Leo Walks", "leo_walks", "travel", 18, 240, "One step, one post."),
        SeedAccount("pixelnews", "Pixel News", "pixelnews", "gaming", 4_000, 640_000, "All day, every day. 🎮"),
        SeedAccount(
            "quiet_room", "Quiet Room", "quiet_room", "technology", 30, 75, "by invitation", options={"protected": True}
        ),
        SeedAccount("nothing_yet", "Nothing Yet", "nothing_yet", "technology", 0, 2),
    ),
}

FACEBOOK_PAGES: tuple[SeedAccount, ...] = (
    SeedAccount("maya-page", "Maya's Little Kitchen", "mayaslittlekitchen", "cooking", 110, 19_400, "Home cooking."),
    SeedAccount("supper-club", "Supper Club", "supperclub", "cocina", 14, 320, "Cenas para diez."),
    SeedAccount("jam", "Jam & More", "jamandmore", "cooking", 0, 12, options={"no_username": True}),
    SeedAccount("big-brand", "Big Brand Gaming", "bigbrandgaming", "gaming", 700, 902_000, "News and clips."),
)
