"""The official OpenAI client for Python over https, with an authority of its own."""

import tempfile
import unittest

from clients import main, openai, says, sim_fleet
from harness import certificate


class Https(unittest.TestCase):
    def test_whole_and_streamed(self):
        with tempfile.TemporaryDirectory() as folder:
            cert, key = certificate(folder)
            with sim_fleet(serve=f"tls: {{certificate: {cert}, key: {key}}}") as fleet:
                url = f"https://localhost:{fleet.serve.port}/v1"
                with fleet.openai(base_url=url, http_client=openai.DefaultHttpxClient(verify=cert)) as client:
                    whole = client.chat.completions.create(model="m", messages=says("hello"))
                    self.assertTrue(whole.choices[0].message.content)
                    chunks = list(client.chat.completions.create(model="m", messages=says("hello"), stream=True))
                    self.assertEqual(chunks[-1].choices[0].finish_reason, "stop")
                with fleet.openai(base_url=url, max_retries=0) as client:
                    with self.assertRaises(openai.APIConnectionError):
                        client.models.list()


if __name__ == "__main__":
    main()
