"""Which chunks are exactly what we hold, found out while their file is still being read.

Nothing of a file may land before its last line is judged, but comparing only looks: a file that is
refused has changed nothing by it. It stops at the first chunk that would write anything, because
what comes after a correction must be compared with what the correction leaves.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import polars as pl

from billing.corrections import Chunk
from billing.files import arrivals
from billing.files.held import held
from billing.files.landing import IN_THE_WAY, LANES, LIGHTLY, Landing
from billing.files.staging import never_spared
from core.db import connection, transaction


class Ahead:
    """Compares chunks, in as many threads as an import has lanes.

    ``known``: how many chunks from the first on we hold to the letter, of those that were waited
    for.
    """

    def __init__(self, landing: Landing) -> None:
        self._landing = landing
        self._pool = ThreadPoolExecutor(LANES, thread_name_prefix="ahead")
        self._differs = False
        self.known = 0

    def close(self) -> None:
        """Look no further, and wait for what is being looked at."""
        self._pool.shutdown(cancel_futures=True)

    def look(self, chunk_no: int, rows: pl.DataFrame) -> Callable[[], bool]:
        """Compare the next chunk when there is time for it.

        Returns:
            What waits for that, and tells whether we hold this chunk and all before it. Chunks are
            to be waited for in their order.
        """
        if self._differs:
            return never_spared
        asked = self._pool.submit(self._is_held, self._landing.chunk(chunk_no, rows))

        def is_known() -> bool:
            if self.known == chunk_no and asked.result():
                self.known += 1
            return self.known > chunk_no

        return is_known

    def _is_held(self, chunk: Chunk) -> bool:
        if self._differs:
            return False
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
