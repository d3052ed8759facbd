# SPDX-License-Identifier: MIT
"""Operations at random on two workers, against the model of support/model.py.

Each run prints its seed. MEMOPROXY_MODEL_SECONDS makes it longer, MEMOPROXY_MODEL_SEED begins at that seed,
MEMOPROXY_MODEL_OPERATIONS is the length of one run. What fails is shrunk and kept in model_cases, and run again each time.
"""
import os
import pathlib
import random
import time

import pytest

from conftest import need_binary
from support import model
from support.proxy import SLOW

pytestmark = pytest.mark.long

CASES = pathlib.Path(__file__).parent / "model_cases"
SECONDS = float(os.environ.get("MEMOPROXY_MODEL_SECONDS", "10" if SLOW < 2 else "12"))
OPERATIONS = int(os.environ.get("MEMOPROXY_MODEL_OPERATIONS", "1500"))
SHRINK_S = float(os.environ.get("MEMOPROXY_MODEL_SHRINK_SECONDS", "60"))


def first_seed():
    return int(os.environ.get("MEMOPROXY_MODEL_SEED") or random.SystemRandom().randrange(10**9))


@pytest.mark.parametrize("case", sorted(p.name for p in CASES.glob("*.json")))
def test_what_once_failed(case):
    need_binary()
    problem = model.replay(CASES / case)
    assert not problem, problem


def test_no_response_that_the_model_forbids():
    need_binary()
    seed, end = first_seed(), time.monotonic() + SECONDS
    runs = 0
    while runs == 0 or time.monotonic() < end:
        operations = model.make_operations(seed + runs, OPERATIONS)
        run = model.Run(operations)
        problem = run.go()
        print(f"seed {seed + runs}: {run.site.count} fetches, {run.summary()}")
        if problem:
            fewer = model.shrink(operations, time.monotonic() + SHRINK_S)
            path = model.save(CASES, seed + runs, fewer, problem)
            pytest.fail(f"seed {seed + runs}, {len(fewer)} operations kept in {path}\n{problem}", pytrace=False)
        runs += 1


def test_the_model_forbids_what_a_broken_proxy_would_do():
    """The judge itself: each rule refuses what it is for."""
    for name, problem in model.self_check():
        assert problem, f"not refused: {name}"
