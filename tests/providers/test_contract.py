"""Every format and profile keeps one contract."""

import pytest

from tests.providers import samples_mapped, samples_text
from tests.providers.contract import SAMPLES, BillFileContract, over_samples

REGISTERED = (samples_mapped, samples_text)  # importing a module of samples adds its samples


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    over_samples(metafunc, SAMPLES)


class TestEveryFormat(BillFileContract):
    pass
