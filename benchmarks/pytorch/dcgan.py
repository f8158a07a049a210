"""DCGAN's networks in PyTorch."""

import itertools

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.pytorch.weights import copied_into, take


class DCGANGenerator(nn.Module):
  def __init__(self, channels: tuple[int, ...]):
    super().__init__()
    self.first = channels[0]
    self.project = nn.Linear(100, 16 * channels[0], bias=False)
    wide = (*channels, 3)
    self.convs = nn.ModuleList(
      nn.ConvTranspose2d(a, b, 4, 2, 1, bias=b == 3 and i == len(channels) - 1)
      for i, (a, b) in enumerate(itertools.pairwise(wide))
    )
    self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in channels)

  def take(self, params, spectral):
    take(self.project, params['project'], chw=(4, 4, self.first))
    for i, layer in enumerate(self.convs):
      take(layer, params[f'ConvTranspose_{i}'])
    for i, norm in enumerate(self.norms):
      copied_into(norm.weight, params[f'BatchNorm_{i}']['norm']['scale'])
      copied_into(norm.bias, params[f'BatchNorm_{i}']['norm']['bias'])

  def forward(self, z):
    x = self.project(z).view(-1, self.first, 4, 4)
    for norm, layer in zip(self.norms, self.convs, strict=True):
      x = layer(F.relu(norm(x), inplace=True))
    return torch.tanh(x)


class DCGANDiscriminator(nn.Module):
  def __init__(self, channels: tuple[int, ...]):
    super().__init__()
    wide = (3, *channels)
    self.convs = nn.ModuleList(
      nn.Conv2d(a, b, 4, 2, 1, bias=i == 0) for i, (a, b) in enumerate(itertools.pairwise(wide))
    )
    self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in channels[1:])
    self.last = nn.Linear(16 * channels[-1], 1)

  def take(self, params, spectral):
    for i, layer in enumerate(self.convs):
      take(layer, params[f'Conv_{i}'])
    for i, norm in enumerate(self.norms):
      copied_into(norm.weight, params[f'BatchNorm_{i}']['norm']['scale'])
      copied_into(norm.bias, params[f'BatchNorm_{i}']['norm']['bias'])
    take(self.last, params['Dense_0'], chw=(4, 4, self.convs[-1].out_channels))

  def forward(self, x):
    x = F.leaky_relu(self.convs[0](x), 0.2, inplace=True)
    for norm, layer in zip(self.norms, self.convs[1:], strict=True):
      x = F.leaky_relu(norm(layer(x)), 0.2, inplace=True)
    return self.last(x.flatten(1))[:, 0]
