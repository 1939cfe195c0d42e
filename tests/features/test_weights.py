import hashlib
import urllib.error

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from features import weights
from features.errors import HeedError
from features.weights import digest, download, load_into, read_weights

STATE = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.tensor([1.0, -1.0])}


def test_the_digest_is_of_values_not_of_files(tmp_path):
    save_file(STATE, tmp_path / "a.safetensors", metadata={"classes": "[]"})
    torch.save(dict(reversed(STATE.items())), tmp_path / "b.pth")
    torch.save({"model": STATE, "epoch": 3}, tmp_path / "c.pt")
    files = [read_weights(tmp_path / name) for name in ("a.safetensors", "b.pth", "c.pt")]
    assert len({digest(file.tensors) for file in files}) == 1
    assert files[0].metadata == {"classes": "[]"}
    assert digest(STATE) != digest(STATE | {"bias": torch.tensor([1.0, -2.0])})
    assert digest(STATE) != digest({**STATE, "weight": STATE["weight"].reshape(3, 2)})
    assert digest(STATE) != digest({key: value.double() for key, value in STATE.items()})


def test_a_pickle_with_code_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"weight": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(HeedError, match="without running code"):
        read_weights(tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()


def test_missing_damaged_and_wrong_files_are_named(tmp_path):
    with pytest.raises(HeedError, match="no weights file"):
        read_weights(tmp_path / "none.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00")
    with pytest.raises(HeedError, match=r"cut\.safetensors"):
        read_weights(tmp_path / "cut.safetensors")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    with pytest.raises(HeedError, match="no state dict"):
        read_weights(tmp_path / "empty.pth")


def test_weights_that_do_not_fit_name_the_parameter():
    model = nn.Linear(3, 2)
    load_into(model, STATE, "this")
    assert torch.equal(model.weight, STATE["weight"])
    with pytest.raises(HeedError, match=r"'bias' is missing"):
        load_into(model, {"weight": STATE["weight"]}, "this")
    with pytest.raises(HeedError, match=r"'weight' has another shape"):
        load_into(nn.Linear(4, 2), STATE, "this")
    with pytest.raises(HeedError, match=r"'more' is not part"):
        load_into(model, STATE | {"more": torch.ones(1)}, "this")


def test_without_a_network_the_sentence_says_what_to_fetch(tmp_path, monkeypatch):
    def unreachable(url, timeout):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(weights.urllib.request, "urlopen", unreachable)
    with pytest.raises(HeedError, match=r"no route.*Fetch https://there/net-1234.pth .*--weights PATH/net"):
        download("https://there/net-1234.pth", "1234", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_download_is_checked_and_done_once(tmp_path):
    source = tmp_path / "net.pth"
    source.write_bytes(b"bytes")
    right = hashlib.sha256(b"bytes").hexdigest()
    cache = tmp_path / "cache"
    assert download(source.as_uri(), right[:8], cache).read_bytes() == b"bytes"
    source.unlink()
    assert download(source.as_uri(), right[:8], cache) == cache / "net.pth"
    with pytest.raises(HeedError, match="not what was published"):
        download(source.as_uri(), "00000000", cache)
