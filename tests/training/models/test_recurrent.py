import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from training.models.recurrent import RaggedGRU, RaggedLSTM


@pytest.mark.parametrize("kind", ["gru", "gru both ways", "lstm both ways"])
def test_states_and_gradients_equal_torchs_packed_ones(kind):
    torch.manual_seed(0)
    lengths = torch.tensor([7, 1, 4, 7, 2])
    inputs = torch.randn(5, 7, 3, dtype=torch.float64)
    both, lstm = kind.endswith("both ways"), kind.startswith("lstm")
    ours = (RaggedLSTM(3, 6) if lstm else RaggedGRU(3, 6, both)).double()
    theirs = (nn.LSTM if lstm else nn.GRU)(3, 6, batch_first=True, bidirectional=both).double()
    theirs.load_state_dict(ours.state_dict())
    x, y = inputs.clone().requires_grad_(), inputs.clone().requires_grad_()
    packed = pack_padded_sequence(y, lengths, batch_first=True, enforce_sorted=False)
    expected = pad_packed_sequence(theirs(packed)[0], batch_first=True, total_length=7)[0]
    states = ours(x, lengths)
    assert torch.allclose(states, expected, atol=1e-12)
    weights = torch.randn_like(states)
    (states * weights).sum().backward()
    (expected * weights).sum().backward()
    assert torch.allclose(x.grad, y.grad, atol=1e-12)
    for name, parameter in ours.named_parameters():
        assert torch.allclose(parameter.grad, dict(theirs.named_parameters())[name].grad, atol=1e-12), name


def test_padding_changes_nothing():
    torch.manual_seed(0)
    gru = RaggedGRU(3, 6, True)
    x = torch.randn(2, 5, 3)
    x[1, 2:] = float("nan")
    longer = torch.cat([x, torch.full((2, 4, 3), 9.0)], 1)
    lengths = torch.tensor([5, 2])
    clean = x.nan_to_num(0.0)
    assert torch.equal(gru(clean, lengths), gru(longer.nan_to_num(5.0), lengths)[:, :5])
