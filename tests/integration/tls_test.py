"""TLS for clients and for operators: certificates, their renewal, and that all else stays as it is over plain TCP."""

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import unittest

from admin_test import Admin
from harness import CAUDAL, Gateway, Sim, Wire, certificate, chat, main, portfolio, raw_request, until

CHAT = "/v1/chat/completions"
HERE = os.path.dirname(os.path.abspath(__file__))


class Folder(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)
        self.folder = self.temporary.name

    def at(self, name):
        return os.path.join(self.folder, name)

    def secure(self, name="localhost", more=""):
        """serve.tls with the certificate of that name, made anew."""
        cert, key = certificate(self.folder, name)
        return f"tls: {{certificate: {cert}, key: {key}{more}}}"

    def gateway(self, sim, serve, trust="localhost", **more):
        gw = Gateway(portfolio(sim, serve=serve, **more))
        gw.trust = ssl.create_default_context(cafile=self.at(trust + ".pem"))
        return gw

    def shown(self, gw):
        """The name in the certificate that a new connection is shown."""
        with socket.create_connection((gw.host, gw.port)) as s:
            anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
            with anyone.wrap_socket(s) as t:
                text = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-subject"], check=True,
                                      input=t.getpeercert(True), stdout=subprocess.PIPE).stdout.decode()
                return re.search(r"CN\s*=\s*(\S+)", text).group(1)


class Clients(Folder):
    def test_the_address_is_https_and_answers_whole_and_streamed(self):
        with Sim("--output", "=5", "--instant") as sim, self.gateway(sim, self.secure()) as gw:
            self.assertIn(f"https://127.0.0.1:{gw.port}/v1", gw.first_line)
            whole, streamed = gw.post(CHAT, chat("x")), gw.post(CHAT, chat("x", stream=True))
            self.assertEqual((whole.status, streamed.status), (200, 200))
            self.assertEqual(whole.text(), streamed.text())
            self.assertEqual(streamed.events()[-1], "[DONE]")

    def test_a_request_without_tls_gets_nothing(self):
        with Sim("--instant") as sim, self.gateway(sim, self.secure()) as gw:
            with socket.create_connection((gw.host, gw.port)) as s:
                s.sendall(raw_request("GET", "/healthz"))
                try:
                    said = s.recv(1 << 16)
                except ConnectionResetError:
                    said = b""
            self.assertFalse(said.startswith(b"HTTP/"), said)
            self.assertEqual(gw.get("/healthz").status, 200)

    def test_ask_trusts_what_it_is_told(self):
        with Sim("--output", "=5", "--instant") as sim, self.gateway(sim, self.secure()) as gw:
            ask = [CAUDAL, "ask", "--url", f"https://localhost:{gw.port}/v1", "--no-receipt", "hello"]
            told = subprocess.run([*ask, "--ca", self.at("localhost.pem")], capture_output=True, text=True)
            self.assertEqual((told.returncode, told.stdout.strip() != ""), (0, True), told)
            alone = subprocess.run(ask, capture_output=True, text=True)
            self.assertEqual(alone.returncode, 1)
            self.assertIn("certificate verify failed", alone.stderr)

    def test_wrong_files_are_one_line_and_status_1(self):
        cert, key = certificate(self.folder)
        _, other = certificate(self.folder, "other")
        cases = [(self.at("nowhere.pem"), key, "the certificate .*nowhere.pem: No such file"),
                 (cert, self.at("nowhere.key"), "the key .*nowhere.key: No such file"),
                 (cert, other, "the key .*other.key does not belong to the certificate .*localhost.pem"),
                 (key, key, "the certificate .*localhost.key cannot be used")]
        with Sim("--instant") as sim:
            for a, b, says in cases:
                file = self.at("portfolio.yaml")
                with open(file, "w") as f:
                    f.write(portfolio(sim, serve=f"tls: {{certificate: {a}, key: {b}}}"))
                done = subprocess.run([CAUDAL, "serve", file, "--listen", "127.0.0.1:0"], capture_output=True, text=True)
                self.assertEqual(done.returncode, 1, done)
                lines = [x for x in done.stderr.splitlines() if x.startswith("caudal serve: ")]
                self.assertEqual(len(lines), 1, done.stderr)
                self.assertRegex(lines[0], "serve.tls: " + says)

    def test_a_renewed_certificate_is_taken_and_a_broken_one_is_not(self):
        with Sim("--instant") as sim, self.gateway(sim, self.secure()) as gw:
            self.assertEqual(self.shown(gw), "localhost")
            with Wire(gw) as kept:
                kept.send(raw_request("GET", "/healthz"))
                self.assertEqual(kept.answer().status, 200)
                for name, good in (("second", True), ("third", True), ("broken", False)):
                    certificate(self.folder, name)
                    if good:
                        os.replace(self.at(name + ".key"), self.at("localhost.key"))
                    os.replace(self.at(name + ".pem"), self.at("localhost.pem"))
                    said = gw.stderr().count("certificate ")
                    gw.process.send_signal(signal.SIGHUP)
                    until(lambda: gw.stderr().count("certificate ") > said, "the log's line")
                    self.assertEqual(self.shown(gw), name if good else "third")
                self.assertRegex(gw.stderr(), r"certificate .*does not belong.* so=\"the one before stays in use\"")
                kept.send(raw_request("GET", "/healthz"))  # what was open goes on
                self.assertEqual(kept.answer().status, 200)

    def test_the_name_asked_for_chooses(self):
        first = self.secure()
        cert, key = certificate(self.folder, "second", "DNS:second.example")
        more = f", named: [{{certificate: {cert}, key: {key}}}]}}"
        with Sim("--instant") as sim, self.gateway(sim, first[:-1] + more) as gw:
            for asked, trusted in (("localhost", "localhost"), ("second.example", "second")):
                trust = ssl.create_default_context(cafile=self.at(trusted + ".pem"))
                with socket.create_connection((gw.host, gw.port)) as s, trust.wrap_socket(s, server_hostname=asked) as t:
                    self.assertEqual(t.getpeercert()["subject"][0][0][1], trusted)

    def test_one_that_expires_soon_is_told(self):
        cert, key = certificate(self.folder, days=3)
        with Sim("--instant") as sim, self.gateway(sim, f"tls: {{certificate: {cert}, key: {key}}}") as gw:
            until(lambda: re.search(r"warn +certificate of=serve.tls what=\"expires soon\" days=[23]", gw.stderr()),
                  "the warning")


class Operators(Folder):
    def test_a_certificate_is_asked_for_and_names_who_it_was(self):
        ca, _ = certificate(self.folder, "ca", None)
        cert, key = certificate(self.folder)
        ana, ana_key = certificate(self.folder, "ana", "DNS:ana", by="ca")
        eve, eve_key = certificate(self.folder, "eve", "DNS:eve")
        serve = f"admin: {{listen: 127.0.0.1:0, tls: {{certificate: {cert}, key: {key}, client_ca: {ca}}}}}"
        with Sim("--instant") as sim, Gateway(portfolio(sim, serve=serve)) as gw:
            port = Admin(gw).port

            def drain(shown=None):
                """The status, or None when the connection was refused."""
                trust = ssl.create_default_context(cafile=cert)
                if shown:
                    trust.load_cert_chain(*shown)
                try:
                    with socket.create_connection(("127.0.0.1", port)) as s, \
                            trust.wrap_socket(s, server_hostname="localhost") as t:
                        t.sendall(raw_request("GET", "/admin/status", host="gateway.example.com"))
                        return int(t.recv(1 << 16).split(b" ")[1])
                except (ssl.SSLError, ConnectionResetError, IndexError):
                    return None

            self.assertIsNone(drain())
            self.assertIsNone(drain((eve, eve_key)))
            self.assertEqual(drain((ana, ana_key)), 200)
            self.assertEqual(gw.get("/healthz").status, 200, "clients go on in plain")


class AllElse(unittest.TestCase):
    """What holds over plain TCP holds over TLS."""

    def over_tls(self, *words):
        done = subprocess.run([sys.executable, os.path.join(HERE, words[0]), *words[1:]], text=True,
                              env={**os.environ, "TEST_TLS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, 0, done.stdout[-20000:])
        self.assertRegex(done.stdout, r"Ran [1-9]\d* tests?")

    def test_answers_and_streams(self):
        self.over_tls("serve_test.py")

    def test_hostile_heads_and_pipelining(self):
        self.over_tls("hostile_test.py")

    def test_uploads_and_downloads_as_they_come(self):
        self.over_tls("passthrough_test.py")

    def test_readers_that_are_slow_or_leave(self):
        self.over_tls("limits_test.py", "-k", "test_a_slow_reader_stops", "-k", "test_a_reader_", "-k", "test_a_long_whole", "-k", "GoingAway")


if __name__ == "__main__":
    main()
