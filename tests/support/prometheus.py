# SPDX-License-Identifier: MIT
"""A Prometheus server that scrapes the proxy, asked by its HTTP API; and promtool."""
import http.client
import json
import pathlib
import shutil
import subprocess
import tempfile
import urllib.parse

from .proxy import Port, Process, eventually

CONFIG = """
global:
  scrape_interval: 200ms
  scrape_timeout: 200ms
  evaluation_interval: 200ms
rule_files: [{rules}]
scrape_configs:
  - job_name: memoproxy
    static_configs:
      - targets: ["127.0.0.1:{port}"]
"""


def available():
    return shutil.which("prometheus") and shutil.which("promtool")


def promtool(*args, text=None):
    return subprocess.run(["promtool", *map(str, args)], input=text, capture_output=True, text=True, timeout=60, check=False)


class Prometheus:
    def __init__(self, port, rules):
        """port: what is scraped; rules: a file of rules that it evaluates."""
        self.folder = tempfile.TemporaryDirectory(prefix="memoproxy-prometheus-")
        self.port = Port()
        config = pathlib.Path(self.folder.name, "prometheus.yml")
        config.write_text(CONFIG.format(port=port, rules=json.dumps(str(rules))))
        self.process = Process(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.folder.name}/data",
                                f"--web.listen-address=127.0.0.1:{self.port.number}", "--log.level=warn"])

    def __enter__(self):
        try:
            eventually(lambda: not self.process.alive or (self._asked("/-/ready") or [0])[0] == 200, "Prometheus is ready")
            assert self.process.alive, self.process.stderr
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        self.process.end()
        self.port.release()
        self.folder.cleanup()

    def _asked(self, path):
        """None as long as nobody answers."""
        try:
            c = http.client.HTTPConnection("127.0.0.1", self.port.number, timeout=30)
            c.request("GET", path)
            r = c.getresponse()
            return r.status, r.read().decode()
        except OSError:
            return None

    def api(self, path, **parameters):
        status, text = self._asked(f"/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        assert status == 200, text
        return json.loads(text)["data"]

    def query(self, expression):
        """[(labels, value)]"""
        data = self.api("query", query=expression)
        assert data["resultType"] == "vector", data
        return [(sample["metric"], float(sample["value"][1])) for sample in data["result"]]

    def value(self, expression):
        """Of one series; None: there is none."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return found[0][1] if found else None
