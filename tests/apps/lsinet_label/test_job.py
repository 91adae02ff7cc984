from __future__ import annotations

from lib.job import Job


def test_clients_see_the_request_and_its_progress_but_not_its_owner() -> None:
    seen = Job("7", "a.mp4", "propagate", 3, "ann", "10.0.0.1", 5.0, note="2 frames cannot be read").public()
    request = [seen[name] for name in ("job", "image", "kind", "frame", "user")]
    assert request == ["7", "a.mp4", "propagate", 3, "ann"]
    assert (seen["state"], seen["progress"], seen["message"]) == ("queued", 0.0, "waiting")
    assert not {"owner", "created", "note"} & seen.keys()
