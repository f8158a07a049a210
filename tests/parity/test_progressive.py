"""Progressive GAN against PyTorch, in the wiring of the authors' code: images, losses and gradients of one step."""

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from gan_jax.core.clock import Clock
from gan_jax.games.progressive import ProgressiveGAN
from gan_jax.latents.distributions import Normal
from gan_jax.losses import penalties
from gan_jax.nets import progressive

from . import torch_progressive

WIDTHS, LATENTS, BATCH, TARGET = (12, 8, 6), 10, 8, 2.0
RANDOM = np.random.RandomState(0)
Z = RANDOM.standard_normal((BATCH, LATENTS)).astype(np.float32)
#: The authors' names of our layers; of the heads the level of detail is to be filled in.
NAMES = {
  'block_4/project': '4x4/Dense',
  'block_4/conv': '4x4/Conv',
  'block_4/dense_0': '4x4/Dense0',
  'block_4/dense_1': '4x4/Dense1',
}


def theirs(params, resolution, network):
  """Our parameters of one network under the authors' names, as PyTorch lays them out."""
  found = {}
  for path, value in flax.traverse_util.flatten_dict(params, sep='/').items():
    layer, _, kind = path.replace('/weights/', '/').rpartition('/')
    part, _, inner = layer.partition('/')
    size = int(part.rpartition('_')[2])
    if part.startswith(('to_image', 'from_image')):
      name = f'{"ToRGB" if network == "generator" else "FromRGB"}_lod{(resolution // size).bit_length() - 1}'
    elif layer == 'block_4':
      name = '4x4/Dense'  # the first layer's bias, one for a channel
    else:
      down_or_up = {'generator': {'conv_0': 'Conv0_up', 'conv_1': 'Conv1'}}.get(
        network, {'conv_0': 'Conv0', 'conv_1': 'Conv1_down'}
      )
      name = NAMES.get(layer) or f'{size}x{size}/{down_or_up[inner]}'
    value = np.asarray(value)
    if kind == 'kernel':
      if value.ndim == 4:
        value = value.transpose(3, 2, 0, 1)
      elif name == '4x4/Dense':  # (n, 4 4 C) -> (C 4 4, n)
        value = value.T.reshape(4, 4, -1, LATENTS).transpose(2, 0, 1, 3).reshape(-1, LATENTS)
      elif name == '4x4/Dense0':  # its inputs are maps
        value = value.T.reshape(value.shape[1], 4, 4, -1).transpose(0, 3, 1, 2).reshape(value.shape[1], -1)
      else:
        value = value.T
    found[f'{name}/{"weight" if kind == "kernel" else "bias"}'] = value
  return {name: torch.tensor(np.array(value)) for name, value in found.items()}


@pytest.mark.parametrize(
  ('resolution', 'step', 'pool_last'), [(4, None, False), (8, 3, False), (16, 99, False), (8, 99, True)]
)
def test_a_move_of_each_player_agrees(resolution, step, pool_last):
  game = ProgressiveGAN(
    progressive.Generator(resolution, WIDTHS),
    progressive.Discriminator(resolution, WIDTHS, pool_last=pool_last),
    Normal((LATENTS,)),
    fade=10 if step is not None else 0,
    target=TARGET,
  )
  image = RANDOM.uniform(-1, 1, (BATCH, resolution, resolution, 3)).astype(np.float32)
  batch = {'images': {'image': image}, 'latents': Z}
  variables = game.init({'params': jax.random.key(0), 'noise': jax.random.key(1)}, batch, method='discriminator_loss')
  params = jax.tree.map(lambda x: x + 0.1 * RANDOM.standard_normal(x.shape).astype(np.float32), variables['params'])
  now = Clock(jnp.int32(50), jnp.int32(step or 0), jnp.int32(100), jnp.float32(0))
  apply = lambda params, method: game.apply(
    {'params': params, 'clock': {'now': now, 'parts': 1}}, batch, method=method, rngs={'noise': jax.random.key(2)}
  )
  g, d = (theirs(params[name], resolution, name) for name in ('generator', 'discriminator'))
  for tensor in (*g.values(), *d.values()):
    tensor.requires_grad_()
  fade = None if step is None else min(step / 10, 1.0)
  made = torch_progressive.generator(g, torch.tensor(Z), resolution, fade)
  np.testing.assert_allclose(apply(params, 'sample'), made.detach().numpy().transpose(0, 2, 3, 1), atol=1e-5, rtol=1e-4)
  # The points between data and fakes that our game draws; its key is that of the first draw.
  zeros, ones = jnp.zeros((BATCH, 1, 1, 1)), jnp.ones((BATCH, 1, 1, 1))
  drawn = game.apply({'params': params}, rngs={'noise': jax.random.key(2)}, method=lambda game: game.make_rng('noise'))
  factors = torch.tensor(np.asarray(penalties.between(drawn, zeros, ones)))
  loss = torch_progressive.discriminator_loss(
    g, d, torch.tensor(Z), torch.tensor(image.transpose(0, 3, 1, 2)), factors, resolution, fade, TARGET, pool_last
  )
  loss.backward()
  (ours, _), gradients = jax.value_and_grad(
    lambda p: apply({**params, 'discriminator': p}, 'discriminator_loss'), has_aux=True
  )(params['discriminator'])
  np.testing.assert_allclose(ours, loss.item(), rtol=1e-4)
  for name, value in theirs(gradients, resolution, 'discriminator').items():
    found = d[name].grad if d[name].grad is not None else torch.zeros_like(d[name])
    np.testing.assert_allclose(value, found, atol=2e-4, rtol=2e-3, err_msg=name)
  for tensor in (*g.values(), *d.values()):
    tensor.grad = None
  loss = -torch_progressive.discriminator(
    d, torch_progressive.generator(g, torch.tensor(Z), resolution, fade), resolution, fade, pool_last
  ).mean()
  loss.backward()
  ours, gradients = jax.value_and_grad(lambda p: apply({**params, 'generator': p}, 'generator_loss'))(
    params['generator']
  )
  np.testing.assert_allclose(ours, loss.item(), rtol=1e-4)
  for name, value in theirs(gradients, resolution, 'generator').items():
    np.testing.assert_allclose(value, g[name].grad, atol=2e-4, rtol=2e-3, err_msg=name)
