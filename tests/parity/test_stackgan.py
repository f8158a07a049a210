"""StackGAN's networks against PyTorch, wired as the authors' TensorFlow code; weights in the order of its variables."""

import jax
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gan_jax.nets import stackgan

RANDOM = np.random.RandomState(0)
BATCH, CODE = 4, 5


class Variables:
  """The kernels, gains and biases of a network in the order in which its layers are called."""

  def __init__(self, params):
    self.convs, self.norms, self.dense = [], [], []
    self._gather(params)

  def _gather(self, tree):
    # Within a module flax numbers its layers in the order of their calls; blocks come behind the conv in front of them.
    for name in sorted(tree, key=lambda name: (name.rpartition('_')[0], int(name.rpartition('_')[2]))):
      part = tree[name]
      if name.startswith('Conv'):
        self.convs.append(torch.tensor(np.array(part['weights']['kernel']).transpose(3, 2, 0, 1)))
      elif name.startswith('BatchNorm'):
        self.norms.append([torch.tensor(np.array(part['norm'][kind])) for kind in ('scale', 'bias')])
      elif name.startswith('Dense'):
        self.dense.append([torch.tensor(np.array(part[kind])) for kind in ('kernel', 'bias') if kind in part])

  def conv(self, x, stride=1):
    w = self.convs.pop(0)
    pad = w.shape[-1] // 2 if w.shape[-1] % 2 else 1
    return F.conv2d(x, w, stride=stride, padding=pad)

  def norm(self, x):
    return F.batch_norm(x, None, None, *self.norms.pop(0), training=True, eps=1e-5)

  def fully_connected(self, x):
    kernel, *bias = self.dense.pop(0)
    return x @ kernel + (bias[0] if bias else 0)


def leaky(x):
  return torch.maximum(x, 0.2 * x)


def up(x):
  return F.interpolate(x, scale_factor=2)


def sample_encoded_context(params, embedding, noise):
  mean, log_sigma = leaky(Variables(params['Augmentation_0']).fully_connected(embedding)).chunk(2, 1)
  return mean + log_sigma.exp() * noise, mean, log_sigma


def bottleneck(params, node, act):
  v = Variables(params)
  return act(node + v.norm(v.conv(act(v.norm(v.conv(act(v.norm(v.conv(node)))))))))


def generator(params, z, embedding, noise, base, width):
  c, mean, log_sigma = sample_encoded_context(params, embedding, noise)
  v = Variables(params)
  x = v.norm(v.fully_connected(torch.cat([c, z], 1)))
  node1 = bottleneck(params['Bottleneck_0'], x.reshape(-1, base, base, width).permute(0, 3, 1, 2), F.relu)
  node2 = bottleneck(params['Bottleneck_1'], v.norm(v.conv(up(node1))), F.relu)
  x = F.relu(v.norm(v.conv(up(node2))))
  return torch.tanh(v.conv(up(x))), mean, log_sigma


def hr_generator(params, image, embedding, noise):
  hr_c, mean, log_sigma = sample_encoded_context(params, embedding, noise)
  v = Variables(params)
  x = F.relu(v.conv(image))
  x = F.relu(v.norm(v.conv(x, 2)))
  x = F.relu(v.norm(v.conv(x, 2)))
  x = torch.cat([x, hr_c[:, :, None, None].expand(-1, -1, *x.shape[2:])], 1)
  x = F.relu(v.norm(v.conv(x)))
  for i in range(2):
    own = Variables(params[f'Residual_{i}'])
    x = F.relu(x + own.norm(own.conv(F.relu(own.norm(own.conv(x))))))
  for _ in range(3):
    x = F.relu(v.norm(v.conv(up(x))))
  return torch.tanh(v.conv(x)), mean, log_sigma


def hr_discriminator(params, x, embedding):
  v = Variables(params)
  c_code = leaky(v.fully_connected(embedding))
  x = leaky(v.conv(x, 2))
  x = leaky(v.norm(v.conv(x, 2)))
  x = leaky(v.norm(v.conv(x, 2)))
  node1 = bottleneck(params['Bottleneck_0'], v.norm(v.conv(x)), leaky)
  x = torch.cat([node1, c_code[:, :, None, None].expand(-1, -1, *node1.shape[2:])], 1)
  x = leaky(v.norm(v.conv(x)))
  return v.fully_connected(x.permute(0, 2, 3, 1).flatten(1))[:, 0]


def compared(network, wanted, *given, **conditions):
  params = jax.jit(lambda: network.init(jax.random.key(0), *given, train=True, **conditions))()['params']
  params = jax.tree.map(lambda x: x + 0.2 * RANDOM.standard_normal(x.shape).astype(np.float32), params)
  found = network.apply({'params': params}, *given, train=True, **conditions, mutable=['batch_stats'])[0]
  wanted = wanted(params)
  for ours, theirs in zip(jax.tree.leaves(found), wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
    theirs = theirs.permute(0, 2, 3, 1) if theirs.ndim == 4 else theirs
    np.testing.assert_allclose(ours, theirs.numpy(), atol=2e-4, rtol=1e-3)
    assert theirs.std() > 0.01


@pytest.mark.filterwarnings('ignore')
def test_stage_one_and_stage_two():
  real = lambda *shape: RANDOM.standard_normal((BATCH, *shape)).astype(np.float32)
  z, embedding, noise, image = real(3), real(7), real(CODE), real(16, 16, 3)
  tensor = lambda x: torch.tensor(x.transpose(0, 3, 1, 2) if x.ndim == 4 else x)
  given = dict(condition=embedding, noise=noise)
  compared(
    stackgan.Generator((16, 8, 8), 2),
    lambda params: generator(params, tensor(z), tensor(embedding), tensor(noise), 2, 16),
    z,
    **given,
  )
  compared(
    stackgan.Refiner((6, 8, 8), 2, (8, 6, 4)),
    lambda params: hr_generator(params, tensor(image), tensor(embedding), tensor(noise)),
    image,
    **given,
  )
  compared(
    stackgan.Discriminator((4, 8, 12), (8,), 6),
    lambda params: hr_discriminator(params, tensor(image), tensor(embedding)),
    image,
    condition=embedding,
  )
