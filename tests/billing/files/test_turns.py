"""Chunks are made ready side by side and committed in the order of the file."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.files.turns import GiveWay, Stopped, Turns

PATIENCE_SECONDS = 10


def work(turns: Turns, met: set[int], done: list[int]) -> None:
    """Do as a lane does: chunks in ``met`` can only be landed alone."""
    while (chunk_no := turns.take()) is not None:
        while True:
            try:
                with turns.opened(chunk_no):
                    if chunk_no in met:
                        break
                    turns.await_turn(chunk_no)
                    done.append(chunk_no)
                    break
            except GiveWay:
                continue
        if chunk_no in met:
            turns.await_alone(chunk_no)
            done.append(chunk_no)
        turns.committed(chunk_no)


@given(chunks=st.integers(0, 30), met=st.sets(st.integers(0, 29)), lanes=st.integers(1, 4))
def test_every_chunk_is_done_once_and_in_order(chunks, met, lanes):
    turns, done = Turns(chunks), []

    with ThreadPoolExecutor(lanes) as pool:
        working = [pool.submit(work, turns, met, done) for _ in range(lanes)]
        for one in working:
            one.result(PATIENCE_SECONDS)

    assert done == list(range(chunks))


def test_nothing_later_is_open_while_a_chunk_is_alone():
    turns = Turns(2)
    assert (turns.take(), turns.take()) == (0, 1)
    later_is_open, gave_way = threading.Event(), threading.Event()

    def later() -> None:
        try:
            with turns.opened(1):
                later_is_open.set()
                turns.await_turn(1)
        except GiveWay:
            gave_way.set()

    thread = threading.Thread(target=later)
    thread.start()
    assert later_is_open.wait(PATIENCE_SECONDS)
    assert not gave_way.is_set()

    turns.await_alone(0)

    assert gave_way.wait(PATIENCE_SECONDS)
    thread.join()


def test_everybody_stops_when_the_import_does():
    turns = Turns(3)
    assert (turns.take(), turns.take()) == (0, 1)

    turns.stop()

    assert turns.take() is None
    with pytest.raises(Stopped):
        turns.await_turn(1)
    assert list(turns.progress()) == []


def test_progress_tells_of_every_chunk_there_is():
    turns = Turns(2)
    for chunk_no in (0, 1):
        assert turns.take() == chunk_no
        turns.await_turn(chunk_no)
        turns.committed(chunk_no)

    assert list(turns.progress()) == [2]
