from __future__ import annotations

import pytest

VIDEO = "p1_a.frames"
LESIONS = f"videos/{VIDEO}/lesions"


def test_lesions_are_named_and_merged(client, services, drawn):
    labels = drawn(1)
    labels[40:50, 50:60] = 4
    services.videos[VIDEO].save_correction(3, labels, "ann")
    named = client.put(LESIONS, json=[{"id": 4, "name": "sigmoid", "colour": "#123456"}]).json()
    assert named == [
        {"id": 1, "name": "Polyp 1", "colour": "#00d5ff"},
        {"id": 4, "name": "sigmoid", "colour": "#123456"},
    ]
    assert [entry["id"] for entry in client.post(f"{LESIONS}/merge", json={"into": 1, "from": 4}).json()] == [1]
    answer = client.post(f"{LESIONS}/merge", json={"into": 1, "from": 9})
    assert answer.status_code == 400 and "choose two lesions" in answer.json()["detail"]


@pytest.mark.parametrize(
    "lesion",
    [
        {"id": 0, "name": "a", "colour": "#123456"},
        {"id": 256, "name": "a", "colour": "#123456"},
        {"id": 1, "name": "", "colour": "#123456"},
        {"id": 1, "name": "a", "colour": "red"},
    ],
)
def test_bad_names(client, lesion):
    assert client.put(LESIONS, json=[lesion]).status_code == 422
