"""The client contract, over the simulator's four companies as processes of their own."""

from collections.abc import Iterator

import pytest

from core.errors import UpstreamUnavailable
from providers.base import UtilityClient
from tests.providers.clients.companies import PATHS, FarCompany, client_of, running_company
from tests.providers.clients.contract import UtilityClientContract


@pytest.fixture(scope="module", params=PATHS)
def far(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FarCompany]:
    folder = tmp_path_factory.mktemp(request.param)
    with running_company(
        request.param, folder, "--slow-ms", "3000", "--forget-ms", "1500"
    ) as company:
        yield company


@pytest.fixture
def client(far: FarCompany) -> Iterator[UtilityClient]:
    made = far.make_client()
    yield made
    made.close()


class TestTheFourCompanies(UtilityClientContract):
    def test_another_secret_tells_us_nothing(self, far: FarCompany):
        stranger = client_of(far.code, far.url + PATHS[far.code], "guessed")

        with pytest.raises(UpstreamUnavailable, match="401"):
            stranger.fetch(far.unknown_account)
        stranger.close()
