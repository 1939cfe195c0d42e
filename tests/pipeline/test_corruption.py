import json

import pytest

from benchmarks.corruption import RESULT, campaign


def test_damage_is_always_found_and_never_read_as_if_it_were_sound(tmp_path):
    result = campaign(tmp_path, 64, seed=1)
    assert result["cases"] == 64 and result["missed"] == [] and result["crashes"] == []
    assert result["sound_afterwards"] and result["reading_with_check"].keys() <= {"right", "refused"}


@pytest.mark.parametrize("blind", ["verify", "check"])
def test_the_campaign_notices_a_check_that_looks_away(tmp_path, monkeypatch, blind):
    """Without comparing checksums some damage goes unseen, and the campaign says so."""
    if blind == "verify":
        monkeypatch.setattr("benchmarks.corruption.verify", lambda path: iter([("shard 000000", [])]))
        assert len(campaign(tmp_path, 8)["missed"]) == 8
    else:
        from pipeline.store import Store

        opened = Store.open
        monkeypatch.setattr("benchmarks.corruption.FORMATS", ("webdataset", "webdataset"))  # read without native code
        monkeypatch.setattr(Store, "open", staticmethod(lambda path, **_: opened(path)))
        result = campaign(tmp_path, 64, seed=2)
        assert any("read wrongly" in words for words in result["missed"]) or result["crashes"]


def test_the_published_campaign_has_a_thousand_cases_and_missed_none():
    result = json.loads(RESULT.read_text())
    assert result["cases"] >= 1000 and result["missed"] == result["crashes"] == []
