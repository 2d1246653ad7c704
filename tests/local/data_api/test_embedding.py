"""Embedding related rows, as documented under "Resource Embedding"."""

import pytest

from tests.local.data_api.conftest import Ask

BY_ARTIST = "artists!albums_artist_id_fkey"


@pytest.mark.parametrize(
    ("target", "rows"),
    [
        # to-one: by table and hint (constraint, column, column of the other end), by constraint, by column
        (f"albums?select=id,{BY_ARTIST}(name)&id=eq.1", [{"id": 1, "artists": {"name": "Ada Quartet"}}]),
        ("albums?select=id,artists!artist_id(name)&id=eq.1", [{"id": 1, "artists": {"name": "Ada Quartet"}}]),
        ("albums?select=albums_producer(name)&id=eq.1", [{"albums_producer": {"name": "The Loops"}}]),
        ("albums?select=p:producer_id(name)&id=eq.1", [{"p": {"name": "The Loops"}}]),
        ("artists?select=labels(name)&id=eq.3", [{"labels": None}]),
        # to-many, nested, with its own filters, order and limits
        (
            "labels?select=name,artists(name,albums!artist_id(title,tracks(title)))&id=eq.2",
            [
                {
                    "name": "Tin Can",
                    "artists": [
                        {
                            "name": "The Loops",
                            "albums": [{"title": "Louder", "tracks": [{"title": "Bang"}, {"title": "Bang Bang"}]}],
                        }
                    ],
                }
            ],
        ),
        ("labels?select=id,artists(id)&id=eq.3", [{"id": 3, "artists": []}]),
        ("albums?select=id,tracks(number)&id=eq.1&tracks.seconds=gt.190", [{"id": 1, "tracks": [{"number": 1}]}]),
        (
            "albums?select=id,tracks(number)&id=eq.1&tracks.or=(number.eq.2,title.eq.x)",
            [{"id": 1, "tracks": [{"number": 2}]}],
        ),
        (
            "albums?select=id,tracks(number)&id=eq.1&tracks.order=number.desc",
            [{"id": 1, "tracks": [{"number": 2}, {"number": 1}]}],
        ),
        (
            "albums?select=id,tracks(number)&id=eq.1&tracks.order=number&tracks.limit=1&tracks.offset=1",
            [{"id": 1, "tracks": [{"number": 2}]}],
        ),
        ("albums?select=id,songs:tracks(number)&id=eq.1&songs.number=eq.2", [{"id": 1, "songs": [{"number": 2}]}]),
        ("albums?select=id,songs:tracks(number)&id=eq.1&tracks.number=eq.2", [{"id": 1, "songs": [{"number": 2}]}]),
        (
            "artists?select=id,albums!artist_id(id,tracks(number))&id=eq.2&albums.tracks.number=eq.2",
            [{"id": 2, "albums": [{"id": 3, "tracks": [{"number": 2}]}]}],
        ),
        # many-to-many, both ways, by junction
        ("albums?select=tags(word)&id=eq.1&tags.order=id", [{"tags": [{"word": "vinyl"}, {"word": "rare"}]}]),
        ("tags?select=word,albums(title)&id=eq.2", [{"word": "rare", "albums": [{"title": "Cool Nights"}]}]),
        ("tags?select=albums!album_tags(id)&id=eq.3", [{"albums": [{"id": 3}]}]),
        # one-to-one, from both sides
        ("albums?select=notes(body)&id=eq.1", [{"notes": {"body": "A classic"}}]),
        ("notes?select=albums(title)&album_id=eq.1", [{"albums": {"title": "Cool Nights"}}]),
        # self
        ("staff?select=name,boss_id(name)&id=eq.2", [{"name": "Bob", "boss_id": {"name": "Ann"}}]),
        ("staff?select=name,reports:staff(name)&id=eq.2", [{"name": "Bob", "reports": [{"name": "Dee"}]}]),
        ("staff?select=reports:staff!boss_id(name)&id=eq.2", [{"reports": [{"name": "Dee"}]}]),
        # computed
        ("albums?select=next_album(id)&id=eq.1", [{"next_album": {"id": 2}}]),
        (
            "artists?select=album_by_computed(id)&id=eq.1&album_by_computed.id=eq.2",
            [{"album_by_computed": [{"id": 2}]}],
        ),
        # views, of which the keys are known through the tables that they show
        ("album_list?select=id,artists(name)&id=eq.3", [{"id": 3, "artists": {"name": "The Loops"}}]),
        ("artists?select=album_list(id)&id=eq.2", [{"album_list": [{"id": 3}]}]),
        (
            "cheap?select=title,artists(id),tracks(number)&album=eq.2",
            [{"title": "Warm Days", "artists": {"id": 1}, "tracks": [{"number": 1}]}],
        ),
        (
            "album_counts?select=albums,artists(name)&artist_id=eq.1",
            [{"albums": 2, "artists": {"name": "Ada Quartet"}}],
        ),
        # inner joins filter the parent
        (
            f"albums?select=id,{BY_ARTIST}!inner(name)&artists.name=like.T*",
            [{"id": 3, "artists": {"name": "The Loops"}}],
        ),
        ("labels?select=id,artists!inner()&artists.name=like.A*", [{"id": 1}]),
        ("tags?select=id,albums!inner(id)&albums.stock=gt.5", [{"id": 3, "albums": [{"id": 3}]}]),
        # without any selected column: joined, not shown
        ("albums?select=id,tracks()&id=eq.1", [{"id": 1}]),
        ("albums?select=id,tracks(albums())&id=eq.1", [{"id": 1}]),
        # whether something is there
        ("albums?select=id,notes()&notes=not.is.null&order=id", [{"id": 1}, {"id": 3}]),
        ("albums?select=id,tracks()&tracks=is.null", [{"id": 4}]),
        (
            "albums?select=id,tracks(),notes()&or=(tracks.is.null,notes.not.is.null)&order=id",
            [{"id": 1}, {"id": 3}, {"id": 4}],
        ),
        # spread, to-one and to-many
        (
            "albums?select=id,...artists!artist_id(artist:name,...labels(label:name))&id=eq.1",
            [{"id": 1, "artist": "Ada Quartet", "label": "Blue Room"}],
        ),
        ("notes?select=...albums(*)&album_id=eq.3&order=albums(id)", None),
        (
            "artists?select=name,...albums!artist_id(titles:title)&albums.order=title.desc&id=eq.1",
            [{"name": "Ada Quartet", "titles": ["Warm Days", "Cool Nights"]}],
        ),
        ("albums?select=id,...tags(words:word)&id=eq.4", [{"id": 4, "words": []}]),
        (
            "albums?select=id,...tracks!inner(numbers:number)&order=id&tracks.seconds=gt.200",
            [{"id": 2, "numbers": [1]}],
        ),
        (
            "artists?select=...albums!artist_id(id,...tracks(t:title))&id=eq.2",
            [{"id": [3], "t": [["Bang", "Bang Bang"]]}],
        ),
        # ordered by a related row
        (
            f"albums?select=id,{BY_ARTIST}(name)&order=artists(name).desc&limit=1",
            [{"id": 4, "artists": {"name": "Zoë & Søn"}}],
        ),
        ("albums?select=id,a:artists!artist_id()&order=a(born).nullsfirst,id&limit=1", [{"id": 4}]),
        (
            "tracks?select=title,albums(details)&order=albums(details->discs).desc.nullslast&limit=1",
            [{"title": "Sun", "albums": {"details": {"discs": 2}}}],
        ),
    ],
)
def test_embedding(ask: Ask, target: str, rows: list[dict[str, object]] | None) -> None:
    answer = ask(f"GET /{target}")
    assert answer.status_code == 200, answer.text
    if rows is not None:
        assert answer.json() == rows


@pytest.mark.parametrize(
    ("target", "total"),
    [
        ("albums?select=id,notes()&notes=is.null", 2),
        ("albums?select=id,tracks!inner(number)&tracks.number=eq.2", 2),
        ("artists?select=id,albums!artist_id!inner(id,tracks!inner(number))&albums.tracks.number=eq.2", 2),
        ("albums?select=id,notes(),tracks()&or=(notes.is.null,tracks.is.null)", 2),
    ],
)
def test_inner_joins_count(ask: Ask, target: str, total: int) -> None:
    answer = ask(f"GET /{target}&limit=1", Prefer="count=exact")
    assert (answer.status_code, answer.headers["Content-Range"]) == (206, f"0-0/{total}")


def test_what_is_filtered_or_ordered_is_shown_first(ask: Ask) -> None:
    target = "GET /albums?select=id,artists!artist_id(id),notes(body),tags(id)&id=eq.3"
    assert list(ask(target).json()[0]) == ["id", "artists", "notes", "tags"]
    assert list(ask(target + "&tags.id=gt.0").json()[0]) == ["id", "tags", "artists", "notes"]
    assert list(ask(target + "&tags.id=gt.0&notes.order=body").json()[0]) == ["id", "notes", "tags", "artists"]


def test_embedding_in_what_a_mutation_returns(ask: Ask) -> None:
    prefer = "return=representation"
    album = {"title": "New", "artist_id": 2}
    created = ask("POST /albums?select=title,artists!artist_id(name)", json=album, Prefer=prefer)
    assert created.json() == [{"title": "New", "artists": {"name": "The Loops"}}]
    changed = ask(
        "PATCH /albums?select=stock,tracks(number)&id=eq.1&tracks.number=eq.2", json={"stock": 9}, Prefer=prefer
    )
    assert changed.json() == [{"stock": 9, "tracks": [{"number": 2}]}]
    deleted = ask("DELETE /album_tags?select=tags(word)&album_id=eq.3", Prefer=prefer)
    assert deleted.json() == [{"tags": {"word": "new"}}]
    computed = ask("PATCH /albums?select=next_album(id),shouted&id=eq.1", json={"stock": 9}, Prefer=prefer)
    assert computed.json() == [{"next_album": {"id": 2}, "shouted": "COOL NIGHTS"}]
    ordered = ask("PATCH /albums?select=id&id=gt.1&order=id.desc", json={"stock": 9}, Prefer=prefer)
    assert ordered.json() == [{"id": 4}, {"id": 3}, {"id": 2}]


def test_embedding_in_what_a_function_returns(ask: Ask) -> None:
    assert ask("GET /rpc/albums_by?artist=1&select=title,tracks(number)&order=title&limit=1").json() == [
        {"title": "Cool Nights", "tracks": [{"number": 1}, {"number": 2}]}
    ]
    assert ask("GET /rpc/one_album?album=3&select=artists!artist_id(name)").json() == {"artists": {"name": "The Loops"}}
    assert ask("GET /rpc/albums_by?artist=1&select=id,notes!inner()&stock=gt.0").json() == [{"id": 1}]


def test_an_ambiguous_embedding_is_listed(ask: Ask) -> None:
    answer = ask("GET /albums?select=artists(*)")
    assert answer.status_code == 300
    assert answer.json() == {
        "code": "PGRST201",
        "details": [
            {
                "cardinality": "many-to-one",
                "embedding": "albums with artists",
                "relationship": "albums_artist_id_fkey using albums(artist_id) and artists(id)",
            },
            {
                "cardinality": "many-to-one",
                "embedding": "albums with artists",
                "relationship": "albums_producer using albums(producer_id) and artists(id)",
            },
        ],
        "hint": "Try changing 'artists' to one of the following: 'artists!albums_artist_id_fkey',"
        " 'artists!albums_producer'. Find the desired relationship in the 'details' key.",
        "message": "Could not embed because more than one relationship was found for 'albums' and 'artists'",
    }


@pytest.mark.parametrize(
    ("target", "code", "message", "details", "hint"),
    [
        (
            "albums?select=tagz(*)",
            "PGRST200",
            "Could not find a relationship between 'albums' and 'tagz' in the schema cache",
            (
                "Searched for a foreign key relationship between 'albums' and 'tagz' in the schema 'shop',"
                " but no matches were found."
            ),
            "Perhaps you meant 'tags' instead of 'tagz'.",
        ),
        (
            "albums?select=artists!nothing(*)",
            "PGRST200",
            "Could not find a relationship between 'albums' and 'artists' in the schema cache",
            (
                "Searched for a foreign key relationship between 'albums' and 'artists' using the hint 'nothing'"
                " in the schema 'shop', but no matches were found."
            ),
            None,
        ),
        (
            "albums?select=secrets(*)",
            "PGRST200",
            "Could not find a relationship between 'albums' and 'secrets' in the schema cache",
            (
                "Searched for a foreign key relationship between 'albums' and 'secrets' in the schema 'shop',"
                " but no matches were found."
            ),
            None,
        ),
        (
            "albums?select=id&tracks.number=eq.1",
            "PGRST108",
            "'tracks' is not an embedded resource in this request",
            None,
            "Verify that 'tracks' is included in the 'select' query parameter.",
        ),
        (
            "albums?select=id,tracks(number)&order=tracks(number)",
            "PGRST118",
            "A related order on 'tracks' is not possible",
            "'albums' and 'tracks' do not form a many-to-one or one-to-one relationship",
            None,
        ),
    ],
)
def test_embeddings_that_cannot_be(
    ask: Ask, target: str, code: str, message: str, details: str | None, hint: str | None
) -> None:
    answer = ask(f"GET /{target}")
    assert answer.status_code == 400
    assert answer.json() == {"code": code, "message": message, "details": details, "hint": hint}
