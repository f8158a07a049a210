"""StyleGAN 2 in PyTorch: parameters and buffers under the names of StyleGAN2-ADA's modules, layers in its order."""

import math

import torch
import torch.nn.functional as F
from torch import nn

FILTER = torch.tensor([1.0, 3.0, 3.0, 1.0])


def _random(*shape):
  return nn.Parameter(torch.randn(shape))


def _smooth(x, pads, gain=1.0, stride=1):
  """The filter [1, 3, 3, 1] of a gain per side, after zeros (before, after) on each side: one of 4x4, as theirs."""
  window = (FILTER / FILTER.sum() * gain).to(x)
  window = torch.outer(window, window).repeat(x.shape[1], 1, 1, 1)
  return F.conv2d(F.pad(x, (*pads, *pads)), window, stride=stride, groups=x.shape[1])


def _enlarge(x):
  spread = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
  spread[:, :, ::2, ::2] = x
  return _smooth(spread, (2, 1), 2.0)


def _act(x, gain=1.0, clamp=None):
  x = F.leaky_relu(x, 0.2) * math.sqrt(2) * gain
  return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)


def _second_moment(x):
  return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class Linear(nn.Module):
  def __init__(self, inputs, outputs, rate=1.0, bias=0.0):
    super().__init__()
    self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
    self.bias = nn.Parameter(bias + 0.3 * torch.randn(outputs))
    self.rate = rate

  def forward(self, x):
    return x @ (self.weight * self.rate / math.sqrt(self.weight.shape[1])).T + self.bias * self.rate


class Mapping(nn.Module):
  def __init__(self, latents, classes, features, layers, averaged=True):
    super().__init__()
    self.classes, self.layers = classes, layers
    if classes:
      self.embed = Linear(classes, features)
    for i in range(layers):
      inputs = features if i else latents + (features if classes else 0)
      setattr(self, f'fc{i}', Linear(inputs, features, 0.01))
    if averaged:
      self.register_buffer('w_avg', torch.randn(features))

  def forward(self, z, label):
    parts = [] if z is None else [_second_moment(z)]
    if self.classes:
      parts.append(_second_moment(self.embed(F.one_hot(label, self.classes).float())))
    x = torch.cat(parts, 1)
    for i in range(self.layers):
      x = _act(getattr(self, f'fc{i}')(x))
    return x


class Styled(nn.Module):
  """A modulated convolution; with a resolution the noise and the activation too.

  It scales what goes in and what comes out, as the authors' code does in training, or with `whole` the weights of each
  example, as the paper says it. The noise is the fixed map, or what `draw` draws.
  """

  draw, whole = None, False

  def __init__(self, inputs, outputs, features, resolution=0, window=3, up=False, clamp=None):
    super().__init__()
    self.affine = Linear(features, inputs, bias=1.0)
    self.weight, self.bias = _random(outputs, inputs, window, window), _random(outputs)
    self.resolution, self.up, self.clamp = resolution, up, clamp
    if resolution:
      self.register_buffer('noise_const', torch.randn(resolution, resolution))
      self.noise_strength = _random()
      self.register_buffer('resample_filter', FILTER)

  def forward(self, x, w):
    y = self.of_each(x, self.affine(w)) if self.whole else self.scaled(x, self.affine(w))
    if not self.resolution:
      y = y + self.bias[:, None, None]
      return y if self.clamp is None else y.clamp(-self.clamp, self.clamp)
    noise = self.noise_const if self.draw is None else self.draw(len(x), 1, self.resolution, self.resolution)
    return _act(y + noise * self.noise_strength + self.bias[:, None, None], clamp=self.clamp)

  def convolved(self, x, weight):
    if self.up:
      return _smooth(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), (1, 1), 2.0)
    return F.conv2d(x, weight, padding=weight.shape[-1] // 2)

  def scaled(self, x, style):
    if not self.resolution:
      style = style / math.sqrt(self.weight[0].numel())
    y = self.convolved(x * style[:, :, None, None], self.weight)
    if not self.resolution:
      return y
    squares = (self.weight[None] * style[:, None, :, None, None]).square().sum((2, 3, 4))
    return y * (squares + 1e-8).rsqrt()[:, :, None, None]

  def of_each(self, x, style):
    weight = self.weight[None] * style[:, None, :, None, None]
    if self.resolution:
      weight = weight * (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    else:
      weight = weight / math.sqrt(self.weight[0].numel())
    return torch.cat([self.convolved(own[None], kernel) for own, kernel in zip(x, weight, strict=True)])


class SynthesisBlock(nn.Module):
  def __init__(self, inputs, outputs, features, resolution, colours, clamp):
    super().__init__()
    self.register_buffer('resample_filter', FILTER)
    if inputs:
      self.conv0 = Styled(inputs, outputs, features, resolution, up=True, clamp=clamp)
    else:
      self.const = _random(outputs, resolution, resolution)
    self.conv1 = Styled(outputs, outputs, features, resolution, clamp=clamp)
    self.torgb = Styled(outputs, colours, features, window=1, clamp=clamp)

  def forward(self, x, image, styles):
    if x is None:
      x = self.const[None].repeat(len(styles[0]), 1, 1, 1)
    else:
      x = self.conv0(x, styles[0])
    x = self.conv1(x, styles[-2])
    new = self.torgb(x, styles[-1])
    return x, new if image is None else _enlarge(image) + new


class Synthesis(nn.Module):
  def __init__(self, widths, features, colours, clamp):
    super().__init__()
    self.sizes = [4 << i for i in range(len(widths))]
    for i, size in enumerate(self.sizes):
      block = SynthesisBlock(widths[i - 1] if i else 0, widths[i], features, size, colours, clamp)
      setattr(self, f'b{size}', block)

  def forward(self, styles):
    x = image = None
    place = 0
    for size in self.sizes:
      count = 2 if size == 4 else 3
      x, image = getattr(self, f'b{size}')(x, image, styles[place : place + count])
      place += count - 1
    return image


class Generator(nn.Module):
  def __init__(self, widths, latents, features, layers, classes=0, colours=3, clamp=None):
    super().__init__()
    self.synthesis = Synthesis(widths, features, colours, clamp)
    self.mapping = Mapping(latents, classes, features, layers)
    self.count = 2 * len(widths)

  def forward(self, z, label=None, psi=1.0, cutoff=None):
    w = self.mapping(z, label)
    short = self.mapping.w_avg + psi * (w - self.mapping.w_avg)
    return self.synthesis([short if cutoff is None or i < cutoff else w for i in range(self.count)])


class Conv(nn.Module):
  def __init__(self, inputs, outputs, window, bias=True, down=False):
    super().__init__()
    self.weight = _random(outputs, inputs, window, window)
    self.register_buffer('resample_filter', FILTER)
    self.bias = _random(outputs) if bias else None
    self.down = down

  def forward(self, x):
    weight, window = self.weight / math.sqrt(self.weight[0].numel()), self.weight.shape[-1]
    if not self.down:
      return F.conv2d(x, weight, self.bias, padding=window // 2)
    if window == 1:
      return F.conv2d(_smooth(x, (1, 1), stride=2), weight, self.bias)
    return F.conv2d(_smooth(x, (window // 2 + 1,) * 2), weight, self.bias, stride=2)


class DiscriminatorBlock(nn.Module):
  def __init__(self, inputs, outputs, colours, form, clamp):
    super().__init__()
    self.form, self.clamp = form, clamp
    self.register_buffer('resample_filter', FILTER)
    if colours:
      self.fromrgb = Conv(colours, inputs, 1)
    self.conv0, self.conv1 = Conv(inputs, inputs, 3), Conv(inputs, outputs, 3, down=True)
    if form == 'residual':
      self.skip = Conv(inputs, outputs, 1, bias=False, down=True)

  def forward(self, x, image):
    if hasattr(self, 'fromrgb'):
      seen = _act(self.fromrgb(image), clamp=self.clamp)
      x = seen if x is None else x + seen
    gain = math.sqrt(0.5) if self.form == 'residual' else 1.0
    y = _act(self.conv1(_act(self.conv0(x), clamp=self.clamp)), gain, self.clamp)
    if self.form == 'residual':
      y = y + gain * self.skip(x)
    return y, _smooth(image, (1, 1), stride=2)


class Epilogue(nn.Module):
  def __init__(self, width, classes, colours, group, clamp):
    super().__init__()
    if colours:
      self.fromrgb = Conv(colours, width, 1)
    self.group, self.clamp, self.classes = group, clamp, classes
    self.conv = Conv(width + 1, width, 3)
    self.fc, self.out = Linear(16 * width, width), Linear(width, width if classes else 1)

  def forward(self, x, image, mapped):
    if hasattr(self, 'fromrgb'):
      x = x + _act(self.fromrgb(image))
    groups = x.reshape(self.group, -1, *x.shape[1:])
    spread = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    plane = spread.repeat(self.group)[:, None, None, None].expand(-1, 1, 4, 4)
    x = _act(self.conv(torch.cat([x, plane], 1)), clamp=self.clamp)
    x = self.out(_act(self.fc(x.flatten(1))))
    return (x * mapped).sum(1) / math.sqrt(x.shape[1]) if self.classes else x[:, 0]


class Discriminator(nn.Module):
  def __init__(self, widths, group, classes=0, layers=8, form='residual', colours=3, clamp=None):
    super().__init__()
    self.sizes = [4 << i for i in reversed(range(1, len(widths)))]
    for i, size in reversed(list(enumerate(4 << i for i in range(len(widths))))):
      seen = colours if form == 'skip' or i == len(widths) - 1 else 0
      if i:
        setattr(self, f'b{size}', DiscriminatorBlock(widths[i], widths[i - 1], seen, form, clamp))
    if classes:
      self.mapping = Mapping(0, classes, widths[0], layers, averaged=False)
    self.b4 = Epilogue(widths[0], classes, colours if form == 'skip' else 0, group, clamp)

  def forward(self, image, label=None):
    x = None
    for size in self.sizes:
      x, image = getattr(self, f'b{size}')(x, image)
    return self.b4(x, image, self.mapping(None, label) if label is not None else None)
