from __future__ import annotations

import hashlib

import pytest

from lsinet_monai.version import __version__


def test_the_status_says_how_to_get_a_model(client, services):
    status = client.get("status").json()
    assert (status["device"], status["version"], status["auth"]) == ("cpu", __version__, False)
    assert status["user"] == "admin"
    assert status["model"]["available"] is False and "--conf checkpoint FILE" in status["model"]["how"]
    services.model.checkpoint.touch()
    model = client.get("status").json()["model"]
    sha256 = hashlib.sha256(b"").hexdigest()[:16]
    assert model == {
        "path": "model.pt", "available": True, "how": "in service", "sha256": sha256, "about": f"model.pt ({sha256})",
        "points": False,
    }  # fmt: skip


@pytest.mark.parametrize("strategy", ["doubt", "uncertainty", "disagreement"])
def test_where_to_look_next(client, strategy):
    client.get("videos/damaged.mp4")  # now known to be damaged
    assert client.get("next", params={"strategy": strategy}).json() == {"id": "p1_a.frames", "frame": 0, "doubt": None}


def test_an_unknown_strategy(client):
    answer = client.get("next", params={"strategy": "luck"})
    assert answer.status_code == 400 and "strategy='luck'" in answer.json()["detail"]
