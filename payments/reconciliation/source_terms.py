"""What is agreed with each source, as SQL reads it; what is not said is as usual.

The edges say once, at the start of a process, what the city has agreed (``agree``).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from core.settings import SourceTerms

Sources = Mapping[str, SourceTerms]
USUAL = SourceTerms()
_said: dict[str, SourceTerms] = {}
AGREED: Sources = MappingProxyType(_said)


def agree(sources: Sources) -> None:
    """Have this process reconcile by these terms from now on."""
    _said.clear()
    _said.update(sources)


# One row for each source whose terms are said; whoever joins it falls back on ``usual_…``.
SAID = """
    SELECT * FROM unnest(
        CAST(:sources AS text[]), CAST(:withins AS int[]), CAST(:lates AS int[]),
        CAST(:tolerances AS int[]), CAST(:file_days AS int[]), CAST(:cut_offs AS time[]))
        AS t (source, within_days, late_after_days, tolerance_fen, file_days, cut_off)
"""


def terms_values(sources: Sources) -> dict[str, Any]:
    """Return the values of ``SAID``, and what holds for every other source."""
    said = list(sources.values())
    return {
        "sources": list(sources),
        "withins": [one.within_days for one in said],
        "lates": [one.late_after_days for one in said],
        "tolerances": [one.tolerance_fen for one in said],
        "file_days": [one.file_days for one in said],
        "cut_offs": [one.cut_off for one in said],
        "within_days": USUAL.within_days, "late_after_days": USUAL.late_after_days,
        "usual_file_days": USUAL.file_days, "usual_cut_off": USUAL.cut_off,
    }  # fmt: skip


def fee_values(sources: Sources, source: str) -> dict[str, int | None]:
    """Return what is agreed of one source's fees; None: nothing is, and they are not checked."""
    terms = sources.get(source, USUAL)
    return {
        "fixed_fen": terms.fee.fixed_fen if terms.fee else None,
        "rate_ppm": terms.fee.rate_ppm if terms.fee else None,
        "fee_tolerance_fen": terms.tolerance_fen,
    }
