"""caudal ask: what a person sees of an answer, and of a failure."""

import json
import os
import re
import subprocess
import unittest

from harness import CAUDAL, Gateway, Recorder, Sim, json_answer, main, portfolio, until


def ask(port, *args, stdin=""):
    """The exit status, standard output and standard error."""
    done = subprocess.run([CAUDAL, "ask", "--url", f"http://127.0.0.1:{port}/v1", *args], input=stdin,
                          capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


class Ask(unittest.TestCase):
    def test_the_answer_is_on_one_output_and_the_receipt_on_the_other(self):
        with Sim("--instant", "--output", "=3") as sim, Gateway(portfolio(sim)) as gw:
            status, out, err = ask(gw.port, "What is a river?")
            self.assertEqual(status, 0, err)
            self.assertIn("This is a", out)
            self.assertRegex(err, r"\n  pool +a of a, model m\n")
            self.assertRegex(err, r"\n  request +req_[0-9a-f]{24}\n")

    def test_a_failure_shows_the_servers_words_and_the_requests_id(self):
        refused = json_answer({"error": {"message": "the words of the supplier", "type": "invalid_request_error",
                                         "param": None, "code": "x"}}, 400)
        with Recorder(lambda r: refused) as there, Gateway(portfolio(there)) as gw:
            status, out, err = ask(gw.port, "hello")
            self.assertEqual((status, out), (1, ""))
            self.assertRegex(err, r"^caudal ask: the server answered 400 Bad Request: the words of the supplier\n"
                                  r"  request   (req_[0-9a-f]{24})\n$")
            until(lambda: re.search(r"req_\w+", err).group() in gw.stderr())

    def test_an_unknown_model_is_said_with_its_id(self):
        with Sim("--instant") as sim, Gateway(portfolio(sim)) as gw:
            status, _, err = ask(gw.port, "--model", "mm", "hello")
            self.assertEqual(status, 1)
            self.assertRegex(err, r"caudal ask: the server answered 404 Not Found: .*'mm'.*\n  request   req_")

    def test_a_stream_that_breaks_is_no_answer(self):
        with Sim("--instant", "--output", "=50", "--fault", "cut-after=10") as sim, Gateway(portfolio(sim)) as gw:
            status, out, err = ask(gw.port, "hello")
            self.assertEqual(status, 1)
            self.assertIn("simulated", out)  # what had come is shown
            self.assertRegex(err, r"^caudal ask: .+\n  request   req_[0-9a-f]{24}\n$")

    def test_the_environment_says_where(self):
        run = subprocess.run([CAUDAL, "ask", "hello"], capture_output=True, text=True, timeout=60, env={**os.environ, "CAUDAL_URL": "http://127.0.0.1:1/v1"})
        self.assertEqual(run.returncode, 1)
        self.assertIn("127.0.0.1:1", run.stderr)
        for command in (["ctl", "status"], ["key", "list"]):
            run = subprocess.run([CAUDAL, *command], capture_output=True, text=True, timeout=60,
                                 env={**os.environ, "CAUDAL_ADMIN_URL": "http://127.0.0.1:1"})
            self.assertEqual(run.returncode, 1)
            self.assertRegex(run.stderr, r"cannot be reached.*serve\.admin\.listen.*127\.0\.0\.1:1.*CAUDAL_ADMIN_URL")

    def test_nobody_there_has_no_id(self):
        with Recorder() as there:
            port = there.port
        status, _, err = ask(port, "hello")
        self.assertEqual(status, 1)
        self.assertNotIn("request ", err)

    def test_json_holds_answer_and_receipt(self):
        with Sim("--instant", "--output", "=3") as sim, Gateway(portfolio(sim)) as gw:
            status, out, err = ask(gw.port, "--json", "-", stdin="hello\n")
            self.assertEqual((status, err), (0, ""))
            said = json.loads(out)
            self.assertEqual((said["model"], said["receipt"]["pool"]), ("m", "a"))


if __name__ == "__main__":
    main()
