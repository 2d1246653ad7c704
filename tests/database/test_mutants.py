"""The list of edited bodies (`make mutants`) names what the functions really say."""

from tests.database.mutants.bodies import EDITS, body_mutants
from tests.databases import Database


def test_every_edit_applies(database: Database) -> None:
    with database.as_owner() as owner:
        mutants = list(body_mutants(owner))
    assert len(mutants) == sum(len(edits) for edits in EDITS.values())
