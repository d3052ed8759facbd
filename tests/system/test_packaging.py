# SPDX-License-Identifier: MIT
"""What is installed beside the program: manual pages that name every key, signal and endpoint, and systemd's units."""
import re
import shutil
import subprocess

import pytest

from support.proxy import ROOT, binary, sanitized_environment

from conftest import need_binary


def keys():
    text = "".join((ROOT / name).read_text() for name in ("config/options.def", "cache/policy/rules.def"))
    return re.findall(r'^(?:OPTION\((\w+), |RULE\()"([^"]+)"', text, re.M)


@pytest.fixture(scope="module")
def ini_page():
    need_binary()
    done = subprocess.run([ROOT / "packaging" / "man-ini.sh", binary()], capture_output=True, text=True, check=True,
                          env=sanitized_environment())
    return done.stdout


def rendered(path_or_text, tmp_path):
    if not shutil.which("man"):
        pytest.skip("man is not installed")
    path = tmp_path / "page"
    path.write_text(path_or_text)
    done = subprocess.run(["man", "--warnings", "-P", "cat", "-l", str(path)], capture_output=True, text=True, check=True,
                          env={"MANWIDTH": "100", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"})
    assert done.stderr == "", done.stderr
    return re.sub(r".\x08|\x1b\[\d+m", "", done.stdout)


def test_every_key_is_in_the_page_with_its_values(ini_page):
    assert len(keys()) > 90
    for section, key in keys():
        assert re.search(rf"^\.TP\n\.B {re.escape(key)}\n[^\n]+; (default [^\n]+|empty by default)\.\n\.br\n\S", ini_page, re.M), \
            f"{section} {key}"


def test_the_pages_are_well_formed(ini_page, tmp_path):
    text = rendered(ini_page, tmp_path)
    assert "default 127.0.0.1:8080." in text and "[defaults]" in text
    text = rendered((ROOT / "man" / "memoproxy.8").read_text(), tmp_path)
    assert "SIGUSR2" in text


def test_the_program_s_page_names_all_signals_and_endpoints():
    page = (ROOT / "man" / "memoproxy.8").read_text().replace("\\-", "-")
    program = "".join(p.read_text() for p in (ROOT / "proxy").rglob("*.c"))
    signals = set(re.findall(r"\{(SIG\w+), \w+\}", program))
    paths = set(re.findall(r'^\t\{"(/[\w.]+)", HTTP_', program, re.M))
    assert len(signals) >= 5 and len(paths) >= 9, (signals, paths)
    for name in signals | paths:
        assert name in page, name
    options = subprocess.run([binary(), "-h"], capture_output=True, text=True, check=True, env=sanitized_environment()).stdout
    for option in re.findall(r"--[a-z-]+", options):
        assert option in page, option


def test_units_are_sound(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    for unit in ("memoproxy.service", "memoproxy.socket"):
        text = (ROOT / "packaging" / unit).read_text()
        (tmp_path / unit).write_text(text.replace("/usr/sbin/memoproxy", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(tmp_path / "memoproxy.service"),
                           str(tmp_path / "memoproxy.socket")], capture_output=True, text=True, check=False)
    assert not [line for line in done.stderr.splitlines() if "memoproxy." in line], done.stderr
