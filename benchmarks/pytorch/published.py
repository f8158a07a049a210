"""StyleGAN 2, FastGAN and R3GAN: the networks of their authors in PyTorch, and a step of each without augmentation.

Gradients of a gradient are of the plain modules, for `torch.compile` has none.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.pytorch import fastgan, r3gan, stylegan2
from benchmarks.pytorch.weights import Tree, take_back
from benchmarks.works import LIKE_AUTHORS, WORKS, latents_of, noise, widths
from gan_jax.nets import published

READERS = {'stylegan2': published.stylegan2, 'fastgan': published.fastgan, 'r3gan': published.r3gan}


def still(batch: int, channels: int, height: int, width: int) -> torch.Tensor:
  """What `worker.still` has in the place of normal numbers: (B, C, H, W), of numbers with channels last."""
  return torch.from_numpy(noise(batch, height, width, channels)).permute(0, 3, 1, 2)


def squares(images: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
  """The mean squared norm of the gradients of logits in images."""
  (gradients,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
  return gradients.square().sum((1, 2, 3)).mean()


class Published:
  """A work in one variant; arguments as `programs.Program`."""

  #: Steps after which all that is lazy has been played once.
  period = 1

  def __init__(self, name: str, variant: str, device: str, batch: int, small: bool, dropout: bool = True):
    torch.manual_seed(0)
    self.device, self.batch, self.size, self.chance = device, batch, latents_of(name), dropout
    self.reader = READERS[LIKE_AUTHORS[name].partition('.')[0]]
    self.channels_last, self.amp = variant != 'eager', device == 'cuda'
    self.nets = [net.to(device).train() for net in self.networks(WORKS[name].size, widths(name, small))]
    for layer in [layer for net in self.nets for layer in net.modules() if hasattr(layer, 'draw')]:
      layer.draw = self.normal
    if self.channels_last:
      self.nets = [net.to(memory_format=torch.channels_last) for net in self.nets]
    self.generator, self.discriminator = [torch.compile(n) if variant == 'compile' else n for n in self.nets]
    self.optimizers = [
      torch.optim.Adam(net.parameters(), fused=True, **settings)
      for net, settings in zip(self.nets, self.adam(), strict=True)
    ]
    # The counter of operations refuses gradients in leaves: images are multiplied by this.
    self.one = torch.ones((), device=device, requires_grad=True)
    self.steps = 0

  def normal(self, *shape: int) -> torch.Tensor:
    return torch.randn(shape, device=self.device) if self.chance else still(*shape).to(self.device)

  def latents(self) -> torch.Tensor:
    return torch.randn(self.batch, self.size, device=self.device)

  def take(self, params: Tree, variables: Tree) -> None:
    for net, player in zip(self.nets, ('generator', 'discriminator'), strict=True):
      like = {kind: tree[player] for kind, tree in variables.items() if isinstance(tree, Mapping) and player in tree}
      take_back(net, like, self.reader.variables_of)

  def prepared(self, images: torch.Tensor) -> torch.Tensor:
    x = images.permute(0, 3, 1, 2)
    x = x.contiguous(memory_format=torch.channels_last) if self.channels_last else x.contiguous()
    return x.float().div_(127.5).sub_(1.0)

  def losses(self, given: Mapping[str, np.ndarray], tree: Tree) -> dict[str, torch.Tensor]:
    """The losses of all moves from the weights as they are."""
    at = lambda name: torch.from_numpy(given[name]).to(self.device)
    image = at('image').permute(0, 3, 1, 2).contiguous()
    with torch.enable_grad():
      return {name: move(image, at('z')).detach() for name, move in self.moves(0).items()}

  def moves(self, step: int) -> dict[str, Any]:
    """{move: images, latents -> loss} of a step, in order; those of the generator have its name or `path`."""
    raise NotImplementedError

  def step(self, batches: list[tuple[torch.Tensor, torch.Tensor | None]]) -> tuple[torch.Tensor, torch.Tensor]:
    ((image, _),) = batches
    image, losses = self.prepared(image), {}
    for name, move in self.moves(self.steps).items():
      player = 0 if name in ('generator', 'path') else 1
      self.nets[1 - player].requires_grad_(False)
      with torch.autocast('cuda', torch.bfloat16, enabled=self.amp):
        losses[name] = move(image, self.latents())
      losses[name].backward()
      self.optimizers[player].step()
      self.optimizers[player].zero_grad(set_to_none=True)
      self.nets[1 - player].requires_grad_(True)
    self.steps += 1
    return losses['discriminator'].detach(), losses['generator'].detach()


class StyleGAN2(Published):
  """R1 every 16th step, path length every fourth, styles mixed."""

  period = 16
  path_mean = 0.0

  def networks(self, size, width):
    channels, clamp = width['channels'], 256.0
    generator = stylegan2.Generator(channels, self.size, width['units'], 2, clamp=clamp)
    return generator, stylegan2.Discriminator(channels, 4, clamp=clamp)

  def adam(self):
    return [dict(lr=2.5e-3 * n / (n + 1), betas=(0.0, 0.99 ** (n / (n + 1)))) for n in (4, 16)]

  def styles(self, z: torch.Tensor) -> torch.Tensor:
    mapping = self.nets[0].mapping
    w = mapping(z, None)
    mapping.w_avg.copy_(w.detach().mean(0).lerp(mapping.w_avg, 0.995))
    styles = w[:, None].repeat(1, self.nets[0].count, 1)
    if self.chance and torch.rand(()) < 0.9:
      first = int(torch.randint(1, self.nets[0].count, ()))
      styles[:, first:] = mapping(torch.randn_like(z), None)[:, None]
    return styles

  def made(self, z: torch.Tensor) -> torch.Tensor:
    return self.generator.synthesis(self.styles(z).unbind(1))

  def discriminator_loss(self, image, z):
    with torch.no_grad():
      fake = self.made(z)
    return F.softplus(-self.discriminator(image).float()).mean() + F.softplus(self.discriminator(fake).float()).mean()

  def penalty_loss(self, image, z):
    image = image * self.one
    return 16 * 0.0256 / 2 * squares(image, self.nets[1](image))

  def generator_loss(self, image, z):
    return F.softplus(-self.discriminator(self.made(z)).float()).mean()

  def path_loss(self, image, z):
    styles = self.styles(z[::2])
    made = self.nets[0].synthesis(styles.unbind(1))
    noise = self.normal(*made.shape) / made.shape[2]
    (gradients,) = torch.autograd.grad((made * noise).sum(), styles, create_graph=True)
    lengths = gradients.square().sum(2).mean(1).sqrt()
    mean = self.path_mean + 0.01 * (lengths.detach().mean() - self.path_mean)
    if self.chance:
      self.path_mean = mean
    return 4 * 2.0 * (lengths - mean).square().mean()

  def moves(self, step):
    moves = {'discriminator': self.discriminator_loss}
    if step % 16 == 0:
      moves['penalty'] = self.penalty_loss
    moves['generator'] = self.generator_loss
    if step % 4 == 0:
      moves['path'] = self.path_loss
    return moves


class FastGAN(Published):
  """One batch of fakes for both players; data are shown again by three decoders, by absolute differences."""

  def networks(self, size, width):
    if size != 256:
      raise ValueError(f'FastGAN is here in its form for 256 pixels, not {size}')
    return fastgan.Generator(width['channels'], self.size), fastgan.Discriminator(width['channels'], width['hidden'])

  def adam(self):
    return [dict(lr=2e-4, betas=(0.5, 0.999))] * 2

  def margin(self, logits: torch.Tensor) -> torch.Tensor:
    return 0.8 + 0.2 * torch.rand_like(logits) if self.chance else torch.full_like(logits, 0.8)

  def judged(self, *images: torch.Tensor) -> torch.Tensor:
    return torch.cat([logits.flatten(1) for logits in self.discriminator(*images)], 1).float()

  def discriminator_loss(self, image, z):
    with torch.no_grad():
      fakes = self.generator(z)
    return self.of_data(image) + self.of_fakes(fakes)

  def of_data(self, image):
    part = int(torch.randint(4, ())) if self.chance else 0
    logits, decoded = self.discriminator(image, image[:, :, ::2, ::2], part)
    logits = torch.cat([x.flatten(1) for x in logits], 1).float()
    half = image.shape[2] // 2
    rows, columns = divmod(part, 2)
    corner = image[:, :, rows * half : (rows + 1) * half, columns * half : (columns + 1) * half]
    # In the order of the authors' decoders: of the whole, of the small image, of the part.
    targets = (image[:, :, ::2, ::2], image[:, :, ::2, ::2], corner)
    shown = sum((made - target).abs().float().mean() for made, target in zip(decoded, targets, strict=True))
    return F.relu(self.margin(logits) - logits).mean() + shown

  def of_fakes(self, fakes):
    logits = self.judged(*fakes)
    return F.relu(self.margin(logits) + logits).mean()

  def generator_loss(self, image, z):
    return -self.judged(*self.generator(z)).mean()

  def moves(self, step):
    return {'discriminator': self.discriminator_loss, 'generator': self.generator_loss}

  def step(self, batches):
    """The generator makes one batch, which both players see, as in the authors' training."""
    ((image, _),) = batches
    image = self.prepared(image)
    with torch.autocast('cuda', torch.bfloat16, enabled=self.amp):
      fakes = self.generator(self.latents())
      d_loss = self.of_data(image) + self.of_fakes([fake.detach() for fake in fakes])
    d_loss.backward()
    self.optimizers[1].step()
    self.optimizers[1].zero_grad(set_to_none=True)
    self.nets[1].requires_grad_(False)
    with torch.autocast('cuda', torch.bfloat16, enabled=self.amp):
      g_loss = -self.judged(*fakes).mean()
    g_loss.backward()
    self.optimizers[0].step()
    self.optimizers[0].zero_grad(set_to_none=True)
    self.nets[1].requires_grad_(True)
    return d_loss.detach(), g_loss.detach()


class R3GAN(Published):
  """Logits of pairs, and both penalties in every step of the discriminator."""

  def networks(self, size, width):
    channels, blocks = width['channels'], (1,) * len(width['channels'])
    group = min(16, 2 * channels[0])
    return (
      r3gan.Generator(self.size, channels, blocks, group, 2),
      r3gan.Discriminator(channels[::-1], blocks, group, 2),
    )

  def adam(self):
    return [dict(lr=2e-4, betas=(0.0, 0.9))] * 2

  def discriminator_loss(self, image, z):
    with torch.no_grad():
      fake = self.generator(z)
    image, fake = image * self.one, fake * self.one
    real, made = self.nets[1](image).float(), self.nets[1](fake).float()
    return F.softplus(made - real).mean() + 1.0 * (squares(image, real) + squares(fake, made))

  def generator_loss(self, image, z):
    return F.softplus(self.discriminator(image).float() - self.discriminator(self.generator(z)).float()).mean()

  def moves(self, step):
    return {'discriminator': self.discriminator_loss, 'generator': self.generator_loss}


def program_of(name: str) -> type[Published]:
  return {'stylegan2': StyleGAN2, 'fastgan': FastGAN, 'r3gan': R3GAN}[LIKE_AUTHORS[name].partition('.')[0]]
