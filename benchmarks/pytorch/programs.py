"""Works of two networks: what a step of theirs is in PyTorch, and which class has which work.

The discriminator's parameters do not ask for gradients in the generator's move, latents are drawn on the device,
gradients are set to None, the optimizers are fused, data are on the device or come from a DataLoader.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.pytorch import published
from benchmarks.pytorch.dcgan import DCGANDiscriminator, DCGANGenerator
from benchmarks.pytorch.dense import Maxout, MLPGenerator
from benchmarks.pytorch.progressive import ProgressiveDiscriminator, ProgressiveGenerator
from benchmarks.pytorch.residual import ResNetDiscriminator, ResNetGenerator
from benchmarks.pytorch.sequences import Sequences
from benchmarks.pytorch.translation import Translation
from benchmarks.pytorch.volumes import Volumes
from benchmarks.pytorch.weights import Tree
from benchmarks.works import LIKE_AUTHORS, SEQUENCES, TRANSLATIONS, WORKS, latents_of, widths
from gan_jax.nets.biggan import WIDTHS, channels_of


def _networks(name: str, small: bool, dropout: bool) -> tuple[nn.Module, nn.Module]:
  work, width = WORKS[name], widths(name, small)
  if name == 'gan2014':
    return MLPGenerator(width['hidden']), Maxout(width['units'], dropout)
  if name == 'dcgan64':
    return DCGANGenerator(width['channels']), DCGANDiscriminator(width['channels'][::-1])
  if name == 'sngan32':
    g, d = (width['generator'],) * 4, (width['discriminator'],) * 4
    return ResNetGenerator(g, 128, 0), ResNetDiscriminator(32, d, 2, 0)
  if name.startswith('progressive'):
    sizes = work.size, width['channels']
    return ProgressiveGenerator(*sizes), ProgressiveDiscriminator(*sizes)
  multiples, ch = WIDTHS[work.size], width['channels']
  generator = ResNetGenerator(channels_of(multiples.generator, ch), latents_of(name), work.classes)
  discriminator = channels_of(multiples.discriminator, ch)
  return generator, ResNetDiscriminator(work.size, discriminator, multiples.halvings, work.classes)


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
  if name in LIKE_AUTHORS:
    return published.program_of(name)
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
