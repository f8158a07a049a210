"""Works of translation in PyTorch, with networks named and wired as junyanz/pytorch-CycleGAN-and-pix2pix has them.

The discriminators ask for no gradients in the generators' move, fakes are made once a step, gradients are set to None,
and the optimizers are fused.
"""

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from flax import traverse_util
from torch import nn

from benchmarks.pytorch.weights import Tree
from benchmarks.works import widths
from gan_jax.nets.published.cyclegan import calls


class Block(nn.Module):
  """A residual block: `conv_block` is padding, convolution, norm, ReLU, and the first three again."""

  def __init__(self, width: int, norm: Any, bias: bool):
    super().__init__()
    half = lambda: [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3, bias=bias), norm(width)]
    self.conv_block = nn.Sequential(*half(), nn.ReLU(True), *half())

  def forward(self, x):
    return x + self.conv_block(x)


class ResnetGenerator(nn.Module):
  def __init__(self, channels: int, blocks: int, norm: Any = nn.InstanceNorm2d):
    super().__init__()
    bias = norm is nn.InstanceNorm2d
    wide = [channels, 2 * channels, 4 * channels]
    layers: list[nn.Module] = [
      nn.ReflectionPad2d(3),
      nn.Conv2d(3, channels, 7, bias=bias),
      norm(channels),
      nn.ReLU(True),
    ]
    for a, b in itertools.pairwise(wide):
      layers += [nn.Conv2d(a, b, 3, 2, 1, bias=bias), norm(b), nn.ReLU(True)]
    layers += [Block(wide[-1], norm, bias) for _ in range(blocks)]
    for a, b in itertools.pairwise(wide[::-1]):
      layers += [nn.ConvTranspose2d(a, b, 3, 2, 1, output_padding=1, bias=bias), norm(b), nn.ReLU(True)]
    self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(channels, 3, 7), nn.Tanh())

  def forward(self, x):
    return self.model(x)


class Joint(nn.Module):
  """One level of a U-Net around the next."""

  def __init__(self, outside: int, width: int, inside: nn.Module | None, place: str, dropout: bool, given: int = 3):
    super().__init__()
    self.outermost = place == 'outermost'
    down = nn.Conv2d(given if self.outermost else outside, width, 4, 2, 1, bias=False)
    up = nn.ConvTranspose2d(width * (1 + (inside is not None)), outside, 4, 2, 1, bias=self.outermost)
    if self.outermost:
      layers = [down, inside, nn.ReLU(True), up, nn.Tanh()]
    elif inside is None:
      layers = [nn.LeakyReLU(0.2, True), down, nn.ReLU(True), up, nn.BatchNorm2d(outside)]
    else:
      layers = [
        nn.LeakyReLU(0.2, True),
        down,
        nn.BatchNorm2d(width),
        inside,
        nn.ReLU(True),
        up,
        nn.BatchNorm2d(outside),
      ]
    self.model = nn.Sequential(*layers, *([nn.Dropout(0.5)] if dropout else []))

  def forward(self, x):
    return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


class UNet(nn.Module):
  """Of any widths; the authors' code knows those of 256 and 128 pixels."""

  def __init__(self, channels: tuple[int, ...], dropout: int):
    super().__init__()
    inside, last = None, len(channels) - 1
    for i in range(last, 0, -1):
      place = '' if i < last else 'innermost'
      inside = Joint(channels[i - 1], channels[i], inside, place, last - dropout <= i < last)
    self.model = Joint(3, channels[0], inside, 'outermost', False)

  def forward(self, x):
    return self.model(x)


class PatchGAN(nn.Module):
  def __init__(self, given: int, channels: int, layers: int, norm: Any = nn.InstanceNorm2d):
    super().__init__()
    bias = norm is nn.InstanceNorm2d
    wide = [channels * min(2**i, 8) for i in range(layers + 1)]
    parts: list[nn.Module] = [nn.Conv2d(given, channels, 4, 2, 1), nn.LeakyReLU(0.2, True)]
    for i, (a, b) in enumerate(itertools.pairwise(wide)):
      parts += [nn.Conv2d(a, b, 4, 2 if i < layers - 1 else 1, 1, bias=bias), norm(b), nn.LeakyReLU(0.2, True)]
    self.model = nn.Sequential(*parts, nn.Conv2d(wide[-1], 1, 4, 1, 1))

  def forward(self, x):
    return self.model(x)


def take(module: nn.Module, params: Tree) -> None:
  """The weights of a network of gan_jax: its convolutions in the order of their calls, a norm's gain behind each."""
  flat = {('params', *path): np.asarray(leaf) for path, leaf in traverse_util.flatten_dict(dict(params)).items()}
  order, blocks = calls(flat), itertools.count()
  convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
  norms = [m for m in module.modules() if getattr(m, 'affine', False)]

  def put(to: torch.Tensor, value: np.ndarray) -> None:
    to.data.copy_(torch.from_numpy(np.array(value, order='C')))

  for layer, conv in zip(order, convolutions, strict=True):
    path = ('params', *layer.split('/'))
    number = next(blocks) // 2 if path[1] == 'blocks' else None
    of = lambda name, path=path, number=number: flat[*path, name] if number is None else flat[*path, name][number]
    put(conv.weight, of('kernel').transpose(3, 2, 0, 1))
    if (*path, 'bias') in flat:
      put(conv.bias, of('bias'))
    elif conv.bias is not None:
      put(conv.bias, np.zeros(conv.bias.shape, np.float32))
    scale = next((p for p in flat if p[1] == f'{path[1]}_norm' and p[-1] == 'scale'), None)
    if scale:
      norm = norms.pop(0)
      put(norm.weight, flat[scale])
      put(norm.bias, flat[*scale[:-1], 'bias'])


@contextlib.contextmanager
def _frozen(modules: list[nn.Module]) -> Iterator[None]:
  """Their parameters ask for no gradients."""
  for module in modules:
    module.requires_grad_(False)
  yield
  for module in modules:
    module.requires_grad_(True)


class Translation:
  """One work of translation in one variant; arguments as `programs.Program`."""

  def __init__(self, name: str, variant: str, device: str, batch: int, small: bool, dropout: bool = True):
    torch.manual_seed(0)
    self.name, self.device, self.paired, self.pooled = name, device, name.startswith('pix2pix'), dropout
    width = widths(name, small)
    if self.paired:
      nets = {'generator': UNet(width['unet'], width['dropout'] if dropout else 0)}
      nets['discriminator'] = PatchGAN(6, width['channels'], width['layers'], nn.BatchNorm2d)
    else:
      nets = {f'generator_{way}': ResnetGenerator(width['channels'], width['blocks']) for way in ('ab', 'ba')}
      nets |= {f'discriminator_{d}': PatchGAN(3, width['channels'], width['layers']) for d in 'ab'}
    self.channels_last = variant != 'eager'
    for key, net in nets.items():
      net = net.to(device)
      nets[key] = net.to(memory_format=torch.channels_last) if self.channels_last else net
    self.nets = nets
    self.run = {key: torch.compile(net) if variant == 'compile' else net for key, net in nets.items()}
    self.players = [[net for key, net in nets.items() if key.startswith(p)] for p in ('generator', 'discriminator')]
    self.optimizers = [
      torch.optim.Adam([p for net in own for p in net.parameters()], lr=2e-4, betas=(0.5, 0.999), fused=True)
      for own in self.players
    ]
    self.pools: dict[str, list[torch.Tensor]] = {'a': [], 'b': []}

  def take(self, params: Tree, variables: Tree) -> None:
    for key, net in self.nets.items():
      take(net, params[key])

  def prepared(self, images: torch.Tensor) -> torch.Tensor:
    x = images.permute(0, 3, 1, 2)
    x = x.contiguous(memory_format=torch.channels_last) if self.channels_last else x.contiguous()
    return x.float().div_(127.5).sub_(1.0)

  def losses(self, given: Mapping[str, np.ndarray], tree: Tree) -> dict[str, torch.Tensor]:
    """The losses of both players from the weights as they are."""
    at = lambda name: torch.from_numpy(given[name]).to(self.device).permute(0, 3, 1, 2).contiguous()
    images = {'a': at('image'), 'b': at('other')}
    fakes = self.made(images)
    return {'discriminator': self.discriminator_loss(images, fakes), 'generator': self.generator_loss(images, fakes)}

  def made(self, images: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    if self.paired:
      return {'b': self.run['generator'](images['a'])}
    return {'b': self.run['generator_ab'](images['a']), 'a': self.run['generator_ba'](images['b'])}

  def _pooled(self, domain: str, fake: torch.Tensor) -> torch.Tensor:
    """CycleGAN's pool of 50."""
    pool, shown = self.pools[domain], []
    for image in fake if self.pooled else ():
      if len(pool) < 50:
        pool.append(image)
      elif torch.rand(()) > 0.5:
        place = int(torch.randint(50, ()))
        pool[place], image = image, pool[place]
      shown.append(image)
    return torch.stack(shown) if shown else fake

  def discriminator_loss(self, images, fakes):
    if self.paired:
      judge = lambda b: self.run['discriminator'](torch.cat([images['a'], b], 1))
      return F.softplus(-judge(images['b'])).mean() + F.softplus(judge(fakes['b'].detach())).mean()
    total = 0.0
    for domain in 'ab':
      judge, fake = self.run[f'discriminator_{domain}'], self._pooled(domain, fakes[domain].detach())
      total = total + ((judge(images[domain]) - 1) ** 2).mean() / 2 + (judge(fake) ** 2).mean() / 2
    return total

  def generator_loss(self, images, fakes):
    if self.paired:
      logits = self.run['discriminator'](torch.cat([images['a'], fakes['b']], 1))
      return F.softplus(-logits).mean() + 100 * (fakes['b'] - images['b']).abs().mean()
    total = 0.0
    for one, other in ('ab', 'ba'):
      there, back = self.run[f'generator_{one}{other}'], self.run[f'generator_{other}{one}']
      total = total + ((self.run[f'discriminator_{other}'](fakes[other]) - 1) ** 2).mean()
      total = total + 10 * (back(fakes[other]) - images[one]).abs().mean()
      total = total + 5 * (there(images[other]) - images[other]).abs().mean()
    return total

  def step(self, batches: list[tuple[torch.Tensor, torch.Tensor | None]]) -> tuple[torch.Tensor, torch.Tensor]:
    prepared = [self.prepared(image) for image, _ in batches]
    images = {'a': prepared[0], 'b': prepared[-1]}
    fakes, losses = self.made(images), {}
    for player in (1, 0) if self.paired else (0, 1):
      with _frozen(self.players[1]) if player == 0 else contextlib.nullcontext():
        loss = (self.discriminator_loss if player else self.generator_loss)(images, fakes)
        loss.backward()
      self.optimizers[player].step()
      self.optimizers[player].zero_grad(set_to_none=True)
      losses[player] = loss.detach()
    return losses[1], losses[0]
