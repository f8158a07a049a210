"""GAN 2014's networks in PyTorch."""

import itertools

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.pytorch.weights import take


class MLPGenerator(nn.Module):
  def __init__(self, hidden: tuple[int, ...]):
    super().__init__()
    sizes = (100, *hidden, 784)
    self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))

  def take(self, params, spectral):
    for i, layer in enumerate(self.layers):
      take(layer, params[f'Dense_{i}'])

  def forward(self, z):
    for layer in self.layers[:-1]:
      z = F.relu(layer(z))
    return torch.sigmoid(self.layers[-1](z))


class Maxout(nn.Module):
  def __init__(self, units: tuple[int, ...], dropout: bool):
    super().__init__()
    sizes = (784, *units)
    self.layers = nn.ModuleList(nn.Linear(a, 5 * b) for a, b in itertools.pairwise(sizes))
    self.last = nn.Linear(units[-1], 1)
    self.rates = (0.2, 0.5, 0.5) if dropout else (0.0, 0.0, 0.0)

  def take(self, params, spectral):
    for i, layer in enumerate(self.layers):
      take(layer, params[f'Maxout_{i}']['Dense_0'])
    take(self.last, params['Dense_0'])

  def forward(self, x):
    x = x.flatten(1)
    for layer, rate in zip(self.layers, self.rates, strict=False):
      x = F.dropout(x, rate) if rate else x
      x = layer(x).unflatten(1, (-1, 5)).amax(2)
    x = F.dropout(x, self.rates[-1]) if self.rates[-1] else x
    return self.last(x)[:, 0]
