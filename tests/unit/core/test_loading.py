"""The collector rests while modules load, and is left as it was found."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from functions.core.loading import without_collector


@pytest.fixture(params=[True, False], ids=["running", "resting"])
def is_running(request: pytest.FixtureRequest) -> Iterator[bool]:
    before = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if before else gc.disable)()


def test_it_is_left_as_it_was(is_running: bool) -> None:
    with without_collector():
        assert not gc.isenabled()
    assert gc.isenabled() == is_running


def test_a_failed_import_leaves_it_so_too(is_running: bool) -> None:
    with pytest.raises(ImportError), without_collector():
        raise ImportError
    assert gc.isenabled() == is_running
