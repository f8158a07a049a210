"""The same works in PyTorch: the networks, losses and optimizers of `benchmarks.works`, written as one would for speed.

The discriminator's parameters do not ask for gradients in the generator's move, latents are drawn on the device,
gradients are set to None, the optimizers are fused, data are on the device or come from a DataLoader.
"""

import contextlib
import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from benchmarks.works import SEQUENCES, TRANSLATIONS, WORKS, latents_of, widths
from gan_jax.nets.biggan import WIDTHS, channels_of

Tree = Mapping[str, Any]
#: The height at which the networks of classes have attention, if they have such a map.
ATTENTION = 64


def _copy(to: torch.Tensor, array: np.ndarray) -> None:
  to.data.copy_(torch.from_numpy(np.array(array, order='C')))


def _take(module: nn.Module, params: Tree, spectral: Tree | None = None, chw: tuple[int, ...] = ()) -> None:
  """Parameters of a layer from gan_jax's; `chw` orders those of a dense layer that ends or begins in an image."""
  if 'weights' in params:
    kernel, bias = params['weights']['kernel'], params.get('bias')
  else:
    kernel, bias = params['kernel'], params.get('bias')
  if kernel.ndim == 4:
    weight = kernel.transpose(3, 2, 0, 1)  # of a transposed convolution too, whose kernel is that of its adjoint
  else:
    weight = kernel.T
    if chw:
      rows = isinstance(module, nn.Linear) and weight.shape[0] == math.prod(chw)
      height, width, channels = chw
      order = np.arange(math.prod(chw)).reshape(height, width, channels).transpose(2, 0, 1).ravel()
      weight = weight[order] if rows else weight[:, order]
      bias = bias[order] if rows and bias is not None else bias
  if spectral is not None:
    u = spectral['weights']['u']
    matrix = weight.reshape(weight.shape[0], -1)
    v = matrix.T @ u
    _copy(module.parametrizations.weight.original, weight)
    _copy(module.parametrizations.weight[0]._u, u)
    _copy(module.parametrizations.weight[0]._v, v / np.linalg.norm(v))
  else:
    _copy(module.weight, weight)
  if bias is not None:
    _copy(module.bias, bias)


class _MLPGenerator(nn.Module):
  def __init__(self, hidden: tuple[int, ...]):
    super().__init__()
    sizes = (100, *hidden, 784)
    self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))

  def take(self, params, spectral):
    for i, layer in enumerate(self.layers):
      _take(layer, params[f'Dense_{i}'])

  def forward(self, z):
    for layer in self.layers[:-1]:
      z = F.relu(layer(z))
    return torch.sigmoid(self.layers[-1](z))


class _Maxout(nn.Module):
  def __init__(self, units: tuple[int, ...], dropout: bool):
    super().__init__()
    sizes = (784, *units)
    self.layers = nn.ModuleList(nn.Linear(a, 5 * b) for a, b in itertools.pairwise(sizes))
    self.last = nn.Linear(units[-1], 1)
    self.rates = (0.2, 0.5, 0.5) if dropout else (0.0, 0.0, 0.0)

  def take(self, params, spectral):
    for i, layer in enumerate(self.layers):
      _take(layer, params[f'Maxout_{i}']['Dense_0'])
    _take(self.last, params['Dense_0'])

  def forward(self, x):
    x = x.flatten(1)
    for layer, rate in zip(self.layers, self.rates, strict=False):
      x = F.dropout(x, rate) if rate else x
      x = layer(x).unflatten(1, (-1, 5)).amax(2)
    x = F.dropout(x, self.rates[-1]) if self.rates[-1] else x
    return self.last(x)[:, 0]


class _DCGANGenerator(nn.Module):
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
    _take(self.project, params['project'], chw=(4, 4, self.first))
    for i, layer in enumerate(self.convs):
      _take(layer, params[f'ConvTranspose_{i}'])
    for i, norm in enumerate(self.norms):
      _copy(norm.weight, params[f'BatchNorm_{i}']['norm']['scale'])
      _copy(norm.bias, params[f'BatchNorm_{i}']['norm']['bias'])

  def forward(self, z):
    x = self.project(z).view(-1, self.first, 4, 4)
    for norm, layer in zip(self.norms, self.convs, strict=True):
      x = layer(F.relu(norm(x), inplace=True))
    return torch.tanh(x)


class _DCGANDiscriminator(nn.Module):
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
      _take(layer, params[f'Conv_{i}'])
    for i, norm in enumerate(self.norms):
      _copy(norm.weight, params[f'BatchNorm_{i}']['norm']['scale'])
      _copy(norm.bias, params[f'BatchNorm_{i}']['norm']['bias'])
    _take(self.last, params['Dense_0'], chw=(4, 4, self.convs[-1].out_channels))

  def forward(self, x):
    x = F.leaky_relu(self.convs[0](x), 0.2, inplace=True)
    for norm, layer in zip(self.norms, self.convs[1:], strict=True):
      x = F.leaky_relu(norm(layer(x)), 0.2, inplace=True)
    return self.last(x.flatten(1))[:, 0]


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
    _take(self.gain, params['gain'], spectral['gain'])
    _take(self.bias, params['bias'], spectral['bias'])

  def forward(self, x, vector):
    gain, bias = 1 + self.gain(vector), self.bias(vector)
    return torch.addcmul(bias[:, :, None, None], self.norm(x), gain[:, :, None, None])


class _PlainNorm(nn.Module):
  def __init__(self, channels: int, vector: int = 0):
    super().__init__()
    self.norm = nn.BatchNorm2d(channels)

  def take(self, params, spectral):
    _copy(self.norm.weight, params['norm']['scale'])
    _copy(self.norm.bias, params['norm']['bias'])

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
      _take(getattr(self, name), params[name], _in(spectral, name))

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
        _take(getattr(self, name), params[name], spectral[name])

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
      _take(getattr(self, name), params[name], spectral[name])
    _copy(self.gamma, params['gamma'])

  def forward(self, x):
    query = self.theta(x).flatten(2).transpose(1, 2)
    key = F.max_pool2d(self.phi(x), 2).flatten(2).transpose(1, 2)
    value = F.max_pool2d(self.g(x), 2).flatten(2).transpose(1, 2)
    seen = F.scaled_dot_product_attention(query, key, value, scale=1.0)
    return x + self.gamma * self.o(seen.transpose(1, 2).unflatten(2, x.shape[2:]))


class _ResNetGenerator(nn.Module):
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
      _copy(self.shared.weight, params['shared']['weights']['kernel'])
    _take(self.project, params['project']['dense'], _in(spectral, 'project', 'dense'), chw=(4, 4, self.first))
    for i, block in enumerate(self.blocks):
      block.take(params[f'block_{i}'], spectral.get(f'block_{i}', {}))
    if self.attention is not None:
      self.attention.take(params[f'attention_{ATTENTION}'], spectral[f'attention_{ATTENTION}'])
    self.norm.take(params['image']['norm'], {})
    _take(self.image, params['image']['conv'], _in(spectral, 'image', 'conv'))

  def forward(self, z, label=None):
    first, *chunks = z.split(self.chunk, 1)
    x = self.project(first).view(-1, self.first, 4, 4)
    for i, block in enumerate(self.blocks):
      x = block(x) if self.shared is None else block(x, torch.cat([self.shared(label), chunks[i]], 1))
      if self.attention is not None and x.shape[2] == ATTENTION:
        x = self.attention(x)
    return torch.tanh(self.image(F.relu(self.norm(x))))


class _ResNetDiscriminator(nn.Module):
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
    _take(self.logit, params['head']['logit'], spectral['head']['logit'])
    if self.projection is not None:
      table, u = params['head']['classes']['weights']['kernel'], spectral['head']['classes']['weights']['u']
      left = table @ u  # our u belongs to the columns
      _copy(self.projection.parametrizations.weight.original, table)
      _copy(self.projection.parametrizations.weight[0]._v, u / np.linalg.norm(u))
      _copy(self.projection.parametrizations.weight[0]._u, left / np.linalg.norm(left))

  def forward(self, x, label=None):
    for block in self.blocks:
      x = block(x)
      if self.attention is not None and x.shape[2] == ATTENTION:
        x = self.attention(x)
    x = F.relu(x).sum((2, 3))
    logits = self.logit(x)[:, 0]
    return logits if self.projection is None else logits + (self.projection(label) * x).sum(1)


class _Equalised(nn.Module):
  """A convolution, or with window 0 a dense layer, of equalised weights."""

  def __init__(self, inputs: int, outputs: int, window: int, gain: float = math.sqrt(2), chw: tuple[int, ...] = ()):
    super().__init__()
    shape = (outputs, inputs, window, window) if window else (outputs, inputs)
    self.weight, self.bias = nn.Parameter(torch.randn(shape)), nn.Parameter(torch.zeros(outputs))
    self.scale, self.window, self.chw = gain / math.sqrt(math.prod(shape[1:])), window, chw

  def take(self, params):
    _take(self, params, chw=self.chw)

  def forward(self, x):
    weight = self.weight * self.scale
    if not self.window:
      return F.linear(x, weight, self.bias)
    return F.conv2d(x, weight, self.bias, padding=self.window // 2)


def _pixel_norm(x):
  return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class _ProgressiveGenerator(nn.Module):
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
    _copy(self.project, rows)
    _copy(self.bias, params['block_4']['bias'])
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


class _ProgressiveDiscriminator(nn.Module):
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


def _networks(name: str, small: bool, dropout: bool) -> tuple[nn.Module, nn.Module]:
  work, width = WORKS[name], widths(name, small)
  if name == 'gan2014':
    return _MLPGenerator(width['hidden']), _Maxout(width['units'], dropout)
  if name == 'dcgan64':
    return _DCGANGenerator(width['channels']), _DCGANDiscriminator(width['channels'][::-1])
  if name == 'sngan32':
    g, d = (width['generator'],) * 4, (width['discriminator'],) * 4
    return _ResNetGenerator(g, 128, 0), _ResNetDiscriminator(32, d, 2, 0)
  if name.startswith('progressive'):
    sizes = work.size, width['channels']
    return _ProgressiveGenerator(*sizes), _ProgressiveDiscriminator(*sizes)
  multiples, ch = WIDTHS[work.size], width['channels']
  generator = _ResNetGenerator(channels_of(multiples.generator, ch), latents_of(name), work.classes)
  discriminator = channels_of(multiples.discriminator, ch)
  return generator, _ResNetDiscriminator(work.size, discriminator, multiples.halvings, work.classes)


class Program:
  """One work in one variant: 'eager', 'channels_last' or 'compile'; on a GPU under AMP in bfloat16.

  Args:
    name: of the work.
    variant: see above.
    device: 'cpu' or 'cuda'.
    batch: examples per move.
    small: take the widths of the tests.
    dropout: False leaves it out, for comparing losses.
  """

  def __init__(self, name: str, variant: str, device: str, batch: int, small: bool, dropout: bool = True):
    torch.manual_seed(0)
    self.name, self.device, self.batch, self.work = name, device, batch, WORKS[name]
    self.amp = device == 'cuda'
    self.progressive, self.penalty = name.startswith('progressive'), 10.0 if dropout else 0.0
    self.channels_last = variant != 'eager' and name != 'gan2014'
    self.modules = [module.to(device) for module in _networks(name, small, dropout)]
    if self.channels_last:
      self.modules = [module.to(memory_format=torch.channels_last) for module in self.modules]
    self.generator, self.discriminator = self.modules
    if variant == 'compile':
      self.generator, self.discriminator = torch.compile(self.generator), torch.compile(self.discriminator)
    if name == 'gan2014':
      make = lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.5, fused=True)
    else:
      betas = {'dcgan64': (0.5, 0.999), 'sngan32': (0.0, 0.9)}.get(name, (0.0, 0.999))
      betas, rate = ((0.0, 0.99), 1e-3) if self.progressive else (betas, 2e-4)
      make = lambda params: torch.optim.Adam(params, lr=rate, betas=betas, fused=True)
    self.optimizers = [make(module.parameters()) for module in self.modules]

  def take(self, params: Tree, variables: Tree) -> None:
    """The weights of gan_jax's networks."""
    spectral = variables.get('spectral', {})
    for module, player in zip(self.modules, ('generator', 'discriminator'), strict=True):
      module.take(params[player], spectral.get(player, {}))

  def prepared(self, images: torch.Tensor) -> torch.Tensor:
    """uint8 (B, H, W, C) on the device to floats (B, C, H, W) in the range."""
    x = images.permute(0, 3, 1, 2)
    x = x.contiguous(memory_format=torch.channels_last) if self.channels_last else x.contiguous()
    return x.float().div_(255.0) if self.name == 'gan2014' else x.float().div_(127.5).sub_(1.0)

  def latents(self) -> tuple[torch.Tensor, ...]:
    size = latents_of(self.name)
    if self.name == 'gan2014':
      z = torch.rand(self.batch, size, device=self.device).mul_(2 * 3**0.5).sub_(3**0.5)
    else:
      z = torch.randn(self.batch, size, device=self.device)
    if not self.work.classes:
      return (z,)
    return z, torch.randint(self.work.classes, (self.batch,), device=self.device)

  def _cast(self) -> Any:
    return torch.autocast('cuda', torch.bfloat16) if self.amp else contextlib.nullcontext()

  def discriminator_loss(self, image, label, fake, latents):
    if self.name in ('gan2014', 'dcgan64'):
      real_logits, fake_logits = self.discriminator(image), self.discriminator(fake.view_as(image))
      return F.softplus(-real_logits.float()).mean() + F.softplus(fake_logits.float()).mean()
    if self.progressive:
      return self.penalised(image, fake)
    labels = (torch.cat([label, latents[1]]),) if self.work.classes else ()
    real_logits, fake_logits = self.discriminator(torch.cat([image, fake]), *labels).float().chunk(2)
    return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()

  def penalised(self, image, fake):
    """Wasserstein with a gradient penalty and drift."""
    real_logits, fake_logits = self.discriminator(image), self.discriminator(fake)
    loss = fake_logits.mean() - real_logits.mean() + 0.001 * real_logits.square().mean()
    if not self.penalty:
      return loss
    # The share asks for a gradient, not the points: the counter of operations refuses leaves.
    points = torch.lerp(image, fake, torch.rand(len(image), 1, 1, 1, device=self.device, requires_grad=True))
    (gradients,) = torch.autograd.grad(self.discriminator(points).sum(), points, create_graph=True)
    return loss + self.penalty * (gradients.flatten(1).norm(dim=1) - 1).square().mean()

  def generator_loss(self, fake, latents):
    logits = self.discriminator(fake, *latents[1:]).float()
    return F.softplus(-logits).mean() if self.name in ('gan2014', 'dcgan64') else -logits.mean()

  def losses(self, given: Mapping[str, np.ndarray], tree: Tree) -> dict[str, torch.Tensor]:
    """The losses of both players on fixed inputs, each from the weights of gan_jax as they are."""
    at = lambda name, dtype: torch.from_numpy(given[name]).to(self.device, dtype)
    image = at('image', torch.float32).permute(0, 3, 1, 2).contiguous()
    labels = (at('asked', torch.int64),) if self.work.classes else ()
    latents = (at('z', torch.float32), *labels)
    d_loss = self.discriminator_loss(image, at('real', torch.int64), self.generator(*latents), latents)
    self.take(tree['params'], tree)  # a pass in training moves the spectral vectors
    return {'discriminator': d_loss, 'generator': self.generator_loss(self.generator(*latents), latents)}

  def step(self, batches: list[tuple[torch.Tensor, torch.Tensor | None]]) -> tuple[torch.Tensor, torch.Tensor]:
    """One step: the discriminator's moves on the batches, and the generator's."""
    share = self.name == 'dcgan64'
    for image, label in batches:
      latents = self.latents()
      with self._cast():
        if share:
          fake = self.generator(*latents)
        else:
          with torch.no_grad():
            fake = self.generator(*latents)
        d_loss = self.discriminator_loss(self.prepared(image), label, fake.detach(), latents)
      d_loss.backward()
      self.optimizers[1].step()
      self.optimizers[1].zero_grad(set_to_none=True)
    self.modules[1].requires_grad_(False)
    with self._cast():
      if not share:
        latents = self.latents()
        fake = self.generator(*latents)
      g_loss = self.generator_loss(fake, latents)
    g_loss.backward()
    self.optimizers[0].step()
    self.optimizers[0].zero_grad(set_to_none=True)
    self.modules[1].requires_grad_(True)
    return d_loss.detach(), g_loss.detach()


def program_of(name: str) -> Any:
  """The class of a work's programs."""
  from benchmarks.torch_sequences import Sequences
  from benchmarks.torch_translation import Translation
  from benchmarks.torch_volumes import Volumes

  if name in TRANSLATIONS:
    return Translation
  return Sequences if name in SEQUENCES else Volumes if name == 'volumes32' else Program


class Arrays(torch.utils.data.Dataset):
  """Examples for a DataLoader, one by one."""

  def __init__(self, images: np.ndarray, labels: np.ndarray | None):
    self.images, self.labels = images, labels

  def __len__(self) -> int:
    return len(self.images)

  def __getitem__(self, i: int) -> Any:
    image = torch.from_numpy(self.images[i])
    return (image, 0 if self.labels is None else int(self.labels[i]))
