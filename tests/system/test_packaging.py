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
    signals = set(re.findall(r"\{(SIG\w+), [\w, ]+\}", program))
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


def test_the_program_s_page_names_all_commands_and_their_options():
    page = (ROOT / "man" / "memoproxy.8").read_text().replace("\\-", "-")

    def said(*args):
        return subprocess.run([binary(), *args], capture_output=True, text=True, check=True, env=sanitized_environment()).stdout
    commands = re.findall(r"^  ([a-z-]+) ", said("-h").split("Commands:\n")[1].split("\n\n")[0], re.M)
    assert len(commands) >= 10
    for command in commands:
        assert re.search(rf"^\.(B|BI|BR) {command}\b", page, re.M), command
        for option in re.findall(r"--[a-z-]+", said(command, "--help")):
            assert option in page, (command, option)


# ---- make install, make uninstall ----

def make(*args):
    return subprocess.run(["make", "-s", "-C", ROOT, *args], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def destination(tmp_path):
    """The release program is what is installed; it is not built for this."""
    if not shutil.which("make") or subprocess.run(["make", "-q", "-C", ROOT, "memoproxy"], check=False, capture_output=True).returncode:
        pytest.skip("./memoproxy is not up to date")
    return tmp_path


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


def test_uninstall_takes_away_what_install_put_there(destination):
    where = [f"DESTDIR={destination}", "PREFIX=/opt/m", "SYSCONFDIR=/etc/m"]
    beside = destination / "opt" / "m" / "sbin" / "other"
    beside.parent.mkdir(parents=True)
    beside.write_text("")
    make("install", *where)
    assert files(destination) == [
        "etc/m/proxy.ini", "opt/m/lib/systemd/system/memoproxy.service", "opt/m/lib/systemd/system/memoproxy.socket",
        "opt/m/sbin/memoproxy", "opt/m/sbin/other", "opt/m/share/bash-completion/completions/memoproxy",
        "opt/m/share/fish/vendor_completions.d/memoproxy.fish", "opt/m/share/man/man5/memoproxy.ini.5",
        "opt/m/share/man/man8/memoproxy.8", "opt/m/share/zsh/site-functions/_memoproxy"]
    make("uninstall", *where)
    assert files(destination) == ["opt/m/sbin/other"] and not (destination / "etc" / "m").exists()
    make("uninstall", *where)


def test_a_file_that_an_operator_wrote_is_neither_replaced_nor_taken_away(destination):
    where = [f"DESTDIR={destination}", "PREFIX=/usr"]
    ini = destination / "etc" / "memoproxy" / "proxy.ini"
    ini.parent.mkdir(parents=True)
    ini.write_text("[upstream]\nurl = http://mine\n")
    make("install", *where)
    assert (ini.parent / "proxy.ini.dist").exists()
    make("uninstall", *where)
    assert files(destination) == ["etc/memoproxy/proxy.ini"] and "mine" in ini.read_text()


# ---- The Debian package ----

def test_the_package_asks_for_what_the_program_is_built_with():
    asked = re.search(r"^Build-Depends: (.*(?:\n .*)*)", (ROOT / "debian" / "control").read_text(), re.M)[1]
    needed = re.findall(r"^build (?:pc|header|command) \S+ (\S+)$", (ROOT / "packaging" / "install-deps.sh").read_text(), re.M)
    of_every_build = {"make", "libc6-dev"}  # Debian's build-essential, with the compiler
    assert set(re.findall(r"[\w.+-]+", re.sub(r"debhelper-compat \(= \d+\)", "", asked))) == set(needed) - of_every_build


def test_the_package_s_version_is_the_program_s():
    version = re.search(r"^VERSION := (.*)$", (ROOT / "Makefile").read_text(), re.M)[1]
    assert (ROOT / "debian" / "changelog").read_text().startswith(f"memoproxy ({version}) ")
