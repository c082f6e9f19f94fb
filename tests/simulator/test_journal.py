from threading import Thread

import pytest

from core.errors import Invalid
from simulator.journal import Journal


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "part.jsonl"


def changes_of(path):
    journal = Journal(path)
    changes = list(journal.replay())
    journal.close()
    return changes


def test_remembers_in_order(path):
    journal = Journal(path)
    for number in range(3):
        journal.append({"n": number, "text": "水\n费"})
    journal.close()

    assert [change["n"] for change in changes_of(path)] == [0, 1, 2]
    assert changes_of(path)[0]["text"] == "水\n费"


@pytest.mark.parametrize("tail", ['{"n": 2', '{"n": 2, "t": "\\u', "\x00\x00\x00", "{", "17\n"])
def test_a_torn_last_line_is_dropped_and_the_next_begins_afresh(path, tail):
    Journal(path).close()
    path.write_text('{"n":1}\n' + tail)

    journal = Journal(path)
    journal.append({"n": 3})
    journal.close()

    assert changes_of(path) == [{"n": 1}, {"n": 3}]


def test_a_last_line_that_lacks_only_its_end_is_kept(path):
    Journal(path).close()
    path.write_text('{"n":1}\n{"n":2}')

    journal = Journal(path)
    journal.append({"n": 3})
    journal.close()

    assert [change["n"] for change in changes_of(path)] == [1, 2, 3]


def test_a_line_damaged_in_the_middle_is_refused(path):
    Journal(path).close()
    path.write_text('{"n":1}\n{"n":\n{"n":3}\n')

    journal = Journal(path)
    with pytest.raises(Invalid, match="line 2"):
        list(journal.replay())
    journal.close()


def test_many_writers_never_mix_their_lines(path):
    journal = Journal(path)

    def write(writer: int) -> None:
        for number in range(200):
            journal.append({"writer": writer, "n": number})

    threads = [Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()

    changes = changes_of(path)
    assert len(changes) == 800
    for writer in range(4):
        assert [c["n"] for c in changes if c["writer"] == writer] == list(range(200))
