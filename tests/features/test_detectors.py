import pytest

from features import detectors
from features.detectors import DetectorOptions, load_detector
from features.errors import HeedError


def test_a_wrong_name_is_told_the_nearest():
    with pytest.raises(HeedError, match=r"no detector 'torchvisoin'.*Did you mean 'torchvision'"):
        load_detector("torchvisoin", DetectorOptions())


@pytest.mark.parametrize("error", [ImportError("No module named 'torchvision'"),
                                   RuntimeError("operator torchvision::nms does not exist")])
def test_a_torchvision_that_does_not_import_is_a_sentence(error, monkeypatch):
    def broken(name):
        raise error

    monkeypatch.setattr(detectors, "import_module", broken)
    with pytest.raises(HeedError, match=r"'scenes' cannot be used here .*torchvision.* install torch and torchvision"):
        load_detector("scenes", DetectorOptions())
