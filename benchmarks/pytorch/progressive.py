"""Progressive GAN's networks in PyTorch."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.pytorch.weights import copied_into, take


class _Equalised(nn.Module):
  """A convolution, or with window 0 a dense layer, of equalised weights."""

  def __init__(self, inputs: int, outputs: int, window: int, gain: float = math.sqrt(2), chw: tuple[int, ...] = ()):
    super().__init__()
    shape = (outputs, inputs, window, window) if window else (outputs, inputs)
    self.weight, self.bias = nn.Parameter(torch.randn(shape)), nn.Parameter(torch.zeros(outputs))
    self.scale, self.window, self.chw = gain / math.sqrt(math.prod(shape[1:])), window, chw

  def take(self, params):
    take(self, params, chw=self.chw)

  def forward(self, x):
    weight = self.weight * self.scale
    if not self.window:
      return F.linear(x, weight, self.bias)
    return F.conv2d(x, weight, self.bias, padding=self.window // 2)


def _pixel_norm(x):
  return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class ProgressiveGenerator(nn.Module):
  """At its last resolution, nothing fading in."""

  def __init__(self, size: int, channels: tuple[int, ...]):
    super().__init__()
    self.sizes = [4 << i for i in range(size.bit_length() - 2)]
    self.project = nn.Parameter(torch.randn(16 * channels[0], 128))
    self.bias = nn.Parameter(torch.zeros(channels[0]))
    self.first = _Equalised(channels[0], channels[0], 3)
    pairs = zip(channels, channels[1:], self.sizes[1:], strict=False)
    self.blocks = nn.ModuleList(nn.ModuleList([_Equalised(a, b, 3), _Equalised(b, b, 3)]) for a, b, _ in pairs)
    self.image = _Equalised(channels[len(self.sizes) - 1], 3, 1, 1.0)

  def take(self, params, spectral):
    kernel = params['block_4']['project']['weights']['kernel']
    rows = kernel.T.reshape(4, 4, -1, 128).transpose(2, 0, 1, 3).reshape(-1, 128)
    copied_into(self.project, rows)
    copied_into(self.bias, params['block_4']['bias'])
    self.first.take(params['block_4']['conv'])
    for size, block in zip(self.sizes[1:], self.blocks, strict=True):
      for i, layer in enumerate(block):
        layer.take(params[f'block_{size}'][f'conv_{i}'])
    self.image.take(params[f'to_image_{self.sizes[-1]}'])

  def forward(self, z):
    act = lambda x: _pixel_norm(F.leaky_relu(x, 0.2))
    x = F.linear(_pixel_norm(z), self.project * (math.sqrt(2) / 4 / math.sqrt(z.shape[1])))
    x = act(self.first(act(x.view(len(z), -1, 4, 4) + self.bias[:, None, None])))
    for conv_0, conv_1 in self.blocks:
      x = act(conv_1(act(conv_0(F.interpolate(x, scale_factor=2)))))
    return self.image(x)


class ProgressiveDiscriminator(nn.Module):
  def __init__(self, size: int, channels: tuple[int, ...]):
    super().__init__()
    self.sizes = [4 << i for i in range(size.bit_length() - 2)]
    count, first = len(self.sizes), channels[0]
    self.features = _Equalised(3, channels[count - 1], 1)
    down = [(channels[i], channels[i - 1]) for i in range(count - 1, 0, -1)]
    self.blocks = nn.ModuleList(nn.ModuleList([_Equalised(a, a, 3), _Equalised(a, b, 3)]) for a, b in down)
    self.conv = _Equalised(first + 1, first, 3)
    self.dense = _Equalised(16 * first, first, 0, chw=(4, 4, first))
    self.last = _Equalised(first, 1, 0, 1.0)

  def take(self, params, spectral):
    self.features.take(params[f'from_image_{self.sizes[-1]}'])
    for size, block in zip(self.sizes[:0:-1], self.blocks, strict=True):
      for i, layer in enumerate(block):
        layer.take(params[f'block_{size}'][f'conv_{i}'])
    for name, layer in (('conv', self.conv), ('dense_0', self.dense), ('dense_1', self.last)):
      layer.take(params['block_4'][name])

  def forward(self, image):
    act = lambda x: F.leaky_relu(x, 0.2)
    x = act(self.features(image))
    for conv_0, conv_1 in self.blocks:
      x = act(F.avg_pool2d(conv_1(act(conv_0(x))), 2))
    groups = x.view(4, -1, *x.shape[1:])
    deviation = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3)).repeat(4)
    x = torch.cat([x, deviation[:, None, None, None].expand(-1, 1, 4, 4)], 1)
    x = act(self.dense(act(self.conv(x)).flatten(1)))
    return self.last(x)[:, 0]
