# SPDX-License-Identifier: MIT
"""Small faults, put into the code one at a time: do the tests notice?

The tables beside this file say of each fault in which file it is, a piece of text that is there once, what stands in its
place, what a user would lose, and which tests should notice. A fault that no test notices is a test that is missing. Works
on a copy of the tree under build/mutants; never touches the sources themselves.
"""
import argparse
import collections
import dataclasses
import os
import pathlib
import random
import shlex
import signal
import subprocess
import sys
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLES = sorted((ROOT / "tests/mutants").glob("*.toml"))
TREE = ROOT / "build/mutants/tree"
LOGS = ROOT / "build/mutants/logs"
MODE = "debug"  # builds quickest
TEST_S = 60
NOTICED, SURVIVED, BROKEN, STALE = "noticed", "SURVIVED", "does not build", "stale"


@dataclasses.dataclass
class Mutant:
    folder: str  # its table's name
    file: str
    find: str
    replace: str
    lost: str
    tests: list
    number: int

    @property
    def name(self):
        return f"{self.folder}-{self.number:03}"

    def problem(self):
        """Why it can't be applied; None when it can."""
        path = ROOT / self.file
        if not path.is_file():
            return "no such file"
        n = path.read_text().count(self.find)
        if n != 1:
            return f"its text is there {n} times"
        if self.find == self.replace:
            return "it changes nothing"
        for test in self.tests:
            if not source_of(test).is_file():
                return f"no test {test}"
        return None if self.tests else "no test named"


def source_of(test):
    where = test.split()[0]
    return ROOT / "tests" / (where if where.startswith("system/") else where + ".c")


def load():
    out = []
    for path in TABLES:
        for i, entry in enumerate(tomllib.loads(path.read_text())["mutant"]):
            out.append(Mutant(path.stem, entry["file"], entry["find"], entry["replace"], entry["lost"], entry["tests"],
                              i + 1))
    return out


# ---- The copy ----

def sources():
    try:
        names = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, check=True,
                               capture_output=True).stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):  # an unpacked archive
        names = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*") if p.is_file()]
    return [n for n in names if n and not n.startswith(("build/", "tests/support/node/")) and (ROOT / n).is_file()]


def put(path, data):
    """Only what differs, so that make has little to do."""
    if not path.is_file() or path.read_bytes() != data:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def copy_tree():
    wanted = set(sources())
    for name in wanted:
        target = TREE / name
        put(target, (ROOT / name).read_bytes())
        target.chmod((ROOT / name).stat().st_mode)
    for path in TREE.rglob("*"):
        name = str(path.relative_to(TREE))
        if path.is_file() and name not in wanted and not name.startswith("build/"):
            path.unlink()


# ---- Building and testing ----

def run(args, log, limit_s, env=None):
    """The exit status; None when it took too long. Children of its own go with it."""
    with open(log, "ab") as out:
        child = subprocess.Popen(args, cwd=TREE, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env,
                                 start_new_session=True)
        try:
            return child.wait(limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            return None


def target_of(test):
    """What make has to build for it."""
    return f"build/{MODE}/memoproxy" if test.startswith("system/") else f"build/{MODE}/tests/{test}"


def build(tests, log):
    targets = sorted({target_of(t) for t in tests})
    return run(["make", "-s", f"-j{os.cpu_count()}", f"MODE={MODE}", "BUILD=build", *targets], log, 900) == 0


def passes(test, log):
    if not test.startswith("system/"):
        return run([target_of(test)], log, TEST_S) == 0
    where, *rest = shlex.split(test)
    env = dict(os.environ, MEMOPROXY_BIN=str(TREE / target_of(test)), PYTHONDONTWRITEBYTECODE="1",
               MEMOPROXY_TEST_SLOWNESS="2")
    return run([sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", f"tests/{where}", *rest], log,
               5 * TEST_S, env) == 0


def unit_tests_of(mutant):
    top = mutant.file.split("/")[0]
    return sorted(str(p.relative_to(ROOT / "tests").with_suffix(""))
                  for p in (ROOT / "tests/unit" / top).rglob("test_*.c"))


def first_to_notice(tests, log):
    return next((t for t in tests if not passes(t, log)), None)


def judge(mutant, is_narrow):
    """What became of it, and which test noticed."""
    log = LOGS / f"{mutant.name}.log"
    log.write_bytes(b"")
    more = [] if is_narrow else [t for t in unit_tests_of(mutant) if t not in mutant.tests]
    path = TREE / mutant.file
    whole = path.read_text()
    try:
        path.write_text(whole.replace(mutant.find, mutant.replace))
        if not build(mutant.tests, log):
            return BROKEN, ""
        by = first_to_notice(mutant.tests, log)
        if not by and more and build(more, log):
            by = first_to_notice(more, log)
        return (NOTICED, by) if by else (SURVIVED, "")
    finally:
        path.write_text(whole)


def check_baseline(mutants):
    """A test that fails without a fault notices nothing."""
    tests = sorted({t for m in mutants for t in m.tests})
    log = LOGS / "baseline.log"
    log.write_bytes(b"")
    if not build(tests, log):
        sys.exit(f"mutants: the tree does not build: {log}")
    bad = [t for t in tests if not passes(t, log)]
    if bad:
        sys.exit(f"mutants: fails without any change: {', '.join(bad)}: {log}")


# ---- Telling ----

def summary(results):
    count = collections.defaultdict(collections.Counter)
    for mutant, outcome in results:
        count[mutant.folder][outcome] += 1
    total = collections.Counter()
    for folder, c in sorted(count.items()):
        total += c
        print(f"{folder:10} {c[NOTICED]:4} of {c.total():4} noticed")
    print(f"{'all':10} {total[NOTICED]:4} of {total.total():4} noticed")
    return total


def parse():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--sample", type=int, default=0, help="so many of them, chosen at random")
    p.add_argument("--seed", type=int, default=None, help="which sample")
    p.add_argument("--only", default="", help="those whose file, name or loss has this in it")
    p.add_argument("--check", action="store_true", help="only say which can't be applied any more")
    p.add_argument("--narrow", action="store_true", help="the named tests only")
    return p.parse_args()


def choose(mutants, args):
    chosen = [m for m in mutants if args.only in f"{m.file} {m.name} {m.lost}"]
    if args.sample and args.sample < len(chosen):
        seed = args.seed if args.seed is not None else random.randrange(1 << 30)
        print(f"mutants: {args.sample} of {len(chosen)}, seed {seed}")
        chosen = random.Random(seed).sample(chosen, args.sample)
    return chosen


def main():
    args = parse()
    mutants = load()
    stale = [(m, m.problem()) for m in mutants if m.problem()]
    for m, why in stale:
        print(f"{m.name} {m.file}: {why}: {m.find.strip().splitlines()[0] if m.find.strip() else '(nothing)'}")
    if args.check:
        print(f"mutants: {len(mutants) - len(stale)} of {len(mutants)} can be applied")
        return 1 if stale else 0
    chosen = choose([m for m in mutants if not m.problem()], args)
    LOGS.mkdir(parents=True, exist_ok=True)
    copy_tree()
    check_baseline(chosen)
    results = []
    for m in chosen:
        began = time.monotonic()
        outcome, by = judge(m, args.narrow)
        results.append((m, outcome))
        print(f"{outcome:9} {m.name:12} {m.file:26} {time.monotonic() - began:5.1f} s  {by or m.lost}", flush=True)
    total = summary(results)
    return 0 if total[NOTICED] * 10 >= total.total() * 9 and not total[BROKEN] else 1


if __name__ == "__main__":
    sys.exit(main())
