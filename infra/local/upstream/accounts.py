"""The accounts of one platform: seeded ones, and those that tests make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.local.upstream.items import Catalogue, Mix
from infra.local.upstream.seed import SeedAccount

DAY_SECONDS = 86_400
# An account's history spans about three years, with at least this much between two items.
SPAN_SECONDS = 1_100 * DAY_SECONDS
LONGEST_SPACING_SECONDS = 6 * DAY_SECONDS


@dataclass(slots=True)
class Account:
    """`number` identifies it in every identifier that the platform derives."""

    number: int
    slug: str
    email: str
    name: str
    handle: str
    description: str
    niche: str
    followers: int
    following: int
    catalogue: Catalogue
    options: dict[str, Any] = field(default_factory=dict)

    def describe(self) -> dict[str, object]:
        shown = (
            "slug",
            "email",
            "name",
            "handle",
            "description",
            "niche",
            "followers",
            "following",
            "options",
        )
        return {**{name: getattr(self, name) for name in shown}, "size": len(self.catalogue.live())}


EDITABLE = ("email", "name", "handle", "description", "followers", "following")


class Accounts:
    def __init__(self, platform: str, mix: Mix, seeds: tuple[SeedAccount, ...]) -> None:
        self._platform = platform
        self._mix = mix
        self._by_slug: dict[str, Account] = {}
        self._by_number: list[Account] = []
        for seed in seeds:
            self.add(seed)

    def __iter__(self) -> Iterator[Account]:
        return iter(self._by_number)

    @property
    def default(self) -> Account:
        return self._by_number[0]

    def get(self, slug: str) -> Account | None:
        """By slug or e-mail address."""
        return self._by_slug.get(slug) or next((a for a in self._by_number if a.email == slug), None)

    def at(self, number: int) -> Account | None:
        return self._by_number[number] if 0 <= number < len(self._by_number) else None

    def put(self, fields: Mapping[str, Any]) -> Account:
        """Makes the account `slug` or changes it; ValueError for fields that do not exist, or a new size
        for an old one.
        """
        slug = str(fields["slug"])
        given = {name: value for name, value in fields.items() if name != "slug"}
        options = dict(given.pop("options", {}))
        account = self._by_slug.get(slug)
        if account is None:
            account = self.add(
                SeedAccount(
                    slug,
                    str(given.pop("name", slug.replace("-", " ").title())),
                    str(given.pop("handle", slug.replace("-", "_"))),
                    str(given.pop("niche", "cooking")),
                    int(given.pop("size", 20)),
                    int(given.pop("followers", 100)),
                )
            )
        unknown = sorted(set(given) - set(EDITABLE))
        if unknown:
            raise ValueError(f"{unknown} cannot be set on the account {slug}; {list(EDITABLE)} and options can")
        for name, value in given.items():
            setattr(account, name, value)
        account.options.update(options)
        return account

    def add(self, seed: SeedAccount) -> Account:
        """Makes the account that a seed describes."""
        spacing = min(LONGEST_SPACING_SECONDS, SPAN_SECONDS / max(seed.size, 1))
        mix = seed.options.get("mix", self._mix)
        account = Account(
            number=len(self._by_number),
            slug=seed.slug,
            email=seed.email,
            name=seed.name,
            handle=seed.handle,
            description=seed.description,
            niche=seed.niche,
            followers=seed.followers,
            following=seed.following,
            catalogue=Catalogue(f"{self._platform}/{seed.slug}", seed.size, seed.niche, mix, spacing),
            options=dict(seed.options),
        )
        self._by_slug[seed.slug] = account
        self._by_number.append(account)
        return account
