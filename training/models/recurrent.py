"""A GRU and an LSTM over sequences of different lengths whose backward pass is not quadratic in length on a CPU.

torch's packed GRU takes each step's input as a slice of the whole, and the gradient of a slice is a zero tensor of the
whole's size, once a step. Here the input projections of all steps and both directions are one matrix product, split
once, and the recurrence runs both directions side by side.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class RaggedGRU(nn.GRU):
    """A one-layer, batch-first GRU, in one or two directions, that takes padded sequences with their lengths.

    Parameters and formula are `torch.nn.GRU`'s: r = s(W_ir x + b_ir + W_hr h + b_hr), z likewise,
    n = tanh(W_in x + b_in + r (W_hn h + b_hn)), h' = (1 - z) n + z h (Cho et al., 2014, as in torch's documentation).
    """

    def __init__(self, input_size: int, hidden_size: int, bidirectional: bool) -> None:
        super().__init__(input_size, hidden_size, batch_first=True, bidirectional=bidirectional)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """States (batch, steps, directions x hidden) of x (batch, steps, input); zero beyond each length (batch,)."""
        if x.is_cuda:
            packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
            return pad_packed_sequence(super().forward(packed)[0], batch_first=True, total_length=x.shape[1])[0]
        return _both_ways(self._run, x, lengths, self.bidirectional)

    def _run(self, x: Tensor) -> Tensor:
        """States (directions, batch, steps, hidden), each direction from the first step on."""
        projected, w_h, b_h = _projected(self, x)
        state = x.new_zeros(len(x), x.shape[1], self.hidden_size)
        states = []
        for from_input in projected.unbind(1):
            from_state = torch.baddbmm(b_h[:, None], state, w_h.transpose(1, 2))
            reset_x, update_x, new_x = from_input.chunk(3, -1)
            reset_h, update_h, new_h = from_state.chunk(3, -1)
            new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
            state = new + torch.sigmoid(update_x + update_h) * (state - new)
            states.append(state)
        return torch.stack(states, 2)


class RaggedLSTM(nn.LSTM):
    """A one-layer, batch-first LSTM in two directions that takes padded sequences with their lengths.

    Parameters and formula are `torch.nn.LSTM`'s: i, f, o = s(W x + b + U h + d) each, g = tanh(W x + b + U h + d),
    c' = f c + i g, h' = o tanh(c') (Hochreiter and Schmidhuber, 1997, as in torch's documentation). They begin as
    TensorFlow's do: weights by Xavier, gate by gate together, biases at 0 but the forget gate's at 1.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, batch_first=True, bidirectional=True)
        for name, parameter in self.named_parameters():
            if name.startswith("weight"):
                nn.init.xavier_uniform_(parameter)
            else:
                nn.init.zeros_(parameter)
                if name.startswith("bias_ih"):
                    nn.init.ones_(parameter.data[hidden_size : 2 * hidden_size])

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """States (batch, steps, 2 x hidden) of x (batch, steps, input); zero beyond each length (batch,)."""
        if x.is_cuda:
            packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
            return pad_packed_sequence(super().forward(packed)[0], batch_first=True, total_length=x.shape[1])[0]
        return _both_ways(self._run, x, lengths, True)

    def _run(self, x: Tensor) -> Tensor:
        """States (directions, batch, steps, hidden), each direction from the first step on."""
        projected, w_h, b_h = _projected(self, x)
        state = x.new_zeros(len(x), x.shape[1], self.hidden_size)
        cell = state
        states = []
        for from_input in projected.unbind(1):
            gates = from_input + torch.baddbmm(b_h[:, None], state, w_h.transpose(1, 2))
            enter, forget, new, leave = gates.chunk(4, -1)
            cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(new)
            state = torch.sigmoid(leave) * torch.tanh(cell)
            states.append(state)
        return torch.stack(states, 2)


def _both_ways(run: Callable[[Tensor], Tensor], x: Tensor, lengths: Tensor, bidirectional: bool) -> Tensor:
    """States (batch, steps, directions x hidden): the backward direction begins at each sequence's own end."""
    lengths = lengths.to(x.device)
    steps = torch.arange(x.shape[1], device=x.device)[None]
    real = (steps < lengths[:, None]).unsqueeze(-1)
    if not bidirectional:
        return run(x[None])[0].masked_fill(~real, 0)
    mirror = torch.where(real[..., 0], lengths[:, None] - 1 - steps, steps).unsqueeze(-1)
    forwards, backwards = run(torch.stack([x, x.gather(1, mirror.expand_as(x))]))
    backwards = backwards.gather(1, mirror.expand_as(backwards))
    return torch.cat([forwards, backwards], -1).masked_fill(~real, 0)


def _projected(rnn: nn.RNNBase, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The inputs' part of every gate (directions, steps, batch, gates x hidden), and the states' weights and biases."""
    directions, batch, steps, _ = x.shape
    w_x, w_h, b_x, b_h = (_stacked(rnn, name) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    flat = x.transpose(1, 2).reshape(directions, steps * batch, -1)
    projected = torch.baddbmm(b_x[:, None], flat, w_x.transpose(1, 2)).view(directions, steps, batch, -1)
    return projected, w_h, b_h


def _stacked(rnn: nn.RNNBase, name: str) -> Tensor:
    suffixes = ("", "_reverse") if rnn.bidirectional else ("",)
    return torch.stack([getattr(rnn, f"{name}_l0{suffix}") for suffix in suffixes])
