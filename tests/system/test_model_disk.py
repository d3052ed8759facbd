# SPDX-License-Identifier: MIT
"""Operations at random on both tiers and over restarts and crashes, against the model (support/model_disk.py).

Seeds, lengths and kept cases as in test_model.py; the cases are in model_cases_disk.
"""
import pathlib
import time

import pytest

from conftest import need_binary
from support import model, model_disk
from test_model import OPERATIONS, SECONDS, SHRINK_S, first_seed

pytestmark = [pytest.mark.threads, pytest.mark.long]

CASES = pathlib.Path(__file__).parent / "model_cases_disk"


@pytest.mark.parametrize("case", sorted(p.name for p in CASES.glob("*.json")))
def test_what_once_failed(case):
    need_binary()
    problem = model.replay(CASES / case, make=model_disk.Run)
    assert not problem, problem


def test_no_response_that_the_model_forbids():
    need_binary()
    seed, end = first_seed(), time.monotonic() + SECONDS
    runs, sums = 0, dict.fromkeys(model_disk.SUMMED, 0)
    while runs == 0 or time.monotonic() < end:
        operations = model_disk.make_operations(seed + runs, OPERATIONS)
        run = model_disk.Run(operations)
        problem = run.go()
        print(f"seed {seed + runs}: {run.site.count} fetches, {run.summary()}")
        if problem:
            fewer = model.shrink(operations, time.monotonic() + SHRINK_S, make=model_disk.Run)
            path = model.save(CASES, seed + runs, fewer, problem)
            pytest.fail(f"seed {seed + runs}, {len(fewer)} operations kept in {path}\n{problem}", pytrace=False)
        sums = {key: n + run.sums[key] for key, n in sums.items()}
        runs += 1
    assert sums["hits"] and sums["reclaimed_segments"] and sums["recovered_objects"], "the disk tier had nothing to do"
