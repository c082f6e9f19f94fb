"""The far side that gateways and utility clients are held against."""

from tests.simulator.conftest import shop, simulator

__all__ = ["shop", "simulator"]
