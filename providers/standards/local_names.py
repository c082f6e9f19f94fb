"""Names of elements whatever their namespace, which differs from one generation to the next."""

from collections.abc import Collection, Iterator


class LocalNames(Collection[str]):
    """A collection of tags that holds ``{any}entry`` where it was given ``entry``."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)

    def __contains__(self, tag: object) -> bool:
        return isinstance(tag, str) and tag.rpartition("}")[2] in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
