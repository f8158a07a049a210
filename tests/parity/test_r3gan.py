"""R3GAN against PyTorch, in the wiring of the authors' code: images, logits, losses, penalties, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional

from benchmarks.pytorch import r3gan as torch_r3gan
from gan_jax.core.clock import Clock
from gan_jax.games.parts.penalties import GradientPenalty
from gan_jax.games.standard import Standard
from gan_jax.latents.distributions import Label, Normal
from gan_jax.nets import r3gan
from gan_jax.nets.published import r3gan as published
from gan_jax.optim.schedules import cosine

BATCH, LATENTS, GROUP, GAMMA = 4, 6, 4, 3.0
CHANNELS, BLOCKS = (12, 12, 8), (2, 1, 2)
RANDOM = np.random.RandomState(0)


def numpy_of(module):
  return {name: value.detach().numpy() for name, value in module.state_dict().items()}


@pytest.mark.parametrize('classes', [0, 5])
def test_a_step_of_both_players_agrees(classes):
  torch.manual_seed(0)
  extra = dict(classes=classes, embedding=6) if classes else {}
  theirs_g = torch_r3gan.Model(torch_r3gan.Generator(LATENTS, CHANNELS, BLOCKS, GROUP, 2, **extra))
  theirs_d = torch_r3gan.Model(torch_r3gan.Discriminator(CHANNELS[::-1], BLOCKS[::-1], GROUP, 2, **extra))
  label = RANDOM.randint(0, 5, BATCH).astype(np.int32)
  z = RANDOM.standard_normal((BATCH, LATENTS)).astype(np.float32)
  image = RANDOM.uniform(-1, 1, (BATCH, 16, 16, 3)).astype(np.float32)
  given = dict(blocks=BLOCKS, group=GROUP, classes=classes, embedding=6)
  game = Standard(
    r3gan.Generator(CHANNELS, **given),
    r3gan.Discriminator(CHANNELS[::-1], **{**given, 'blocks': BLOCKS[::-1]}),
    {'z': Normal((LATENTS,)), 'label': Label(5)} if classes else Normal((LATENTS,)),
    loss='relativistic',
    penalty=GradientPenalty(GAMMA / 2, at='both', target=0.0),
    penalty_schedule=cosine(1.0, 0.1, 100),
  )
  fields = {'image': image, **({'label': label} if classes else {})}
  batch = {'images': fields, 'latents': {'z': z, 'label': label} if classes else z}
  like = jax.eval_shape(
    lambda: game.init({'params': jax.random.key(0), 'noise': jax.random.key(1)}, batch, method='discriminator_loss')
  )['params']
  params = {
    name: published.variables_of(numpy_of(module), {'params': like[name]})['params']
    for name, module in (('generator', theirs_g), ('discriminator', theirs_d))
  }
  clock = Clock(jnp.int32(50), jnp.int32(50), jnp.int32(100), jnp.float32(0))  # half of the schedule: 0.55

  def ours(method):
    def loss(params):
      found = game.apply(
        {'params': params, 'clock': {'now': clock, 'parts': 1}}, batch, method=method, rngs={'noise': jax.random.key(0)}
      )
      return found[0] if isinstance(found, tuple) else found

    return jax.value_and_grad(loss)(params)

  condition = functional.one_hot(torch.tensor(label).long(), 5).float() if classes else None
  real = torch.tensor(np.moveaxis(image, -1, 1)).requires_grad_()
  fake = theirs_g(torch.tensor(z), condition)
  made = game.apply(
    {'params': params}, batch['latents'], method=lambda game, latents: game.sample({'latents': latents})
  )
  np.testing.assert_allclose(made, fake.detach().permute(0, 2, 3, 1), atol=1e-5)

  still = fake.detach().requires_grad_()
  real_logits, fake_logits = theirs_d(real, condition), theirs_d(still, condition)
  squares = sum(
    torch.autograd.grad(logits.sum(), x, create_graph=True)[0].square().sum((1, 2, 3))
    for logits, x in ((real_logits, real), (fake_logits, still))
  )
  wanted = (functional.softplus(fake_logits - real_logits) + GAMMA * 0.55 / 2 * squares).mean()
  loss, gradients = ours('discriminator_loss')
  np.testing.assert_allclose(loss, wanted.item(), rtol=1e-5)
  compare(theirs_d, wanted, gradients['discriminator'])

  wanted = functional.softplus(theirs_d(real, condition) - theirs_d(fake, condition)).mean()
  loss, gradients = ours('generator_loss')
  np.testing.assert_allclose(loss, wanted.item(), rtol=1e-5)
  compare(theirs_g, wanted, gradients['generator'])


def compare(module, loss, gradients):
  """The gradients of PyTorch in its own layout, read as if they were weights."""
  names = [name for name, _ in module.named_parameters()]
  found = torch.autograd.grad(loss, list(module.parameters()))
  theirs = published.variables_of({n: g.numpy() for n, g in zip(names, found, strict=True)}, {'params': gradients})
  for (path, mine), other in zip(
    jax.tree_util.tree_leaves_with_path(gradients), jax.tree.leaves(theirs['params']), strict=True
  ):
    np.testing.assert_allclose(mine, other, atol=2e-5 * max(1.0, np.abs(other).max()), err_msg=str(path))


def test_the_authors_networks_for_cifar10_have_as_many_parameters():
  """Counted by the authors' classes in PyTorch, without and with classes, full width."""
  for classes in (0, 10):
    extra = dict(classes=classes, embedding=64) if classes else {}
    with torch.device('meta'):
      theirs = torch_r3gan.Generator(64, (768,) * 4, (2,) * 4, 16, 2, **extra)
    net = r3gan.Generator(classes=classes)
    label = jnp.zeros((1,), jnp.int32) if classes else None
    like = jax.eval_shape(
      lambda net=net, label=label: net.init(jax.random.key(0), jnp.zeros((1, 64)), train=True, label=label)
    )
    assert sum(x.size for x in jax.tree.leaves(like)) == sum(p.numel() for p in theirs.parameters())
