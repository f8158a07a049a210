"""3D-GAN in PyTorch, with the widths of `benchmarks.works`, written as one would for speed.

The discriminator asks for no gradients in the generator's move, fakes are made once a step, gradients are set to None,
and the optimizers are fused.
"""

import itertools
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.pytorch.weights import Tree, copied_into
from benchmarks.works import latents_of, widths


def _take(module: nn.Module, params: Tree) -> None:
  """The convolutions and norms of gan_jax's parameters, both in order."""
  convs = [layer for layer in module.modules() if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d)]
  norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm3d)]
  name = 'ConvTranspose' if isinstance(convs[0], nn.ConvTranspose3d) else 'Conv'
  for i, conv in enumerate(convs):
    copied_into(conv.weight, params[f'{name}_{i}']['kernel'].transpose(4, 3, 0, 1, 2))
  for i, norm in enumerate(norms):
    copied_into(norm.weight, params[f'BatchNorm_{i}']['norm']['scale'])
    copied_into(norm.bias, params[f'BatchNorm_{i}']['norm']['bias'])


class Generator(nn.Module):
  def __init__(self, channels: tuple[int, ...], latents: int):
    super().__init__()
    self.first = channels[0]
    self.project = nn.Linear(latents, 64 * self.first, bias=False)
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise((*channels, 1)):
      layers += [nn.BatchNorm3d(a), nn.ReLU(True), nn.ConvTranspose3d(a, b, 4, 2, 1, bias=False)]
    self.layers = nn.Sequential(*layers)

  def take(self, params: Tree) -> None:
    kernel = params['project']['kernel']  # (latents, 4 * 4 * 4 * C) to (C * 4 * 4 * 4, latents)
    copied_into(self.project.weight, kernel.reshape(len(kernel), 64, -1).transpose(2, 1, 0).reshape(-1, len(kernel)))
    _take(self, params)

  def forward(self, z):
    return torch.sigmoid(self.layers(self.project(z).view(-1, self.first, 4, 4, 4)))


class Discriminator(nn.Module):
  def __init__(self, channels: tuple[int, ...]):
    super().__init__()
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise((1, *channels)):
      layers += [nn.Conv3d(a, b, 4, 2, 1, bias=False), nn.BatchNorm3d(b), nn.LeakyReLU(0.2, True)]
    self.layers = nn.Sequential(*layers)
    self.logit = nn.Linear(64 * channels[-1], 1, bias=False)

  def take(self, params: Tree) -> None:
    kernel = params['logit']['kernel']  # (4 * 4 * 4 * C, 1) to (1, C * 4 * 4 * 4)
    copied_into(self.logit.weight, kernel.reshape(64, -1).T.reshape(1, -1))
    _take(self, params)

  def forward(self, x):
    return self.logit(self.layers(x).flatten(1))[:, 0]


class Volumes:
  """3D-GAN in one variant; arguments as `programs.Program`."""

  def __init__(self, name: str, variant: str, device: str, batch: int, small: bool, dropout: bool = True):
    torch.manual_seed(0)
    self.device, self.batch, self.size = device, batch, latents_of(name)
    self.channels_last, self.amp = variant != 'eager', device == 'cuda'
    channels = widths(name, small)['channels']
    self.nets = [net.to(device) for net in (Generator(channels, self.size), Discriminator(channels[::-1]))]
    if self.channels_last:
      self.nets = [net.to(memory_format=torch.channels_last_3d) for net in self.nets]
    self.generator, self.discriminator = [torch.compile(n) if variant == 'compile' else n for n in self.nets]
    rates = (5e-4, 2e-4)
    self.optimizers = [
      torch.optim.Adam(net.parameters(), lr=rate, betas=(0.5, 0.999), fused=True)
      for net, rate in zip(self.nets, rates, strict=True)
    ]

  def take(self, params: Tree, variables: Tree) -> None:
    for net, player in zip(self.nets, ('generator', 'discriminator'), strict=True):
      net.take(params[player])

  def prepared(self, volumes: torch.Tensor) -> torch.Tensor:
    x = volumes.permute(0, 4, 1, 2, 3)
    x = x.contiguous(memory_format=torch.channels_last_3d) if self.channels_last else x.contiguous()
    return x.float().div_(255.0)

  def losses(self, given: Mapping[str, np.ndarray], tree: Tree) -> dict[str, torch.Tensor]:
    """The losses of both players from the weights as they are."""
    at = lambda name: torch.from_numpy(given[name]).to(self.device)
    image, fake = at('image').permute(0, 4, 1, 2, 3).contiguous(), self.generator(at('z'))
    return {'discriminator': self.discriminator_loss(image, fake), 'generator': self.generator_loss(fake)}

  def discriminator_loss(self, image, fake):
    return F.softplus(-self.discriminator(image).float()).mean() + F.softplus(self.discriminator(fake).float()).mean()

  def generator_loss(self, fake):
    return F.softplus(-self.discriminator(fake).float()).mean()

  def step(self, batches: list[tuple[torch.Tensor, torch.Tensor | None]]) -> tuple[torch.Tensor, torch.Tensor]:
    ((image, _),) = batches
    with torch.autocast('cuda', torch.bfloat16, enabled=self.amp):
      fake = self.generator(torch.rand(self.batch, self.size, device=self.device) * 2 - 1)
      d_loss = self.discriminator_loss(self.prepared(image), fake.detach())
    d_loss.backward()
    self.optimizers[1].step()
    self.optimizers[1].zero_grad(set_to_none=True)
    self.nets[1].requires_grad_(False)
    with torch.autocast('cuda', torch.bfloat16, enabled=self.amp):
      g_loss = self.generator_loss(fake)
    g_loss.backward()
    self.optimizers[0].step()
    self.optimizers[0].zero_grad(set_to_none=True)
    self.nets[1].requires_grad_(True)
    return d_loss.detach(), g_loss.detach()
