from __future__ import annotations

import sys

import pytest
from monai.bundle import ConfigParser

from lsinet_monai.errors import find_input_error
from lsinet_monai.workflow import start


def test_start_reports_in_one_line_and_refuses_old_ids(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "excepthook", lambda *_: None)
    parser = ConfigParser({"imports": ["$import lsinet_monai.workflow as workflow"], "shares": 1,
                           "initialize": "$workflow.start()"})  # fmt: skip
    with pytest.raises(RuntimeError) as caught:
        parser.get_parsed_content("initialize")
    assert find_input_error(caught.value) is not None
    sys.excepthook(type(caught.value), caught.value, None)
    assert capsys.readouterr().err.startswith("error: shares is an id of an earlier version")


def test_start_without_a_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", lambda *_: None)
    start()
