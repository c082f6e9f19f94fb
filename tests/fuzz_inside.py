"""The process that atheris fuzzes one target of ``tests.fuzz`` in.

python -m tests.fuzz_inside TARGET [OPTION OF LIBFUZZER ...] CORPUS
"""

import sys

import atheris

with atheris.instrument_imports(include=["core", "providers", "payments.gateways"]):
    from tests.fuzz import TARGETS

if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]].try_out)
    atheris.Fuzz()
