"""A run of any leg that is killed leaves nothing half done, and the next one does all of it."""

import pytest

from tests.conftest import empty_city
from tests.kill_runs import EACH, Story, differences, kill_everywhere, spoil
from tests.planted import LEGS

ROWS = 120


@pytest.mark.parametrize("leg", LEGS, ids=lambda leg: leg.leg.value)
def test_killed_at_any_statement_and_started_again(city, leg, tmp_path):
    path = tmp_path / "told.csv"
    spoil(city, leg, path, rows=ROWS, seed=1)
    story = Story(city, leg, path)
    story.let_through()
    wanted = story.kept()
    empty_city()
    spoil(city, leg, path, rows=ROWS, seed=1)
    before = story.kept()

    kills = kill_everywhere(story, before, wanted, step=17)

    assert kills > EACH
    assert differences(story.kept(), wanted) == []
