"""BigGAN, BigGAN-deep and SAGAN in PyTorch, small, from the papers' equations.

The two BigGANs name their tensors as the first author's code does, so that what `gan_jax.convert` reads can be tested:
BigGAN-deep's generator counts its blocks through, its discriminator has those of a resolution in one stage.
SAGAN is a function of arrays by our names.
"""

import itertools

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def unit(x):
  return x / x.norm().clamp_min(1e-12)


class Spectral(nn.Module):
  """A weight (out, in, ...) divided by one power iteration's singular value; `rows` counts its outputs."""

  def __init__(self, *shape, bias=True):
    super().__init__()
    self.weight = nn.Parameter(torch.randn(*shape) * 0.2)
    self.register_parameter('bias', nn.Parameter(torch.randn(shape[0]) * 0.1) if bias else None)
    self.register_buffer('u0', torch.randn(1, shape[0]))
    self.register_buffer('sv0', torch.ones(1))

  def normal(self):
    matrix = self.weight.flatten(1)
    with torch.no_grad():
      v = unit(self.u0[0] @ matrix)
      u = unit(matrix @ v)
      if self.training:
        self.u0[0] = u
    return self.weight / (u @ matrix @ v)


class Linear(Spectral):
  def forward(self, x):
    return F.linear(x, self.normal(), self.bias)


class Conv(Spectral):
  def forward(self, x):
    return F.conv2d(x, self.normal(), self.bias, padding=self.weight.shape[-1] // 2)


class Embedding(Spectral):
  def __init__(self, classes, features):
    super().__init__(classes, features, bias=False)

  def forward(self, label):
    return self.normal()[label]


def conv(inputs, outputs, window, bias=True):
  return Conv(outputs, inputs, window, window, bias=bias)


class Statistics(nn.Module):
  def __init__(self, channels):
    super().__init__()
    self.register_buffer('stored_mean', torch.randn(channels) * 0.1)
    self.register_buffer('stored_var', torch.rand(channels) + 0.5)

  def normal(self, x):
    return F.batch_norm(x, self.stored_mean, self.stored_var, training=self.training, momentum=0.1, eps=1e-5)


class Conditional(Statistics):
  """Of a vector per example; with classes, of a table of each class."""

  def __init__(self, channels, vector, classes=0):
    super().__init__(channels)
    table = lambda: nn.Embedding(classes, channels)
    linear = lambda: Linear(channels, vector, bias=False)
    self.gain, self.bias = (table() if classes else linear() for _ in range(2))

  def forward(self, x, y):
    return self.normal(x) * (1 + self.gain(y))[:, :, None, None] + self.bias(y)[:, :, None, None]


class Plain(Statistics):
  def __init__(self, channels):
    super().__init__(channels)
    self.gain, self.bias = nn.Parameter(torch.rand(channels) + 0.5), nn.Parameter(torch.randn(channels) * 0.1)

  def forward(self, x):
    return self.normal(x) * self.gain[:, None, None] + self.bias[:, None, None]


class Attention(nn.Module):
  def __init__(self, channels):
    super().__init__()
    few, half = channels // 8, channels // 2
    self.theta, self.phi = conv(channels, few, 1, False), conv(channels, few, 1, False)
    self.g, self.o = conv(channels, half, 1, False), conv(half, channels, 1, False)
    self.gamma = nn.Parameter(torch.tensor(0.7))

  def forward(self, x):
    query = self.theta(x).flatten(2)
    key, value = F.max_pool2d(self.phi(x), 2).flatten(2), F.max_pool2d(self.g(x), 2).flatten(2)
    share = torch.softmax(query.transpose(1, 2) @ key, -1)  # (B, HW, HW / 4)
    return x + self.gamma * self.o((value @ share.transpose(1, 2)).view(*value.shape[:2], *x.shape[2:]))


def grow(x):
  return F.interpolate(x, scale_factor=2)


def shrink(x):
  return F.avg_pool2d(x, 2)


class GBlock(nn.Module):
  def __init__(self, inputs, outputs, vector, classes=0):
    super().__init__()
    self.conv1, self.conv2, self.conv_sc = conv(inputs, outputs, 3), conv(outputs, outputs, 3), conv(inputs, outputs, 1)
    self.bn1, self.bn2 = Conditional(inputs, vector, classes), Conditional(outputs, vector, classes)

  def forward(self, x, y):
    h = self.conv1(grow(F.relu(self.bn1(x, y))))
    return self.conv_sc(grow(x)) + self.conv2(F.relu(self.bn2(h, y)))


class DeepGBlock(nn.Module):
  def __init__(self, inputs, outputs, vector, up):
    super().__init__()
    self.outputs, self.grow, narrow = outputs, grow if up else nn.Identity(), inputs // 4
    self.conv1, self.conv4 = conv(inputs, narrow, 1), conv(narrow, outputs, 1)
    self.conv2, self.conv3 = conv(narrow, narrow, 3), conv(narrow, narrow, 3)
    self.bn1 = Conditional(inputs, vector)
    self.bn2, self.bn3, self.bn4 = (Conditional(narrow, vector) for _ in range(3))

  def forward(self, x, y):
    h = self.conv1(F.relu(self.bn1(x, y)))
    h = self.conv2(self.grow(F.relu(self.bn2(h, y))))
    h = self.conv3(F.relu(self.bn3(h, y)))
    return self.grow(x[:, : self.outputs]) + self.conv4(F.relu(self.bn4(h, y)))


class DBlock(nn.Module):
  def __init__(self, inputs, outputs, down, first):
    super().__init__()
    self.first, self.shrink = first, shrink if down else nn.Identity()
    self.conv1, self.conv2 = conv(inputs, outputs, 3), conv(outputs, outputs, 3)
    self.conv_sc = conv(inputs, outputs, 1) if down or inputs != outputs else nn.Identity()

  def forward(self, x):
    h = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
    return self.shrink(h) + (self.conv_sc(self.shrink(x)) if self.first else self.shrink(self.conv_sc(x)))


class DeepDBlock(nn.Module):
  def __init__(self, inputs, outputs, down):
    super().__init__()
    self.shrink, narrow = shrink if down else nn.Identity(), outputs // 4
    self.conv1, self.conv4 = conv(inputs, narrow, 1), conv(narrow, outputs, 1)
    self.conv2, self.conv3 = conv(narrow, narrow, 3), conv(narrow, narrow, 3)
    if outputs > inputs:
      self.conv_sc = conv(inputs, outputs - inputs, 1)

  def forward(self, x):
    h = self.conv3(F.relu(self.conv2(F.relu(self.conv1(F.relu(x))))))
    h, x = self.conv4(self.shrink(F.relu(h))), self.shrink(x)
    return h + (torch.cat([x, self.conv_sc(x)], 1) if hasattr(self, 'conv_sc') else x)


class Generator(nn.Module):
  """Chunks of z for the blocks; `deep` gives all of it to each, and has two blocks for each resolution.

  Without an embedding all of z goes into the first map, and every norm has a table.
  """

  def __init__(self, widths, classes, embedding, latents, attention, deep=False):
    super().__init__()
    self.deep, self.chunk = deep, latents if deep or not embedding else latents // len(widths)
    vector = embedding + self.chunk
    if embedding:
      self.shared = nn.Embedding(classes, embedding)
    self.linear = Linear(16 * widths[0], vector if deep else self.chunk)
    self.blocks = nn.ModuleList()
    for i, (a, b) in enumerate(itertools.pairwise(widths)):
      if deep:
        self.blocks += [
          nn.ModuleList([DeepGBlock(a, a, vector, False)]),
          nn.ModuleList([DeepGBlock(a, b, vector, True)]),
        ]
      else:
        self.blocks.append(nn.ModuleList([GBlock(a, b, vector, 0 if embedding else classes)]))
      if 8 * 2**i in attention:
        self.blocks[-1].append(Attention(b))
    self.output_layer = nn.Sequential(Plain(widths[-1]), nn.ReLU(), conv(widths[-1], 3, 3))

  def forward(self, z, label):
    if not hasattr(self, 'shared'):
      start, vectors = z, [label] * len(self.blocks)
      return self.image(start, vectors)
    y = self.shared(label)
    chunks = z.split(self.chunk, 1)
    start = torch.cat([y, z], 1) if self.deep else chunks[0]
    vectors = [start] * len(self.blocks) if self.deep else [torch.cat([y, chunk], 1) for chunk in chunks[1:]]
    return self.image(start, vectors)

  def image(self, start, vectors):
    h = self.linear(start)
    h = h.view(len(h), -1, 4, 4)
    for layers, vector in zip(self.blocks, vectors, strict=True):
      h = layers[0](h, vector)
      for layer in layers[1:]:
        h = layer(h)
    return torch.tanh(self.output_layer(h))


class Discriminator(nn.Module):
  """By projection; `deep` has a first convolution and two blocks for each resolution."""

  def __init__(self, widths, halvings, classes, size, attention, deep=False):
    super().__init__()
    self.blocks = nn.ModuleList()
    if deep:
      self.input_conv = conv(3, widths[0], 3)
      pairs = list(itertools.pairwise(widths))
    else:
      pairs = list(itertools.pairwise((3, *widths)))
    for i, (a, b) in enumerate(pairs):
      down = i < halvings
      if deep:
        self.blocks.append(nn.ModuleList([DeepDBlock(a, b, down), DeepDBlock(b, b, False)]))
      else:
        self.blocks.append(nn.ModuleList([DBlock(a, b, down, i == 0)]))
      size = size // 2 if down else size
      if down and size in attention:
        self.blocks[-1].append(Attention(b))
    self.linear, self.embed = Linear(1, widths[-1]), Embedding(classes, widths[-1])

  def forward(self, x, label):
    x = self.input_conv(x) if hasattr(self, 'input_conv') else x
    for layers in self.blocks:
      for layer in layers:
        x = layer(x)
    x = F.relu(x).sum((2, 3))
    return self.linear(x)[:, 0] + (self.embed(label) * x).sum(1)


class Sagan:
  """SAGAN's two networks as functions of our variables: {'params/...': array}.

  Args:
    variables: of one network.
    train: whether statistics are those of the batch, and weights are divided after one more power iteration.
  """

  def __init__(self, variables, train):
    self.of, self.train = {name: torch.tensor(np.array(array)) for name, array in variables.items()}, train

  def weight(self, name):
    kernel, u = self.of[f'params/{name}/weights/kernel'], self.of[f'spectral/{name}/weights/u']
    matrix = kernel.reshape(-1, kernel.shape[-1])  # (in, out)
    if self.train:
      u = unit(matrix.T @ unit(matrix @ u))
    return kernel / (unit(matrix @ u) @ matrix @ u)

  def conv(self, name, x):
    bias = self.of.get(f'params/{name}/bias')
    return F.conv2d(x, self.weight(name).permute(3, 2, 0, 1), bias, padding='same')

  def linear(self, name, x):
    return x @ self.weight(name) + self.of[f'params/{name}/bias']

  def standard(self, name, x):
    if self.train:
      mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
    else:
      mean, variance = self.of[f'batch_stats/{name}/mean'], self.of[f'batch_stats/{name}/var']
    return (x - mean[:, None, None]) / (variance + 1e-5).sqrt()[:, None, None]

  def of_class(self, name, x, label):
    gain, bias = (self.of[f'params/{name}/{part}/weights/kernel'][label][:, :, None, None] for part in ('gain', 'bias'))
    return self.standard(f'{name}/PlainBatchNorm_0/norm', x) * gain + bias

  def attention(self, name, x):
    flat = lambda y: y.flatten(2)
    query = flat(self.conv(f'{name}/theta', x))
    key, value = (flat(F.max_pool2d(self.conv(f'{name}/{part}', x), 2)) for part in ('phi', 'g'))
    share = torch.softmax(torch.einsum('bcq,bck->bqk', query, key), -1)
    seen = torch.einsum('bck,bqk->bcq', value, share).unflatten(2, x.shape[2:])
    return x + self.of[f'params/{name}/gamma'] * self.conv(f'{name}/o', seen)

  def generator(self, z, label, blocks, attention):
    x = self.linear('project/dense', z).view(len(z), 4, 4, -1).permute(0, 3, 1, 2)
    for i in range(blocks):
      name = f'block_{i}'
      y = self.conv(f'{name}/conv_1', grow(F.relu(self.of_class(f'{name}/norm_1', x, label))))
      y = self.conv(f'{name}/conv_2', F.relu(self.of_class(f'{name}/norm_2', y, label)))
      x = self.conv(f'{name}/shortcut', grow(x)) + y
      if x.shape[2] == attention:
        x = self.attention(f'attention_{attention}', x)
    gain, bias = (self.of[f'params/image/norm/norm/{part}'][:, None, None] for part in ('scale', 'bias'))
    x = F.relu(self.standard('image/norm/norm', x) * gain + bias)
    return torch.tanh(self.conv('image/conv', x)).permute(0, 2, 3, 1)

  def discriminator(self, x, label, blocks, halvings, attention):
    x = x.permute(0, 3, 1, 2)
    for i in range(blocks):
      name, less = f'block_{i}', shrink if i < halvings else lambda y: y
      y = self.conv(f'{name}/conv_1', x if i == 0 else F.relu(x))
      y = less(self.conv(f'{name}/conv_2', F.relu(y)))
      has = f'params/{name}/shortcut/bias' in self.of
      x = y + (self.conv(f'{name}/shortcut', less(x)) if has else x)
      if i < halvings and x.shape[2] == attention:
        x = self.attention(f'attention_{attention}', x)
    x = F.relu(x).sum((2, 3))
    return self.linear('head/logit', x)[:, 0] + (self.weight('head/classes')[label] * x).sum(1)
