"""A PDF as a screen reader has it: PDFium walks its tags and reads what each holds."""

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple

import pypdfium2
from pypdfium2 import raw


class Said(NamedTuple):
    """A leaf of the tree: within which elements, what is said there, on which page."""

    path: tuple[str, ...]
    text: str
    page: int

    @property
    def role(self) -> str:
        return self.path[-1]


def _string(ask: Callable[[Any, int], int]) -> str:
    """Return what PDFium writes as UTF-16 into a buffer of ours."""
    length = ask(None, 0)
    buffer = ctypes.create_string_buffer(length)
    ask(buffer, length)
    return buffer.raw[: max(length - 2, 0)].decode("utf-16-le")


def _texts(page: Any) -> dict[int, str]:
    """Return the text of a page's marked contents, by their ids."""
    texts: dict[int, str] = {}
    reader = page.get_textpage()
    for at in range(raw.FPDFPage_CountObjects(page.raw)):
        one = raw.FPDFPage_GetObject(page.raw, at)
        marked = raw.FPDFPageObj_GetMarkedContentID(one)
        if raw.FPDFPageObj_GetType(one) == raw.FPDF_PAGEOBJ_TEXT:
            said = _string(lambda buffer, n, one=one: raw.FPDFTextObj_GetText(
                one, reader.raw, ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort)), n
            ))  # fmt: skip
            texts[marked] = texts.get(marked, "") + said
    return texts


def unsaid(pdf: bytes) -> list[str]:
    """Return the marks that are neither content nor passed over: there must be none."""
    found = []
    for page in pypdfium2.PdfDocument(pdf):
        for at in range(raw.FPDFPage_CountObjects(page.raw)):
            one = raw.FPDFPage_GetObject(page.raw, at)
            count = raw.FPDFPageObj_CountMarks(one)
            marks = [_mark_name(raw.FPDFPageObj_GetMark(one, k)) for k in range(count)]
            content = raw.FPDFPageObj_GetMarkedContentID(one) >= 0
            if content == ("Artifact" in marks):
                found.append(f"object {at}: {marks}")
    return found


def _mark_name(mark: Any) -> str:
    def ask(buffer: Any, length: int) -> int:
        written = ctypes.c_ulong()
        to = ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort))
        raw.FPDFPageObjMark_GetName(mark, to, length, written)
        return int(written.value)

    return _string(ask)


def read_aloud(pdf: bytes) -> list[Said]:
    """Return what is said, in order."""
    said: list[Said] = []
    for number, page in enumerate(pypdfium2.PdfDocument(pdf)):
        tree, texts = raw.FPDF_StructTree_GetForPage(page.raw), _texts(page)
        for at in range(raw.FPDF_StructTree_CountChildren(tree)):
            child = raw.FPDF_StructTree_GetChildAtIndex(tree, at)
            said += _walk(child, (), texts, number)
        raw.FPDF_StructTree_Close(tree)
    return said


def _walk(element: Any, above: tuple[str, ...], texts: dict[int, str], page: int) -> list[Said]:
    path = (*above, _string(lambda b, n: raw.FPDF_StructElement_GetType(element, b, n)))
    alt = _string(lambda b, n: raw.FPDF_StructElement_GetAltText(element, b, n))
    said: list[Said] = []
    for at in range(raw.FPDF_StructElement_CountChildren(element)):
        marked = raw.FPDF_StructElement_GetChildMarkedContentID(element, at)
        child = raw.FPDF_StructElement_GetChildAtIndex(element, at)
        if marked >= 0:
            said.append(Said(path, alt or texts.get(marked, ""), page))
        elif child:
            said += _walk(child, path, texts, page)
    return said
