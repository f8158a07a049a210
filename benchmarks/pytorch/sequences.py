"""C-RNN-GAN in PyTorch: the generator's cells go step by step, for it hears itself; the discriminator has `nn.LSTM`.

The discriminator asks for no gradients in the generator's move. Gradients are decayed and clipped as in the shipped
config.
"""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.pytorch.weights import Tree, take
from benchmarks.works import WORKS, latents_shape, widths

GATES = 'ifgo'
#: As in configs/crnngan.py: what tones are multiplied with, and the weight of the generator's L2 loss.
SCALE, DECAY = 127.0, 1e-4


def take_cell(params: Tree, weights: tuple[torch.Tensor, ...]) -> None:
  """flax's gates into PyTorch's weights of the input, of the state, and their biases."""
  of_input, of_state, bias_input, bias_state = weights
  joined = lambda side, leaf: torch.from_numpy(np.concatenate([np.array(params[side + g][leaf]).T for g in GATES]))
  of_input.data.copy_(joined('i', 'kernel'))
  of_state.data.copy_(joined('h', 'kernel'))
  bias_input.data.zero_()
  bias_state.data.copy_(joined('h', 'bias'))


class Generator(nn.Module):
  def __init__(self, size: int, hidden: int, dropout: float):
    super().__init__()
    self.front, self.out = nn.Linear(2 * size, hidden), nn.Linear(hidden, size)
    self.cells = nn.ModuleList(nn.LSTMCell(hidden, hidden) for _ in range(2))
    self.dropout = dropout

  def forward(self, z):
    tone, states, tones = z[:, 0], [None, None], []
    for noise in z[:, 1:].unbind(1):
      x = F.relu(self.front(torch.cat([noise, tone], 1)))
      for i, cell in enumerate(self.cells):
        states[i] = cell(x, states[i])
        x = F.dropout(states[i][0], self.dropout)
      tone = self.out(x)
      tones.append(tone)
    return torch.stack(tones, 1)

  def take(self, params: Tree) -> None:
    take(self.front, params['front'])
    take(self.out, params['out'])
    for i, cell in enumerate(self.cells):
      take_cell(params['stack'][f'lstm_{i}'], (cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh))


class Discriminator(nn.Module):
  def __init__(self, size: int, hidden: int, dropout: float):
    super().__init__()
    self.sides = nn.ModuleList(nn.LSTM(size, hidden, 2, batch_first=True, dropout=dropout) for _ in range(2))
    self.decision = nn.Linear(2 * hidden, 1)
    self.dropout = dropout

  def forward(self, tones):
    x = F.dropout(tones, self.dropout)
    forward, backward = self.sides[0](x)[0], self.sides[1](x.flip(1))[0].flip(1)
    heard = F.dropout(torch.cat([forward, backward], -1), self.dropout)
    each = self.decision(heard)[..., 0]
    # The logit of the mean probability; a sum of logarithms has no other parts than their difference.
    return F.logsigmoid(each).logsumexp(1) - F.logsigmoid(-each).logsumexp(1)

  def take(self, params: Tree) -> None:
    take(self.decision, params['decision'])
    for name, lstm in zip(('forward', 'backward'), self.sides, strict=True):
      for i, weights in enumerate(lstm.all_weights):
        take_cell(params[name][f'lstm_{i}'], tuple(weights))


class Sequences:
  """One work of sequences in one variant; arguments as `programs.Program`."""

  def __init__(self, name: str, variant: str, device: str, batch: int, small: bool, dropout: bool = True):
    torch.manual_seed(0)
    hidden, rate = widths(name, small)['hidden'], 0.5 if dropout else 0.0
    self.name, self.device, self.batch = name, device, batch
    size = WORKS[name].channels
    self.modules = [network(size, hidden, rate).to(device) for network in (Generator, Discriminator)]
    self.generator, self.discriminator = (torch.compile(m) if variant == 'compile' else m for m in self.modules)
    self.optimizers = [
      torch.optim.SGD(module.parameters(), lr=lr, weight_decay=0.0)
      for module, lr in zip(self.modules, (0.1, 0.05), strict=True)
    ]

  def take(self, params: Tree, variables: Tree) -> None:
    for module, player in zip(self.modules, ('generator', 'discriminator'), strict=True):
      module.take(params[player])

  def judged(self, image, fake):
    return F.softplus(-self.discriminator(SCALE * image)).mean() + F.softplus(self.discriminator(fake)).mean()

  def losses(self, given: Mapping[str, np.ndarray], tree: Tree) -> dict[str, torch.Tensor]:
    """The losses of both players from the weights as they are."""
    image, fake = torch.from_numpy(given['image']), self.generator(torch.from_numpy(given['z']).to(self.device))
    loss = self.judged(image.to(self.device), fake)
    return {'measure': loss, 'discriminator': loss, 'generator': F.softplus(-self.discriminator(fake)).mean()}

  def move(self, player: int, loss) -> None:
    loss.backward()
    if player == 0:
      with torch.no_grad():
        for weight in self.modules[player].parameters():
          weight.grad.add_(weight, alpha=DECAY)
    nn.utils.clip_grad_norm_(self.modules[player].parameters(), 5.0)
    self.optimizers[player].step()
    self.optimizers[player].zero_grad(set_to_none=True)

  def step(self, batches: list[tuple[torch.Tensor, torch.Tensor | None]]) -> tuple[torch.Tensor, torch.Tensor]:
    """The measuring, the discriminator's move on the same batch, the generator's."""
    latents = lambda: torch.rand(self.batch, *latents_shape(self.name), device=self.device)
    image = batches[0][0].float()
    with torch.no_grad():
      fake = self.generator(latents())
      self.judged(image, fake)
    d_loss = self.judged(image, fake)
    self.move(1, d_loss)
    self.modules[1].requires_grad_(False)
    g_loss = F.softplus(-self.discriminator(self.generator(latents()))).mean()
    self.move(0, g_loss)
    self.modules[1].requires_grad_(True)
    return d_loss.detach(), g_loss.detach()
