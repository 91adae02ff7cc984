from __future__ import annotations

import pytest


def test_the_page_and_its_files_have_a_strict_policy(client):
    assert client.get("http://127.0.0.1/lsinet").headers["location"] == "lsinet/"
    for path in ("", "static/index.html", "static/app.js"):
        answer = client.get(path)
        assert answer.status_code == 200 and answer.headers["cache-control"] == "no-cache"
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("path", ["static/nobody.js", "static/../lib/errors.py", "static/..%2Fmain.py"])
def test_other_files_are_not_served(client, path):
    assert client.get(path).status_code == 404
