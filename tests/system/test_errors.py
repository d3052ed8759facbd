# SPDX-License-Identifier: MIT
"""Errors of the proxy's own: what the operator finds in the log."""
import json
import os
import re
import signal
import subprocess
import tempfile

from support.proxy import Port, binary, eventually, sanitized_environment


def test_a_log_of_json(start_proxy):
    proxy = start_proxy({"proxy": {"log_format": "json"}})
    lines = [json.loads(line) for line in proxy.stderr.splitlines() if line.startswith("{")]
    assert any(line["message"] == "ready" and line["level"] == "info" and line["time"] for line in lines)


def test_the_journal_gets_priorities(origin):
    ports = [Port(), Port()]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "proxy.ini")
        with open(path, "w", encoding="utf-8") as f:
            f.write(f"[proxy]\nlisten = 127.0.0.1:{ports[0].number}\n[admin]\nlisten = 127.0.0.1:{ports[1].number}\n"
                    f"[upstream]\nurl = {origin.url}\n")
        err = tempfile.TemporaryFile()
        st = os.fstat(err.fileno())
        child = subprocess.Popen([binary(), "-c", path], stderr=err, stdout=subprocess.DEVNULL,
                                 env=sanitized_environment({"JOURNAL_STREAM": f"{st.st_dev}:{st.st_ino}"}))

        def said():
            return os.pread(err.fileno(), 100000, 0).decode()
        try:
            eventually(lambda: "<6>ready\n" in said(), "it says that it is ready")
            child.send_signal(signal.SIGTERM)
            assert child.wait(30) == 0
        finally:
            child.kill()
            child.wait()
        lines = said().splitlines()
        assert lines and all(re.match(r"<[3467]>(?!20\d\d-)", line) for line in lines), lines
    for port in ports:
        port.release()
