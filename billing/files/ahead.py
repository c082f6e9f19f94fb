"""Which chunks are exactly what we hold, found out while their file is still being read.

Nothing of a file may land before its last line is judged, but comparing only looks: a file that is
refused has changed nothing by it. It stops at the first chunk that would write anything, because
what comes after a correction must be compared with what the correction leaves.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from itertools import takewhile

from billing.files import arrivals
from billing.files.held import held
from billing.files.landing import IN_THE_WAY, LANES, LIGHTLY, Landing
from core.db import connection, transaction


class Ahead:
    """Compares the chunks it is told of, in as many threads as an import has lanes."""

    def __init__(self, landing: Landing) -> None:
        self._landing = landing
        self._pool = ThreadPoolExecutor(LANES, thread_name_prefix="ahead")
        self._asked: list[Future[bool]] = []
        self._differs = False

    def close(self) -> None:
        """Look no further, and wait for what is being looked at."""
        self._pool.shutdown(cancel_futures=True)

    def look(self, chunk_no: int) -> None:
        """Compare the next chunk, which is on disk now, when there is time for it."""
        if not self._differs:
            self._asked.append(self._pool.submit(self._is_held, chunk_no))

    def known(self) -> int:
        """Look no further; returns how many chunks from the first on we hold to the letter."""
        self.close()
        looked = takewhile(lambda one: not one.cancelled(), self._asked)
        return sum(1 for _ in takewhile(lambda one: one.result(), looked))

    def _is_held(self, chunk_no: int) -> bool:
        if self._differs:
            return False
        chunk = self._landing.chunk(chunk_no)
        if arrivals.may_be_new(chunk) and not chunk.rows["reading"].count():
            try:
                with connection() as own, transaction(on=own) as session:
                    session.execute(LIGHTLY)
                    same = held(session, chunk)
            except IN_THE_WAY:  # a month is being made, say: the lanes will see
                same = None
            if same is not None and not same.renamed:
                return True
        self._differs = True
        return False
