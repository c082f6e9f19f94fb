"""A worker that draws one share and stops just before it puts the volume in its place."""

import sys
import time
from pathlib import Path

from billing.documents import batch_papers
from billing.documents.batch_papers import Press, make_share
from core import db
from tests.conftest import NOW


def main() -> None:
    url, folder, batch_id = sys.argv[1:]
    db.bind(url)
    kept = batch_papers._kept

    def then_wait(*given: object) -> object:
        volume = kept(*given)
        sys.stdout.write("drawn\n")
        sys.stdout.flush()
        time.sleep(600)
        return volume

    batch_papers._kept = then_wait
    press = Press(
        Path(folder), "https://city.example",
        lambda _session, bills: {bill.ref: () for bill in bills}, NOW,
    )  # fmt: skip
    make_share(int(batch_id), 1, press)


if __name__ == "__main__":
    main()
