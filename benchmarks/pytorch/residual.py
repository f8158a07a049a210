"""The residual networks of SNGAN and BigGAN in PyTorch."""

import itertools

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from benchmarks.pytorch.weights import Tree, copied_into, take

#: The height at which the networks of classes have attention, if they have such a map.
ATTENTION = 64


def _conv(kind: str, inputs: int, outputs: int, window: int, bias: bool = True) -> nn.Module:
  layer = nn.Conv2d(inputs, outputs, window, padding=window // 2, bias=bias)
  return spectral_norm(layer, eps=1e-12) if kind == 'spectral' else layer


def _linear(kind: str, inputs: int, outputs: int, bias: bool = True) -> nn.Module:
  layer = nn.Linear(inputs, outputs, bias=bias)
  return spectral_norm(layer, eps=1e-12) if kind == 'spectral' else layer


def _in(spectral: Tree, *path: str) -> Tree | None:
  """The entry of a tree of spectral vectors; None where a layer has none."""
  for name in path:
    if name not in spectral:
      return None
    spectral = spectral[name]
  return spectral


class _ConditionalNorm(nn.Module):
  """Batch norm whose gain and bias are linear in a vector."""

  def __init__(self, channels: int, vector: int):
    super().__init__()
    self.norm = nn.BatchNorm2d(channels, affine=False)
    self.gain = _linear('spectral', vector, channels, False)
    self.bias = _linear('spectral', vector, channels, False)

  def take(self, params, spectral):
    take(self.gain, params['gain'], spectral['gain'])
    take(self.bias, params['bias'], spectral['bias'])

  def forward(self, x, vector):
    gain, bias = 1 + self.gain(vector), self.bias(vector)
    return torch.addcmul(bias[:, :, None, None], self.norm(x), gain[:, :, None, None])


class _PlainNorm(nn.Module):
  def __init__(self, channels: int, vector: int = 0):
    super().__init__()
    self.norm = nn.BatchNorm2d(channels)

  def take(self, params, spectral):
    copied_into(self.norm.weight, params['norm']['scale'])
    copied_into(self.norm.bias, params['norm']['bias'])

  def forward(self, x, vector=None):
    return self.norm(x)


class _GeneratorBlock(nn.Module):
  def __init__(self, inputs: int, outputs: int, kind: str, vector: int = 0):
    super().__init__()
    norm = _ConditionalNorm if vector else _PlainNorm
    self.norm_1, self.norm_2 = norm(inputs, vector), norm(outputs, vector)
    self.conv_1, self.conv_2 = _conv(kind, inputs, outputs, 3), _conv(kind, outputs, outputs, 3)
    self.shortcut = _conv(kind, inputs, outputs, 1)

  def take(self, params, spectral):
    for name in ('norm_1', 'norm_2'):
      getattr(self, name).take(params[name], spectral.get(name, {}))
    for name in ('conv_1', 'conv_2', 'shortcut'):
      take(getattr(self, name), params[name], _in(spectral, name))

  def forward(self, x, vector=None):
    grow = lambda y: F.interpolate(y, scale_factor=2)
    y = self.conv_1(grow(F.relu(self.norm_1(x, vector))))
    y = self.conv_2(F.relu(self.norm_2(y, vector)))
    return self.shortcut(grow(x)) + y


class _DiscriminatorBlock(nn.Module):
  def __init__(self, inputs: int, outputs: int, down: bool, first: bool):
    super().__init__()
    self.down, self.first = down, first
    self.conv_1, self.conv_2 = _conv('spectral', inputs, outputs, 3), _conv('spectral', outputs, outputs, 3)
    self.shortcut = _conv('spectral', inputs, outputs, 1) if first or down or inputs != outputs else None

  def take(self, params, spectral):
    for name in ('conv_1', 'conv_2', 'shortcut'):
      if getattr(self, name) is not None:
        take(getattr(self, name), params[name], spectral[name])

  def forward(self, x):
    shrink = (lambda y: F.avg_pool2d(y, 2)) if self.down else (lambda y: y)
    y = self.conv_1(x if self.first else F.relu(x))
    y = shrink(self.conv_2(F.relu(y)))
    if self.first:
      x = self.shortcut(shrink(x))
    elif self.shortcut is not None:
      x = shrink(self.shortcut(x))
    return x + y


class _Attention(nn.Module):
  def __init__(self, channels: int):
    super().__init__()
    self.theta = _conv('spectral', channels, max(channels // 8, 1), 1, False)
    self.phi = _conv('spectral', channels, max(channels // 8, 1), 1, False)
    self.g = _conv('spectral', channels, max(channels // 2, 1), 1, False)
    self.o = _conv('spectral', max(channels // 2, 1), channels, 1, False)
    self.gamma = nn.Parameter(torch.zeros(()))

  def take(self, params, spectral):
    for name in ('theta', 'phi', 'g', 'o'):
      take(getattr(self, name), params[name], spectral[name])
    copied_into(self.gamma, params['gamma'])

  def forward(self, x):
    query = self.theta(x).flatten(2).transpose(1, 2)
    key = F.max_pool2d(self.phi(x), 2).flatten(2).transpose(1, 2)
    value = F.max_pool2d(self.g(x), 2).flatten(2).transpose(1, 2)
    seen = F.scaled_dot_product_attention(query, key, value, scale=1.0)
    return x + self.gamma * self.o(seen.transpose(1, 2).unflatten(2, x.shape[2:]))


class ResNetGenerator(nn.Module):
  """SNGAN's (no classes) and BigGAN's."""

  def __init__(self, channels: tuple[int, ...], latents: int, classes: int):
    super().__init__()
    kind = 'spectral' if classes else 'plain'
    self.chunk, self.first = (20 if classes else latents), channels[0]
    self.shared = nn.Embedding(classes, 128) if classes else None
    vector = 128 + self.chunk if classes else 0
    self.project = _linear(kind, self.chunk, 16 * channels[0])
    self.blocks = nn.ModuleList(_GeneratorBlock(a, b, kind, vector) for a, b in itertools.pairwise(channels))
    side = [4 * 2**i for i in range(len(channels))]
    self.attention = _Attention(channels[side.index(ATTENTION)]) if classes and ATTENTION in side else None
    self.norm = _PlainNorm(channels[-1])
    self.image = _conv(kind, channels[-1], 3, 3)

  def take(self, params, spectral):
    if self.shared is not None:
      copied_into(self.shared.weight, params['shared']['weights']['kernel'])
    take(self.project, params['project']['dense'], _in(spectral, 'project', 'dense'), chw=(4, 4, self.first))
    for i, block in enumerate(self.blocks):
      block.take(params[f'block_{i}'], spectral.get(f'block_{i}', {}))
    if self.attention is not None:
      self.attention.take(params[f'attention_{ATTENTION}'], spectral[f'attention_{ATTENTION}'])
    self.norm.take(params['image']['norm'], {})
    take(self.image, params['image']['conv'], _in(spectral, 'image', 'conv'))

  def forward(self, z, label=None):
    first, *chunks = z.split(self.chunk, 1)
    x = self.project(first).view(-1, self.first, 4, 4)
    for i, block in enumerate(self.blocks):
      x = block(x) if self.shared is None else block(x, torch.cat([self.shared(label), chunks[i]], 1))
      if self.attention is not None and x.shape[2] == ATTENTION:
        x = self.attention(x)
    return torch.tanh(self.image(F.relu(self.norm(x))))


class ResNetDiscriminator(nn.Module):
  """SNGAN's (no classes) and BigGAN's, with a projection."""

  def __init__(self, size: int, channels: tuple[int, ...], halvings: int, classes: int):
    super().__init__()
    wide = (3, *channels)
    self.blocks = nn.ModuleList(
      _DiscriminatorBlock(a, b, i < halvings, i == 0) for i, (a, b) in enumerate(itertools.pairwise(wide))
    )
    side = [size // 2 ** (i + 1) if i < halvings else 0 for i in range(len(channels))]
    self.attention = _Attention(channels[side.index(ATTENTION)]) if classes and ATTENTION in side else None
    self.logit = _linear('spectral', channels[-1], 1)
    self.projection = spectral_norm(nn.Embedding(classes, channels[-1]), eps=1e-12) if classes else None

  def take(self, params, spectral):
    for i, block in enumerate(self.blocks):
      block.take(params[f'block_{i}'], spectral[f'block_{i}'])
    if self.attention is not None:
      self.attention.take(params[f'attention_{ATTENTION}'], spectral[f'attention_{ATTENTION}'])
    take(self.logit, params['head']['logit'], spectral['head']['logit'])
    if self.projection is not None:
      table, u = params['head']['classes']['weights']['kernel'], spectral['head']['classes']['weights']['u']
      left = table @ u  # our u belongs to the columns
      copied_into(self.projection.parametrizations.weight.original, table)
      copied_into(self.projection.parametrizations.weight[0]._v, u / np.linalg.norm(u))
      copied_into(self.projection.parametrizations.weight[0]._u, left / np.linalg.norm(left))

  def forward(self, x, label=None):
    for block in self.blocks:
      x = block(x)
      if self.attention is not None and x.shape[2] == ATTENTION:
        x = self.attention(x)
    x = F.relu(x).sum((2, 3))
    logits = self.logit(x)[:, 0]
    return logits if self.projection is None else logits + (self.projection(label) * x).sum(1)
