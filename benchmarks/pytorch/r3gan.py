"""R3GAN's networks in PyTorch, under the names of the authors' modules: state dicts have the authors' layout."""

import itertools
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

KERNEL = torch.tensor(np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64, dtype=torch.float32)


def filled(layer, gain=1.0):
  with torch.no_grad():
    layer.weight.normal_(0, gain / math.sqrt(layer.weight[0].numel()))
  return layer


class Convolution(nn.Module):
  def __init__(self, before, after, size, groups=1, gain=1.0):
    super().__init__()
    self.Layer = filled(nn.Conv2d(before, after, size, padding=size // 2, groups=groups, bias=False), gain)

  def forward(self, x):
    return self.Layer(x)


class BiasedActivation(nn.Module):
  def __init__(self, width):
    super().__init__()
    self.Bias = nn.Parameter(torch.zeros(width))

  def forward(self, x):
    return functional.leaky_relu(x + self.Bias[None, :, None, None], 0.2)


class ResidualBlock(nn.Module):
  def __init__(self, width, groups, expansion):
    super().__init__()
    wide = width * expansion
    self.LinearLayer1 = Convolution(width, wide, 1)
    self.LinearLayer2 = Convolution(wide, wide, 3, groups)
    self.LinearLayer3 = Convolution(wide, width, 1)  # the authors' begins at 0, which would hide the others
    self.NonLinearity1, self.NonLinearity2 = BiasedActivation(wide), BiasedActivation(wide)

  def forward(self, x):
    y = self.LinearLayer2(self.NonLinearity1(self.LinearLayer1(x)))
    return x + self.LinearLayer3(self.NonLinearity2(y))


class Resampler(nn.Module):
  def __init__(self, up):
    super().__init__()
    self.up = up
    self.register_buffer('Kernel', KERNEL)

  def forward(self, x):
    alone = x.reshape(-1, 1, *x.shape[2:])
    if self.up:
      y = functional.conv_transpose2d(alone, 4 * self.Kernel[None, None], stride=2, padding=1)
    else:
      y = functional.conv2d(alone, self.Kernel[None, None], stride=2, padding=1)
    return y.reshape(*x.shape[:2], *y.shape[2:])


class Change(nn.Module):
  def __init__(self, before, after, up):
    super().__init__()
    self.up, self.Resampler = up, Resampler(up)
    if before != after:
      self.LinearLayer = Convolution(before, after, 1)

  def forward(self, x):
    linear = getattr(self, 'LinearLayer', lambda x: x)
    return self.Resampler(linear(x)) if self.up else linear(self.Resampler(x))


class GenerativeBasis(nn.Module):
  def __init__(self, before, width):
    super().__init__()
    self.Basis = nn.Parameter(torch.randn(width, 4, 4))
    self.LinearLayer = filled(nn.Linear(before, width, bias=False))

  def forward(self, x):
    return self.Basis[None] * self.LinearLayer(x)[:, :, None, None]


class DiscriminativeBasis(nn.Module):
  def __init__(self, width, after):
    super().__init__()
    self.Basis = filled(nn.Conv2d(width, width, 4, groups=width, bias=False))
    self.LinearLayer = filled(nn.Linear(width, after, bias=False))

  def forward(self, x):
    return self.LinearLayer(self.Basis(x).flatten(1))


class Stage(nn.Module):
  def __init__(self, layers):
    super().__init__()
    self.Layers = nn.ModuleList(layers)

  def forward(self, x):
    for layer in self.Layers:
      x = layer(x)
    return x


def blocks(width, group, count, expansion):
  return [ResidualBlock(width, width * expansion // group, expansion) for _ in range(count)]


class Generator(nn.Module):
  def __init__(self, latents, channels, counts, group, expansion, classes=0, embedding=0):
    super().__init__()
    starts = [GenerativeBasis(latents + embedding, channels[0])]
    starts += [Change(a, b, up=True) for a, b in itertools.pairwise(channels)]
    self.MainLayers = nn.ModuleList(
      Stage([start, *blocks(width, group, count, expansion)])
      for start, width, count in zip(starts, channels, counts, strict=True)
    )
    self.AggregationLayer = Convolution(channels[-1], 3, 1)
    if classes:
      self.EmbeddingLayer = filled(nn.Linear(classes, embedding, bias=False))

  def forward(self, x, y=None):
    x = x if y is None else torch.cat([x, self.EmbeddingLayer(y)], 1)
    for layer in self.MainLayers:
      x = layer(x)
    return self.AggregationLayer(x)


class Discriminator(nn.Module):
  def __init__(self, channels, counts, group, expansion, classes=0, embedding=0):
    super().__init__()
    ends = [Change(a, b, up=False) for a, b in itertools.pairwise(channels)]
    ends += [DiscriminativeBasis(channels[-1], embedding if classes else 1)]
    self.ExtractionLayer = Convolution(3, channels[0], 1)
    self.MainLayers = nn.ModuleList(
      Stage([*blocks(width, group, count, expansion), end])
      for end, width, count in zip(ends, channels, counts, strict=True)
    )
    if classes:
      self.EmbeddingLayer = filled(nn.Linear(classes, embedding, bias=False), 1 / math.sqrt(embedding))

  def forward(self, x, y=None):
    x = self.ExtractionLayer(x)
    for layer in self.MainLayers:
      x = layer(x)
    return x.flatten() if y is None else (x * self.EmbeddingLayer(y)).sum(1)


class Model(nn.Module):
  """The authors' training code wraps each network once more."""

  def __init__(self, network):
    super().__init__()
    self.Model = network

  def forward(self, x, y=None):
    return self.Model(x, y)
